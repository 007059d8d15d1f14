"""Plots: comparison figures and tables of runs, written for a paper."""
