"""Adversaries: what each hears, knows and computes; never the truth's score."""
