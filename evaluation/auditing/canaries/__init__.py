"""Canaries: planted records, clients and texts, and what a training shows of them."""
