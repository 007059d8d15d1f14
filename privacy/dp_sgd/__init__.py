"""DP-SGD: every example's gradient clipped by itself, in one forward and one backward pass."""
