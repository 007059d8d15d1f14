"""Strategy one_message: each record is sent once, pooled and projected, and the rest is public."""
