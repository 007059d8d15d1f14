"""A mechanism at work on a message, and the log of what it did."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.mechanism import Identity, Mechanism


@dataclass(frozen=True)
class Protection:
    """What a mechanism did to the records that passed it; adds up with `+`.

    records, clipped: counts of records and of those whose norm was above the clip; a padded
        position is no record where the unit is the token, and part of one where it is the sequence;
    signal, noise: sums of squares of the clipped values and, expected, of the noise on them.
    """

    records: int = 0
    clipped: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def __add__(self, other: "Protection") -> "Protection":
        """Return both logs as one."""
        return Protection(
            self.records + other.records,
            self.clipped + other.clipped,
            self.signal + other.signal,
            self.noise + other.noise,
        )

    def summary(self) -> dict[str, float | None]:
        """Return clipped_share and signal_to_noise (a ratio of norms); None where undefined."""
        return {
            "clipped_share": self.clipped / self.records if self.records else None,
            "signal_to_noise": math.sqrt(self.signal / self.noise) if self.noise else None,
        }


def stream(mechanism: Mechanism) -> str:
    """Return a label for a mechanism's noise.

    It names the mechanism and its settings, so that no two levels of a comparison share a noise
    vector: from two such messages of the same record the noise would cancel.
    """
    kind = type(mechanism).__name__
    return f"{kind} {mechanism.unit} {mechanism.clip_norm} {mechanism.noise_std}"


def protect(
    mechanism: Mechanism, message: Tensor, attention_mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Protection]:
    """Return a message [batch, seq, hidden] clipped and noised per unit, and the log.

    Padded positions are noised like all others. Gradients flow back through the clip.
    """
    if isinstance(mechanism, Identity):
        return message, Protection()
    token = mechanism.unit == "token"
    records = message.flatten(0, 1) if token else message.flatten(1)
    clipped = mechanism.clip(records)
    noised = mechanism.add_noise(clipped, generator)
    with torch.no_grad():
        real = attention_mask.flatten().bool() if token else slice(None)
        signal = clipped[real]
        norms = records[real].norm(dim=1)
        bound = float("inf") if mechanism.clip_norm is None else mechanism.clip_norm * (1 + 1e-5)
        log = Protection(
            records=len(norms),
            clipped=int((norms > bound).sum()),
            signal=float(signal.double().square().sum()),
            noise=mechanism.noise_std**2 * signal.numel(),
        )
    return noised.view_as(message), log
