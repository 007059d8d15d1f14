"""Auditing of claimed guarantees: planning, self-test, mechanisms, canaries, whole checkpoints."""
