"""Live: a training that is audited while it goes on, and stopped when its claim cannot stand."""
