"""Mechanisms alone, on worst-case neighbours."""
