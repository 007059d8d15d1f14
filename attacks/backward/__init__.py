"""Attacks on the gradients that travel back to the server."""
