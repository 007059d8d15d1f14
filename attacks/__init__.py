"""Attacks: each is handed what its adversary saw and knows, and proposes an answer."""
