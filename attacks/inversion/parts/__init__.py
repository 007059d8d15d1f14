"""Parts that several inversion attacks share."""
