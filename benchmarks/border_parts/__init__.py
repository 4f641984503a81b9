"""Parts of the benchmark of borders."""
