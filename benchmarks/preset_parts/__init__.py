"""Parts of the benchmark of the presets."""
