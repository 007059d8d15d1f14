"""Planted records, clients and texts: what a training shows of them."""
