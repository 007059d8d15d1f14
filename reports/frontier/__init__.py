"""Frontier: which defence to ship, told from the records of a search and from what was wished."""
