"""Mechanisms by themselves: the broken ones are caught, the right ones not, bounds are tight."""

import numpy as np
import pytest
import torch
from scipy import stats

from evaluation.auditing.mechanisms.distinguish import Probe, distinguish
from evaluation.auditing.mechanisms.isolation import (
    SAMPLES,
    audit_any,
    audit_mechanism,
    audit_step,
    claim_of,
)
from evaluation.auditing.verdict import Claim
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.laplace import Laplace
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import ClipOnly, Mechanism
from privacy.randomised_response import RandomisedResponse
from privacy.randomness.draws import Draws
from reports.card.content import CONSISTENT, TOO_WEAK, VIOLATES
from tests.evaluation.auditing.mistaken import PAIRS
from tests.privacy.mistakes import SensitivityOfOneClip

DELTA = 1e-5
FEW = 20_000


@pytest.fixture
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the batches that are looked at beside a known row, where none gives anything
    away: the level of a bound, its false alarms, does not depend on their number.
    """
    monkeypatch.setattr("evaluation.auditing.mechanisms.over_calls.CALLS", 1000)


@pytest.mark.usefixtures("few_batches")
@pytest.mark.parametrize("name", PAIRS)
def test_every_published_mistake_violates_its_claim_with_an_eighth_of_the_samples(
    name: str,
) -> None:
    """All the more at the default, whose bounds docs/results/audit-fixtures.md prints."""
    found = PAIRS[name][0](0, SAMPLES // 8)
    assert found is not None and found.verdict == VIOLATES, found


@pytest.mark.usefixtures("few_batches")
@pytest.mark.parametrize("name", PAIRS)
def test_what_is_right_does_not(name: str) -> None:
    """Each seed may fail with 5 %: more than two of three with 1.25e-4, over all rows 1.4e-3.

    In fact far less: bounds lie two errors below. Twenty seeds were run once by hand. The first
    seed that does not fail decides.
    """
    assert any(PAIRS[name][1](seed, FEW).verdict != VIOLATES for seed in (1, 2, 3))  # type: ignore[union-attr]


@pytest.mark.usefixtures("few_batches")
@pytest.mark.parametrize("epsilon", [2.0, 4.0])
def test_the_bound_on_plain_gaussian_noise_reaches_nine_tenths_and_no_more_is_drawn(
    epsilon: float,
) -> None:
    found = audit_mechanism(Gaussian.calibrated(epsilon, DELTA, 3.0), DELTA, 5)
    assert found is not None and found.claim.epsilon == pytest.approx(epsilon)
    assert 0.9 * epsilon * (1 - 1e-6) <= found.bound <= epsilon and found.verdict == CONSISTENT
    assert found.samples < SAMPLES / 2 and "stopped at a bound of 90 %" in found.detail()


def test_a_violation_stops_the_audit_and_the_cap_does() -> None:
    noise = SensitivityOfOneClip.calibrated(2.0, DELTA, 3.0)
    found = audit_mechanism(noise, DELTA, 5)
    assert found is not None and found.samples < SAMPLES / 100
    assert found.verdict == VIOLATES and "stopped at a violation" in found.detail()
    few = audit_mechanism(Gaussian.calibrated(2.0, DELTA, 3.0), DELTA, 5, samples=2000)
    assert few is not None and "stopped at the most samples" in few.detail()


def test_a_violation_in_sight_is_not_passed_over_at_nine_tenths() -> None:
    """A fifth less noise than claimed: a bound of nine tenths comes first, and is no reason."""
    claim = claim_of(Gaussian(1.0, 0.8).cost().event, DELTA)
    found = audit_mechanism(Gaussian(1.0, 0.64), DELTA, 5, claim=claim)
    assert found is not None and found.verdict == VIOLATES


@pytest.mark.usefixtures("few_batches")
@pytest.mark.parametrize(
    "mechanism",
    [
        Laplace(1.0, 2.0),
        RandomisedResponse(1.0, 3),
        DPFedAvg(1.0, 0.9),
        DPFTRL(1.0, 2.5, bands=3, rounds=20),
        AdaptiveDPFedAvg(1.0, 0.9),
        LocalDPFedAvg(1.0, 0.9),
        MatrixGaussian(1.0, 0.9, width=16, length=4, column_spread=4.0, keep=8),
    ],
    ids=lambda mechanism: type(mechanism).__name__,
)
def test_every_mechanism_comes_close_to_what_it_claims(mechanism) -> None:
    found = audit_any(mechanism, DELTA, 7, samples=FEW)
    assert found is not None and found.verdict == CONSISTENT
    assert found.bound > 0.75 * found.claim.epsilon


def test_the_step_of_dp_sgd_shows_its_noise_and_a_secretly_smaller_one() -> None:
    right = DPSGD(0.5, 1.0, 0.1)
    found = audit_step(right, DELTA, 1)
    assert found.verdict == CONSISTENT and found.bound > 0.85 * found.claim.epsilon
    claim = claim_of(right.cost().event, DELTA)
    assert audit_step(DPSGD(0.5, 0.5, 0.1), DELTA, 1, claim=claim).verdict == VIOLATES


def test_few_samples_are_too_weak_and_say_what_it_takes() -> None:
    found = distinguish("x", Claim(8.0, 0.0), [_gaussian(3.0)], 200)
    assert found.verdict == TOO_WEAK and "it would take at least about" in found.detail()
    assert audit_mechanism(ClipOnly(1.0), DELTA, 0) is None


def test_the_choice_of_a_rule_is_paid_for() -> None:
    """On no difference at all, over many statistics: at most 5 % and what chance allows (1e-4)."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        noise = Probe("x", lambda side, n, r=rng: {str(i): r.normal(size=n) for i in range(5)})
        alarms += distinguish("x", Claim(0.0, DELTA, gaussian=True), [noise], 200).bound > 0
    assert alarms <= stats.binom.isf(1e-4, 100, 0.05)


def _gaussian(mu: float) -> Probe:
    rng = np.random.default_rng(1)
    return Probe("x", lambda side, n: {"x": rng.normal(mu * (1 - side), 1, n)})


@pytest.mark.parametrize(
    ("kind", "expected"), [(Gaussian, torch.float32), (DPFedAvg, torch.float64)]
)
def test_a_mechanism_is_audited_as_a_run_uses_it(
    monkeypatch: pytest.MonkeyPatch, kind: type, expected: torch.dtype
) -> None:
    """The same draws and the same type of records; sums of updates are kept in float64."""
    seen: list[tuple[type, torch.dtype]] = []
    real = kind.add_noise

    def heard(self: Mechanism, records: torch.Tensor, draws: Draws) -> torch.Tensor:
        seen.append((type(draws), records.dtype))
        return real(self, records, draws)

    monkeypatch.setattr(kind, "add_noise", heard)
    audit_mechanism(kind(1.0, 1.0), 1e-5, 0, samples=200)
    assert set(seen) == {(Draws, expected)}
