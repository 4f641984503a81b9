"""Parts of the benchmark of image quality."""
