"""Risk as a target: what is found keeps to it by the claim's own curve, and less noise does not."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.grid.build import build
from privacy.accountants import poisson_gaussian_bound
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.allowed import allowed_by
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import Event, MessageEvent, PoissonGaussianEvent, PureEvent
from privacy.gaussian import Gaussian
from privacy.laplace import Laplace
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import Identity
from privacy.randomised_response import RandomisedResponse
from privacy.risk import Risk, message_noise, pure_epsilon

FACTS = {
    "delta": 1e-5, "releases": 3, "rounds": 3, "participations": 3, "steps": 20,
    "sample_rate": 0.1, "width": 4, "length": 3, "labels": 2,
}  # fmt: skip
GIVEN: dict[type[Any], tuple[dict[str, Any], int]] = {  # what a grid writes, and releases
    Gaussian: ({"clip_norm": 2.0}, 3),
    Laplace: ({"clip_norm": 2.0}, 3),
    MatrixGaussian: ({"clip_norm": 2.0}, 3),
    DPFedAvg: ({"clip_norm": 2.0}, 3),
    AdaptiveDPFedAvg: ({"clip_norm": 2.0}, 3),
    LocalDPFedAvg: ({"clip_norm": 2.0}, 3),
    DPFTRL: ({"clip_norm": 2.0, "bands": 1}, 3),
    DPSGD: ({"clip_norm": 2.0}, 20),
    RandomisedResponse: ({}, 1),
}
TARGETS = {"target_tpr_at_1pct": 0.08, "target_advantage": 0.15}
SMALL = {"target_tpr_at_1pct": 0.02, "target_advantage": 0.05}  # much noise, quickly accounted


def reached(event: Event, releases: int, target: str) -> float:
    """What a record would say of the target's measure."""
    told = allowed_by(event, releases)
    return told.advantage if target == "target_advantage" else told.tpr_at(0.01)


def less(event: Any) -> Event:
    """The event with a hundredth less noise, or more epsilon."""
    if isinstance(event, PureEvent):
        return PureEvent(event.epsilon * 1.01)
    return type(event)(**{**vars(event), "noise_multiplier": 0.99 * event.noise_multiplier})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_every_mechanism_keeps_to_a_risk_and_wastes_no_noise(kind: type[Any], target: str) -> None:
    params, releases = GIVEN[kind]
    most = SMALL[target] if kind is DPSGD else TARGETS[target]
    event = build(kind, {target: most, **params}, FACTS, "here").cost().event
    assert reached(event, releases, target) <= most
    assert reached(less(event), releases, target) > most


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0101, 0.99), st.floats(0.001, 0.99))
def test_randomised_response_is_in_closed_form(tpr: float, advantage: float) -> None:
    for risk in (Risk("tpr_at_1pct", tpr), Risk("advantage", advantage)):
        epsilon = pure_epsilon(risk)
        name = risk.name
        assert reached(PureEvent(epsilon), 1, name) <= risk.most
        assert reached(PureEvent(epsilon * 1.001), 1, name) > risk.most * (1 - 1e-5)
    exact = 2 * math.atanh(advantage)
    assert pure_epsilon(Risk("advantage", advantage)) == pytest.approx(exact, rel=2e-3)


def test_labels_beside_a_message_are_included() -> None:
    risk = Risk("advantage", 0.3)
    noise = message_noise(risk, 0.3, 2)
    assert risk.of_event(MessageEvent(noise, 0.3), 2) <= 0.3
    assert risk.of_event(MessageEvent(0.99 * noise, 0.3), 2) > 0.3
    both = build(Laplace, {"target_advantage": 0.3, "beside": 0.2, "clip_norm": 1.0}, FACTS, "here")
    assert risk.of_event(PureEvent(both.epsilon + 0.2), 3) <= 0.3
    assert risk.of_event(PureEvent(1.01 * (both.epsilon + 0.2)), 3) > 0.3
    for call in (lambda: message_noise(risk, 1.0, 1), lambda: pure_epsilon(risk, 1, 1.0)):
        with pytest.raises(ValueError, match=r"expected target_advantage > 0.46211\d, which the l"):
            call()


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (Gaussian, {"target_tpr_at_1pct": 0.01},
         "here: expected 0.01 < target_tpr_at_1pct < 1 (0.01 is what guessing reaches), got "
         "target_tpr_at_1pct=0.01"),
        (Gaussian, {"target_advantage": 0.0}, "expected 0 < target_advantage < 1"),
        (Gaussian, {"target_advantage": 1.0}, "got target_advantage=1.0"),
        (Gaussian, {"target_advantage": math.nan}, "got target_advantage=nan"),
        (Gaussian, {"target_advantage": "few"}, "expected a number, got target_advantage='few'"),
        (Gaussian, {"target_advantage": 0.1, "target_epsilon": 8.0},
         "expected one of target_epsilon, target_tpr_at_1pct, target_advantage, got "
         "target_epsilon and target_advantage"),
        (Gaussian, {"target_advantage": 0.1, "noise_multiplier": 1.0},
         "only without target_advantage, got noise_multiplier=1.0"),
        (Gaussian, {"target": 0.1}, "unknown key 'target'"),
        (Identity, {"target_advantage": 0.1},
         "expected a mechanism with a guarantee for target_advantage, got Identity"),
        (DPSGD, {"target_advantage": 0.95}, "which sampling keeps without any noise"),
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused_in_one_line(
    kind: type[Any], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match="here: ") as caught:
        build(kind, {"clip_norm": 1.0, **given}, FACTS | {"steps": 3}, "here")
    assert words in str(caught.value) and "\n" not in str(caught.value)


class Theirs:
    """Somebody else's mechanism, which knows a target_epsilon alone."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    @classmethod
    def calibrated(cls, target_epsilon: float) -> "Theirs":
        return cls(1 / target_epsilon)


def test_a_mechanism_without_a_curve_is_refused() -> None:
    assert build(Theirs, {"target_epsilon": 2.0}, FACTS, "here").noise == 0.5
    words = r"with a trade-off curve for target_advantage, got Theirs, which knows target_epsilon$"
    with pytest.raises(ValueError, match=words):
        build(Theirs, {"target_advantage": 0.1}, FACTS, "here")


def test_a_fifth_less_noise_at_equal_risk() -> None:
    """DP-SGD on SST-2: 65,000 records, batches of 1,024, 300 steps; TPR of .02 at 1 %.

    The line of (epsilon, delta 1e-5) that allows as much needs 1.675; 1.255 keeps to it.
    """
    rate, risk = 1024 / 65_000, Risk("tpr_at_1pct", 0.02)
    assert risk.of_event(PoissonGaussianEvent(1.255, rate), 300) <= 0.02
    implied = math.log((0.02 - 1e-5) / 0.01)
    assert poisson_gaussian_bound(1.255 / 0.8, rate, 300, 1e-5).epsilon > implied
