"""Parts of the benchmark of hair removal; ``benchmarks/hair.py`` puts them together."""
