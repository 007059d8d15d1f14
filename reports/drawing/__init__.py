"""Figures as PNG bytes: the same data, the same bytes."""
