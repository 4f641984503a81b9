"""Parts of the benchmark of recaptures."""
