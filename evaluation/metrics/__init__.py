"""Metrics: arrays in, Estimates out; the only place that compares a guess with the truth."""
