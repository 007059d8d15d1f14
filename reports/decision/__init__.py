"""Decision: which setting of a run may be shipped, by what was wished for."""
