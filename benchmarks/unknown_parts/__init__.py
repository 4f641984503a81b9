"""Parts of the benchmark of unknown images."""
