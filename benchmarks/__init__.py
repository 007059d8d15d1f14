"""Benchmarks: speed and memory of the training core, `python -m benchmarks`."""
