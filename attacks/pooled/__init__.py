"""Pooled vectors: from one vector per text back to its words."""
