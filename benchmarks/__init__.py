"""Benchmarks: ours and a peer's in turn on the same machine, medians and ratios. `make bench` runs them all."""
