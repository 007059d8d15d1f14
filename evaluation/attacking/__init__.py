"""Attacks at work: each is asked of a finished cell, its answer handed to the metrics."""
