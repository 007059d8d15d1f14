"""Epsilon from costs, and the ledger: for one training, what each of the five views may learn.

The only importer of the accountants of Opacus and dp-accounting, and only when they are asked.
"""

import logging
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from privacy.defence import STRATEGIES, Defence, refuse_update
from privacy.guarantee import (
    CONTEXT_EXCLUSION,
    FORWARD_EXCLUSIONS,
    UPDATE_EXCLUSIONS,
    Entry,
    Guarantee,
    NoGuarantee,
    NothingSent,
    Scope,
)
from privacy.mechanism import VIEWS, Cost, Mechanism, View, one_of, open_unit, positive, whole

__all__ = [
    "Bound",
    "Entry",
    "Guarantee",
    "NoGuarantee",
    "NothingSent",
    "Use",
    "gaussian_epsilon",
    "ledger",
    "poisson_gaussian_bound",
    "poisson_gaussian_epsilon",
]

logger = logging.getLogger(__name__)

Accountant = Literal["pld", "rdp", "prv"]

# The most points on which PRV may be asked to discretise: about half a gigabyte and two seconds.
PRV_POINTS = 2**22
PRV_EPSILON_ERROR = 0.01


def gaussian_epsilon(noise_multiplier: float, releases: int, delta: float) -> float:
    """The epsilon of `releases` Gaussian releases, exact: no sampling is claimed.

    `noise_multiplier` is the noise's standard deviation over the L2 sensitivity of one release.

    >>> round(gaussian_epsilon(0.600229, 1, 1e-5), 4)
    8.0
    >>> round(gaussian_epsilon(0.300115, 1, 1e-5), 1)  # the noise of a claimed 8, C taken for 2 C
    19.1

    | input | outcome |
    |---|---|
    | `releases` 0 | 0.0: nothing was released |
    | `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `delta` not strictly between 0 and 1; `releases` negative or no integer | `ValueError` |

    Reference: Balle and Wang (2018), theorem 8; the composition of n Gaussian releases is one
    with its noise divided by sqrt(n) (Dong, Roth, Su, 2022, corollary 3.3).
    """
    positive("noise_multiplier", noise_multiplier)
    whole("releases", releases)
    open_unit("delta", delta)
    if releases == 0:
        return 0.0
    from dp_accounting import get_epsilon_gaussian  # heavy: only when asked

    with np.errstate(divide="ignore"):  # its log of zero stands for a delta of zero
        return float(get_epsilon_gaussian(noise_multiplier / math.sqrt(releases), delta))


@dataclass(frozen=True)
class Bound:
    """An upper bound on epsilon, with the accountant that vouches for it."""

    epsilon: float
    accountant: str


def poisson_gaussian_epsilon(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    accountant: Accountant = "pld",
) -> float:
    """An upper bound on the epsilon of the Poisson-subsampled Gaussian (DP-SGD).

    `poisson_gaussian_bound` without the name of the accountant that vouches for it.

    >>> round(poisson_gaussian_epsilon(1.0, 0.01, 1000, 1e-5, accountant="rdp"), 5)
    2.10137
    """
    bound = poisson_gaussian_bound(noise_multiplier, sample_rate, steps, delta, accountant)
    return bound.epsilon


def poisson_gaussian_bound(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    accountant: Accountant = "pld",
) -> Bound:
    """An upper bound on the epsilon of the Poisson-subsampled Gaussian, and who vouches for it.

    Add-or-remove-one; for the `release` view alone, and only where every record really is drawn
    independently with probability `sample_rate` at each step. What PLD or PRV cannot do within
    bounded memory falls to the smallest valid bound at hand, with a warning in the log; PRV is
    taken only where it is not below PLD, itself an upper bound.

    | input | outcome |
    |---|---|
    | `steps` 0 or `sample_rate` 0 | epsilon 0.0: no record was touched |
    | `sample_rate` 1 | no amplification: every record at every step |
    | `sample_rate` outside [0, 1] | `ValueError` |
    | `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `delta` not strictly between 0 and 1; `steps` negative or no integer | `ValueError` |
    """
    one_of("accountant", accountant, get_args(Accountant))
    positive("noise_multiplier", noise_multiplier)
    whole("steps", steps)
    open_unit("delta", delta)
    if not 0 <= sample_rate <= 1:
        raise ValueError(f"expected 0 <= sample_rate <= 1, got sample_rate={sample_rate}")
    if steps == 0 or sample_rate == 0:
        return Bound(0.0, accountant)
    safe = _rdp(noise_multiplier, sample_rate, steps, delta)
    if accountant == "rdp":
        return safe
    pld = _pld(noise_multiplier, sample_rate, steps, delta, ceiling=safe.epsilon)
    best = min((bound for bound in (pld, safe) if bound is not None), key=lambda b: b.epsilon)
    if accountant == "prv":
        prv = _prv(noise_multiplier, sample_rate, steps, delta)
        if prv is not None and best.epsilon <= prv.epsilon <= safe.epsilon:
            best = prv
    if best.accountant != accountant:
        logger.warning("%s does not serve here: epsilon is from %s", accountant, best.accountant)
    return best


