"""What is asked: a grid's values, the names it may use, the mechanisms that it means."""
