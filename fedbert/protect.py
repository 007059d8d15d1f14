"""Mechanism at work on a message, and the log of what it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fedbert.messages import Message, to_array, to_tensor
from privacy.defence import Defence
from privacy.mechanism import Identity, Mechanism
from privacy.randomness.draws import Draws
from privacy.randomness.source import NoiseSource


@dataclass(frozen=True)
class MechanismLog:
    """What a mechanism did to the records that passed it; adds up with `+`.

    records, clipped: counts of records and of those whose norm was above the clip; a padded
        position is no record where the unit is the token, and part of one where it is the sequence;
        under automatic clipping, which scales all of them, of those that were made shorter;
    signal, noise: sums of squares of the clipped values and, expected, of the noise on them;
        for DP-SGD of the clipped per-example gradients, and of the noise on their sum.
    """

    records: int = 0
    clipped: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def to_json(self) -> list[float]:
        """Return the log as plain numbers."""
        return [self.records, self.clipped, self.signal, self.noise]

    @classmethod
    def from_json(cls, values: Sequence[float]) -> "MechanismLog":
        """Return the log that `to_json` wrote."""
        records, clipped, signal, noise = values
        return cls(int(records), int(clipped), signal, noise)

    def __add__(self, other: "MechanismLog") -> "MechanismLog":
        """Return both logs as one."""
        return MechanismLog(
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


def protect(
    mechanism: Mechanism, message: Tensor, attention_mask: Tensor, noise: Draws
) -> tuple[Tensor, MechanismLog]:
    """Return a message [batch, seq, hidden] clipped and noised per unit, and the log.

    Padded positions are noised like all others. A sequence counts without what stands at them: how
    many there are is up to the longest sequence of the batch. Gradients flow back through the clip.
    """
    if isinstance(mechanism, Identity):
        return message, MechanismLog()
    token = mechanism.unit == "token"
    if token:
        records = message.flatten(0, 1)
    else:
        records = (message * attention_mask[:, :, None].to(message.device)).flatten(1)
    clipped = mechanism.clip(records)
    noised = mechanism.add_noise(clipped, noise)
    with torch.no_grad():
        real = attention_mask.flatten().bool() if token else slice(None)
        signal = clipped[real]
        over = (signal != records[real]).any(1)
        log = MechanismLog(
            records=len(over),
            clipped=int(over.sum()),
            signal=float(signal.double().square().sum()),
            noise=mechanism.noise_std**2 * signal.numel(),
        )
    return noised.view_as(message), log


PLACES = {"hidden": "hidden", "hidden_gradient": "gradient", "smashed_gradient": "gradient"}
"""The kinds of message that a guard may stand at, and the field that it acts on."""


class MechanismGuard:
    """Lets a mechanism act on Z, G_Z or G_A as it crosses, and keeps the log."""

    def __init__(self, mechanism: Mechanism, kind: str, noise: NoiseSource) -> None:
        """Stand at one kind of message; its sender and step label the noise on each."""
        self.mechanism, self.kind, self.noise = mechanism, kind, noise
        self.log = MechanismLog()

    def __call__(self, message: Message) -> Message:
        """Return the message with its values clipped and noised; padded positions too."""
        field = PLACES[self.kind]
        values = to_tensor(getattr(message, field))
        draws = self.noise.draws(self.kind, message.client, getattr(message, "step", 0))
        everywhere = torch.ones(values.shape[:2])
        values, log = protect(self.mechanism, values, everywhere, draws)
        self.log += log
        changed: dict[str, Any] = {field: to_array(values)}
        return replace(message, **changed)


def guards(defence: Defence, noise: NoiseSource) -> dict[str, MechanismGuard]:
    """Return the guards that a defence posts on the channel."""
    return {
        kind: MechanismGuard(getattr(defence, kind), kind, noise)
        for kind in PLACES
        if not isinstance(getattr(defence, kind), Identity)
    }
