"""Cells on a Ray cluster: this command's side, the process that speaks to Ray, and its workers."""
