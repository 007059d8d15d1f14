"""Isolation audit of a mechanism: worst-case neighbours through the very object that a run uses.

What is audited is one release, with a claim that follows from the mechanism's own cost. That many
releases compose to what a ledger says is the accountants' part.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from evaluation.auditing.mechanisms.distinguish import SIGNIFICANCE, distinguish
from evaluation.auditing.mechanisms.hostile import worst_pair
from evaluation.auditing.mechanisms.probes import (
    factors_probe,
    label_probe,
    row_probes,
    step_probe,
    sum_probes,
)
from evaluation.auditing.mechanisms.rounds import audit_rounds
from evaluation.auditing.verdict import Claim, Finding
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon
from privacy.composition import epsilon_of
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import (
    Event,
    GaussianEvent,
    MessageEvent,
    MetricEvent,
    PoissonGaussianEvent,
    PureEvent,
)
from privacy.mechanism import Mechanism
from privacy.randomised_response import RandomisedResponse

SAMPLES = 400_000
STEP_SAMPLES = 40_000
METRIC_EPSILON = 2.0  # the epsilon that metric privacy claims for the distance that is probed


def claim_of(event: Event, delta: float, releases: int = 1) -> Claim:
    """Return what an event claims of so many releases of one unit, without sampling.

    DP-SGD is taken at rate 1: the step as whoever is drawn meets it. Metric privacy is taken at the
    distance for which it claims `METRIC_EPSILON`.
    """
    if isinstance(event, GaussianEvent | PoissonGaussianEvent):
        epsilon = gaussian_epsilon(event.noise_multiplier, releases, delta)
        return Claim(epsilon, delta, gaussian=True)
    if isinstance(event, PureEvent):
        return Claim(event.epsilon * releases, 0.0)
    if isinstance(event, MessageEvent):
        return Claim(epsilon_of(event, releases, delta).epsilon, delta)
    return Claim(METRIC_EPSILON * releases, 0.0)


def audit_mechanism(
    mechanism: Mechanism | RandomisedResponse,
    delta: float,
    seed: int,
    releases: int = 1,
    claim: Claim | None = None,
    samples: int = SAMPLES,
    significance: float = SIGNIFICANCE,
) -> Finding | None:
    """Return what the mechanism's own clip and noise show of its claim; None where it has none.

    releases: of one unit, all of them seen. claim: another than that of the mechanism's cost.

    Raises:
        InputError: for a mechanism whose noise is not finite.
    """
    cost = mechanism.cost()
    if cost is None:
        return None
    name = type(mechanism).__name__
    claim = claim or claim_of(cost.event, delta, releases)
    if isinstance(mechanism, RandomisedResponse):
        return distinguish(name, claim, [label_probe(mechanism, seed)], samples, significance)
    distance = None
    if isinstance(cost.event, MetricEvent):
        distance = METRIC_EPSILON / cost.event.eta
    probes = row_probes(mechanism, cost.relation, distance, releases, seed)
    return distinguish(name, claim, probes, samples, significance)


def audit_sum(
    name: str,
    clipped_sum: Callable[[Tensor, float], Tensor],
    mechanism: DPSGD,
    delta: float,
    seed: int,
    datasets: tuple[Tensor, Tensor] | None = None,
    samples: int = SAMPLES,
    significance: float = SIGNIFICANCE,
) -> Finding:
    """Return what a clipped sum with a mechanism's noise shows of that mechanism's claim.

    clipped_sum(gradients, clip_norm) returns the sum [value]. datasets: gradients [record, ...]
    with and without one record; without them, those that move the sum most.
    """
    claim = _own_claim(mechanism, delta)
    pair = datasets or worst_pair(clipped_sum, mechanism.clip_norm)
    probes = sum_probes(clipped_sum, mechanism, pair, seed)
    return distinguish(name, claim, probes, samples, significance)


def audit_step(
    mechanism: DPSGD,
    delta: float,
    seed: int,
    samples: int = STEP_SAMPLES,
    claim: Claim | None = None,
) -> Finding:
    """Return what DP-SGD's own step (norms, factors, clipped sum, noise) shows of its claim.

    On a small layer through the engine that trains, without sampling: with and without one record
    whose gradient is far beyond the clip.
    """
    claim = claim or _own_claim(mechanism, delta)
    probes = step_probe(mechanism, seed), factors_probe(mechanism, seed)
    return distinguish("DP-SGD step", claim, probes, samples)


def _own_claim(mechanism: DPSGD, delta: float) -> Claim:
    """Return what one step of DP-SGD claims."""
    cost = mechanism.cost()
    if cost is None:
        raise InputError("expected a mechanism with a guarantee, got none")
    return claim_of(cost.event, delta)


def audit_any(mechanism: Any, delta: float, seed: int, samples: int = SAMPLES) -> Finding | None:
    """Return the audit that fits a mechanism of a defence: of DP-SGD a step, of DP-FTRL its rounds.

    Raises:
        InputError: for something that is no mechanism.
    """
    if isinstance(mechanism, DPSGD):
        return audit_step(mechanism, delta, seed)
    if isinstance(mechanism, DPFTRL):
        return audit_rounds(mechanism, delta, seed, samples)
    if not hasattr(mechanism, "cost"):
        raise InputError(f"expected a mechanism, got {type(mechanism).__name__}")
    return audit_mechanism(mechanism, delta, seed, samples=samples)
