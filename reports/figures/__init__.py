"""Figure data: what the figures show, as plain values."""
