"""Terms of a live audit: whether it can be had as asked, and is the one that was begun with."""

from typing import Any

import numpy as np

from evaluation.auditing.live.planting import Kind, coins_of, kind_of, noises_sums
from evaluation.grid.audit import NO_AUDIT, AuditSettings
from fedbert.config import Config
from fedbert.errors import InputError
from privacy.defence import Defence, over_rounds
from privacy.randomness.source import NoiseSource


def refusal(asked: AuditSettings, config: Config, defence: Defence) -> str | None:
    """Return why a training cannot be audited as asked; None where it can."""
    try:
        _ = canaries_kind(asked, config, defence)
    except InputError as error:
        return str(error)
    return None


def canaries_kind(asked: AuditSettings, config: Config, defence: Defence) -> Kind | None:
    """Return the kind of a training's canaries; None without any.

    Raises:
        InputError: for a defence or strategy of which nothing can be shown in this way.
    """
    if asked.noise and not noises_sums(defence):
        raise InputError(
            "audit: expected DP-SGD, DP-FedAvg, adaptive DP-FedAvg or DP-FTRL for noise = "
            f"true: noise that lies on sums, got defence {defence.name!r}"
        )
    skips = config.training.below_quorum == "skip"
    if asked.asked and skips and over_rounds(defence.update) is not None:
        raise InputError(
            'audit: expected below_quorum = "stop" with noise correlated over rounds, of which a '
            'skipped one hides a part, got "skip": set "stop", or leave out [audit]'
        )
    return kind_of(config, defence) if asked.canaries else None


def claimed_noise(defence: Defence) -> float:
    """Return the noise multiplier that a defence's claim rests on: that of its cost."""
    mechanism = defence.training or defence.update
    cost = mechanism.cost()
    found = None if cost is None else getattr(cost.event, "noise_multiplier", None)
    if found is None:
        raise InputError(f"audit: expected a claim of {defence.name!r} about its noise, got none")
    return float(found)


def coins_for(saved: dict[str, Any], noise: NoiseSource, count: int) -> tuple[int, np.ndarray]:
    """Return seed and coins of a saved training, or new ones."""
    if saved:
        return int(saved["seed"]), np.array(saved["coins"], dtype=bool)
    return coins_of(noise, count)


def check_same(asked: AuditSettings, saved: dict[str, Any]) -> None:
    """Refuse to go on with other canaries than a training began with."""
    before = NO_AUDIT.to_json() | saved.get("shown", {})
    for key, now in asked.to_json().items():
        if before[key] != now:
            raise InputError(
                f"audit: expected {key}={before[key]}, as this training began, got {key}={now}"
            )
