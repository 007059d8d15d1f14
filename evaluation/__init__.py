"""Evaluation: the grid, the judges and the command line."""