def _rdp(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> Bound:
    """Always a finite bound: where RDP has none, that of releases without sampling."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    accountant.compose(dp_accounting.PoissonSampledDpEvent(sample_rate, gaussian), steps)
    epsilon = float(accountant.get_epsilon(delta))
    if math.isfinite(epsilon):
        return Bound(epsilon, "rdp")
    return Bound(gaussian_epsilon(noise_multiplier, steps, delta), "gaussian without sampling")


def _pld(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, ceiling: float
) -> Bound | None:
    """PLD on a grid as fine as memory allows; a coarser one is still an upper bound."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    largest_loss = 0.5 / noise_multiplier**2 + 10.0 / noise_multiplier  # of one step
    interval = max(1e-4, 1e-5 * ceiling, 1e-6 * largest_loss)
    accountant = PLDAccountant(value_discretization_interval=interval)
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    try:
        accountant.compose(dp_accounting.PoissonSampledDpEvent(sample_rate, gaussian), steps)
        epsilon = float(accountant.get_epsilon(delta))
    except (ArithmeticError, MemoryError, RuntimeError, ValueError):
        logger.warning("PLD failed", exc_info=True)
        return None
    return Bound(epsilon, "pld") if math.isfinite(epsilon) else None


def _prv(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> Bound | None:
    """PRV, after a look at the size of its grid: it would rather die than say no."""
    from opacus.accountants import PRVAccountant, RDPAccountant

    delta_error = delta / 1000
    reach = PRV_EPSILON_ERROR
    for count, tail in ((steps, delta_error / 4), (1, delta_error / (8 * steps))):
        rdp = RDPAccountant()
        rdp.history = [(noise_multiplier, sample_rate, count)]
        reach = max(reach, float(rdp.get_epsilon(tail)))
    mesh = PRV_EPSILON_ERROR / math.sqrt(steps * math.log(12 / delta_error) / 2)
    if not 2 * (reach + 3) / mesh <= PRV_POINTS:
        return None
    prv = PRVAccountant()
    prv.history = [(noise_multiplier, sample_rate, steps)]
    try:
        epsilon = float(
            prv.get_epsilon(delta, eps_error=PRV_EPSILON_ERROR, delta_error=delta_error)
        )
    except (ArithmeticError, MemoryError, RuntimeError, ValueError):
        logger.warning("PRV failed", exc_info=True)
        return None
    return Bound(epsilon, "prv") if math.isfinite(epsilon) else None


@dataclass(frozen=True)
class Use:
    """The facts of one training that its guarantees follow from.

    `forward_releases` is the most times that any one record's A was sent; `rounds` counts the
    aggregations. `embeddings_frozen` means that no parameter of E was trained, its encoder
    layers at a deeper cut included. `optimizer_state_shared` means that it went from one client
    to others, averaged or not. `cut_layer` is the number of encoder layers in E.

    Raises:
        ValueError: an unknown strategy, a count below zero, delta not strictly between 0 and 1,
            or forward releases under a strategy that sends no activations.
    """

    strategy: str
    forward_releases: int
    rounds: int
    embeddings_frozen: bool
    optimizer_state_shared: bool
    delta: float
    cut_layer: int

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("strategy", self.strategy, STRATEGIES)
        for name in ("forward_releases", "rounds", "cut_layer"):
            whole(name, getattr(self, name))
        open_unit("delta", self.delta)
        if self.strategy in ("centralised", "fedavg") and self.forward_releases > 0:
            raise ValueError(
                f"expected forward_releases=0 under {self.strategy}, "
                f"got forward_releases={self.forward_releases}"
            )


def ledger(defence: Defence, use: Use) -> dict[View, Entry]:
    """What each view may learn, in the order of `VIEWS`, all five of them always.

    The mechanism on the smashed data speaks for `forward` alone, without amplification by
    sampling: the server sees every message. The mechanism on the updates speaks for `release`
    and `peer`; it presumes what `DPFedAvg` lists (all trained parts under one clip, uniform
    weights, a fixed divisor), which is the trainer's part.
    """
    return {view: _entry(view, defence, use) for view in VIEWS}


def _entry(view: View, defence: Defence, use: Use) -> Entry:
    silence = _nothing_sent(view, use)
    if silence is not None:
        return NothingSent(view, silence)
    if view == "forward":
        return _forward(defence, use)
    if view == "backward":
        return NoGuarantee(view, "noise on A does not cover the gradients G_Z, sent as they are")
    if view == "aggregator":
        return NoGuarantee(view, "the aggregator receives each client's update before any noise")
    return _averaged(view, defence, use)


def _nothing_sent(view: View, use: Use) -> str | None:
    if use.strategy == "centralised" and view != "release":
        return "one trusted party holds the pooled data and trains alone"
    if view in ("forward", "backward"):
        if use.strategy == "fedavg":
            return "each client trains the whole model and sends no activations"
        if use.forward_releases == 0:
            return "no activations were sent"
    if view in ("aggregator", "peer") and use.rounds == 0 and use.strategy != "sequential":
        return "no round was aggregated"
    return None


def _forward(defence: Defence, use: Use) -> Entry:
    cost = defence.smashed.cost()
    if cost is None:
        return NoGuarantee("forward", _no_cost(defence.smashed, "A"))
    if cost.unit == "token" and use.cut_layer > 0:
        return NoGuarantee(
            "forward",
            f"behind {use.cut_layer} encoder layer(s) one token moves every row of A, and the "
            "noise covers a change of one row; a guarantee needs the sequence as unit",
        )
    scope: Scope = "data set" if use.embeddings_frozen else "local"
    context = (CONTEXT_EXCLUSION,) if cost.unit == "token" else ()
    exclusions = context + FORWARD_EXCLUSIONS
    return _guarantee("forward", cost, use.forward_releases, use.delta, scope, exclusions)


def _averaged(view: View, defence: Defence, use: Use) -> Entry:
    refused = refuse_update(defence, use.strategy)
    if refused is not None:
        return NoGuarantee(view, refused)
    cost = defence.update.cost()
    if cost is None:
        return NoGuarantee(view, _no_cost(defence.update, "each client update"))
    if use.rounds == 0:
        return NoGuarantee(view, "no round was aggregated, so nothing passed the mechanism")
    if use.optimizer_state_shared and view == "peer":
        return NoGuarantee(view, "the optimiser state handed on is made of raw gradients")
    if use.optimizer_state_shared:
        return NoGuarantee(
            view,
            "clients train with optimiser state made of others' raw gradients, so that removing "
            "one client moves the others' updates too, by more than the clip norm allows for",
        )
    return _guarantee(view, cost, use.rounds, use.delta, "data set", UPDATE_EXCLUSIONS)


def _no_cost(mechanism: Mechanism, what: str) -> str:
    done = "left as it is" if mechanism.clip_norm is None else "clipped but not noised"
    return f"{what} is {done}"


def _guarantee(
    view: View, cost: Cost, releases: int, delta: float, scope: Scope, exclusions: tuple[str, ...]
) -> Guarantee:
    return Guarantee(
        view=view,
        unit=cost.unit,
        relation=cost.relation,
        epsilon=gaussian_epsilon(cost.event.noise_multiplier, releases, delta),
        delta=delta,
        releases=releases,
        scope=scope,
        accountant="analytic Gaussian, exact composition",
        exclusions=exclusions,
    )
