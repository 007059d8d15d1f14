"""Inversion: from a message back to the tokens."""
