"""The ledger: what each of the five views may learn from one training, as values with a sentence.

Costs are stored, guarantees are derived from them here. The numbers come from
`privacy.accountants`, whose names are at hand here too.
"""

from dataclasses import dataclass

from privacy.accountants import (
    Bound,
    gaussian_epsilon,
    poisson_gaussian_bound,
    poisson_gaussian_epsilon,
)
from privacy.defence import STRATEGIES, Defence, refuse_update
from privacy.guarantee import (
    BACKWARD_EXCLUSIONS,
    CONTEXT_EXCLUSION,
    FORWARD_EXCLUSIONS,
    UPDATE_EXCLUSIONS,
    Entry,
    Guarantee,
    NoGuarantee,
    NothingSent,
    Scope,
)
from privacy.mechanism import VIEWS, Cost, Identity, Mechanism, View, one_of, open_unit, whole

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
        return _backward(defence, use)
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


def _backward(defence: Defence, use: Use) -> Entry:
    cost = defence.hidden_gradient.cost()
    if cost is None:
        if isinstance(defence.hidden_gradient, Identity):
            why = "noise on A does not cover the gradients G_Z, sent as they are"
        else:
            why = _no_cost(defence.hidden_gradient, "G_Z")
        return NoGuarantee("backward", why)
    if cost.unit == "token":
        return NoGuarantee(
            "backward",
            "behind the body one token moves every row of G_Z, and the noise covers a change of "
            "one row; a guarantee needs the sequence as unit",
        )
    releases, exclusions = use.forward_releases, BACKWARD_EXCLUSIONS
    return _guarantee("backward", cost, releases, use.delta, "local", exclusions)


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
