"""Parts of the benchmark of near-duplicates."""
