"""Attacks on what the aggregator and the next client are handed: values that moved."""
