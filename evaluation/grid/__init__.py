"""Grid: its values, the names it may use, the mechanisms that it means."""
