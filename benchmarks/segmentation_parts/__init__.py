"""Parts of the benchmark of lesion masks."""
