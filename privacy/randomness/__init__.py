"""The one room that randomness a guarantee rests on comes from: keys, streams, draws, tails."""
