"""One message: each record is sent once, pooled and projected, and all that follows is public."""
