"""Parts of the benchmarks of the input side: what is prepared, loaded and measured."""
