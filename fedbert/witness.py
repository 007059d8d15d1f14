"""Witness of noise: hears, where it is added, what it was added to and what came out."""

from typing import Protocol

from fedbert.messages import Array


class Witness(Protocol):
    """Hears every release of a training's noisy sums, one parameter after another.

    Threat model: none. It knows the sums before their noise, which no adversary of a claim does: it
    looks after the implementation. Whatever it keeps is as secret as the noise.
    """

    def heard(self, name: str, clean: Array, released: Array, rounding: float) -> None:
        """Take in one parameter's sum before its noise, and what was released of it [value].

        rounding: the most by which the type of what is released moved a value, as known before.
        """

    def ended(self) -> None:
        """Know that a release is whole."""
