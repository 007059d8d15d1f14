"""One mechanism alone, on worst-case neighbours."""
