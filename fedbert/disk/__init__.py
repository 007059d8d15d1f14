"""Disk: how files come to be there whole, whom they are for, and what a kill leaves."""
