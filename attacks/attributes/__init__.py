"""Attacks that infer what else a text tells, from one vector of it."""
