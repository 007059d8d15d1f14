"""Audit cards: their content, and their files."""
