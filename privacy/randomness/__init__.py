"""Randomness that a guarantee rests on, in one room: keys, streams, draws, tails."""
