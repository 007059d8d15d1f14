"""What the figures show, as plain data."""
