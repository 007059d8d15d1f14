"""Faults of a federation, simulated: who is lost, who is late, and what comes broken."""
