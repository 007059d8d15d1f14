"""Disclosures: what an officer has to know of one setting of a run, and its registry entry."""
