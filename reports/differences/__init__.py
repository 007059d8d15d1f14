"""Differences between settings or runs: paired where they can be, with intervals that hold."""
