"""Runs: a grid or one training at work; processes, locks, resume, one cell."""
