"""Choosing the best of several trainings: its cost by an independent formula, and its ledger."""

import math
from dataclasses import replace

import numpy as np
import pytest
from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

from privacy.accounting import label_claims, ledger
from privacy.composition import epsilon_of
from privacy.defence import Defence, refuse
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import Event, GaussianEvent, MetricEvent, PoissonGaussianEvent, PureEvent
from privacy.facts import TrainingFacts
from privacy.gaussian import Gaussian
from privacy.guarantee import Guarantee, NoGuarantee
from privacy.randomised_response import RandomisedResponse
from privacy.selection import Selection, selected_bound, selected_curve, selected_multiplier

FACTS = TrainingFacts("fedavg", rounds=4, steps=40, sample_rate=0.02, delta=1e-5, labels=2)


@pytest.mark.parametrize(("mean", "shape"), [(10.0, 1.0), (10.0, 0.0), (5.0, 0.5), (3.0, 2.0)])
def test_the_cost_is_the_published_formula(mean: float, shape: float) -> None:
    selection, noise = Selection(mean, shape), 4.0
    orders = np.concatenate([np.linspace(1.02, 12, 600), np.arange(13, 600)])
    rdp = orders / (2 * noise**2)  # of one Gaussian release
    gamma = selection.stopping
    least = (1 + shape) * np.min((1 - 1 / orders) * rdp + math.log(1 / gamma) / orders)
    both = rdp + least + math.log(mean) / (orders - 1)
    expected, _ = compute_epsilon(orders, both, 1e-5)
    found = selected_bound(GaussianEvent(noise), 1, selection, 1e-5)
    assert found.epsilon == pytest.approx(expected, rel=0.02)  # their orders are others
    assert found.epsilon >= 0.999 * expected


@pytest.mark.parametrize("event", [GaussianEvent(5.0), PoissonGaussianEvent(0.9, 0.02)])
def test_more_trainings_cost_more_and_one_costs_least(event: Event) -> None:
    costs = [selected_bound(event, 40, Selection(m), 1e-5).epsilon for m in (1.01, 2, 10, 100)]
    assert costs == sorted(costs)
    assert costs[0] > epsilon_of(event, 40, 1e-5, "rdp").epsilon
    assert costs[2] < 10 * epsilon_of(event, 40, 1e-5).epsilon


def test_pure_releases_cost_two_and_the_shape_times_as_much() -> None:
    """Against the exact answer of a geometric number: best of K randomised responses."""
    epsilon, selection = 0.8, Selection(10.0, 1.0)
    assert selected_bound(PureEvent(epsilon), 1, selection, 1e-5).epsilon == pytest.approx(2.4)
    truth, gamma = 1 / (1 + math.exp(-epsilon)), selection.stopping

    def all_low(low: float) -> float:  # the best of K answers is the low one: all of them are
        return gamma * low / (1 - (1 - gamma) * low)

    low, high = all_low(1 - truth), all_low(truth)
    worst = max(math.log(high / low), math.log((1 - low) / (1 - high)))
    assert epsilon < worst <= 2.4


@pytest.mark.parametrize(("mean", "shape"), [(10.0, 1.0), (4.0, 0.0), (5.0, 0.5), (3.0, 2.0)])
def test_the_number_drawn_has_its_distribution(mean: float, shape: float) -> None:
    selection, gamma = Selection(mean, shape), Selection(mean, shape).stopping
    drawn = np.array([selection.number((i + 0.5) / 4000) for i in range(4000)])
    assert drawn.min() == 1 and drawn.mean() == pytest.approx(mean, rel=0.01)
    if shape == 1.0:
        for count in (1, 2, 5):
            chance = gamma * (1 - gamma) ** (count - 1)
            assert (drawn == count).mean() == pytest.approx(chance, abs=1e-3)
    ratio = (drawn == 2).sum() / (drawn == 1).sum()
    assert ratio == pytest.approx((1 - gamma) * (1 + shape) / 2, rel=0.01)


@pytest.mark.parametrize(("rate", "count"), [(None, 10), (0.02, 200)])
def test_the_noise_found_meets_its_target_and_less_does_not(rate: float | None, count: int) -> None:
    noise = selected_multiplier(3.0, 1e-5, Selection(10.0), count, rate)

    def spent(sigma: float) -> float:
        event = GaussianEvent(sigma) if rate is None else PoissonGaussianEvent(sigma, rate)
        return selected_bound(event, count, Selection(10.0), 1e-5).epsilon

    assert spent(noise) <= 3.0 < spent(0.999 * noise)


def test_the_curve_is_above_that_of_one_training_and_holds_its_delta() -> None:
    event, selection = GaussianEvent(3.0), Selection(5.0)
    curve, bound = selected_curve(event, 2, selection), selected_bound(event, 2, selection, 1e-5)
    one = epsilon_of(event, 2, 1e-5).epsilon
    assert curve.tpr_at(0.01) <= math.exp(bound.epsilon) * 0.01 + 1e-5 + 1e-9
    assert curve.tpr_at(0.01) > 0.01 and bound.epsilon > one
    assert np.all(np.diff(curve.deltas) <= 0)


@pytest.mark.parametrize(
    ("mean", "shape"), [(1.0, 1.0), (0.0, 1.0), (math.nan, 1.0), (1e9, 1.0), (5.0, -0.1),
                        (5.0, math.inf), (5.0, math.nan)],
)  # fmt: skip
def test_what_is_no_distribution_is_refused(mean: float, shape: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        Selection(mean, shape)


def test_nothing_is_known_of_metric_privacy() -> None:
    with pytest.raises(ValueError, match="Gaussian or pure"):
        selected_bound(MetricEvent(1.0), 1, Selection(5.0), 1e-5)


@pytest.mark.parametrize(
    "defence",
    [
        Defence("sgd", training=DPSGD(1.0, noise_multiplier=1.0, sample_rate=0.02)),
        Defence("avg", update=DPFedAvg(1.0, noise_multiplier=3.0)),
        Defence("labels", labels=RandomisedResponse(2.0, 2)),
    ],
    ids=lambda each: each.name,
)
def test_the_ledger_counts_the_choice_for_the_release_alone(defence: Defence) -> None:
    chosen = replace(defence, chosen=Selection(10.0))
    one, best = ledger(defence, FACTS)["release"], ledger(chosen, FACTS)
    if defence.labels is not None:
        (one,) = [each for each in label_claims(defence, FACTS) if each.view == "release"]
        (claim,) = label_claims(chosen, FACTS)
        assert claim.view == "release" and claim.epsilon == pytest.approx(6.0)
    else:
        found = best["release"]
        assert isinstance(found, Guarantee)
        claim = found
    assert isinstance(one, Guarantee) and claim.epsilon > one.epsilon
    assert "mean 10" in claim.accountant and "public data" in claim.sentence()
    assert claim.tradeoff is not None and one.tradeoff is not None
    assert claim.tradeoff.advantage >= one.tradeoff.advantage
    for view in ("aggregator", "peer"):
        entry = best[view]
        assert isinstance(entry, NoGuarantee) and "each of the trainings" in entry.reason


def test_nothing_is_owed_for_a_choice_among_what_messages_made() -> None:
    defence = Defence("m", smashed=Gaussian(1.0, 1.0, unit="sequence"), chosen=Selection(10.0))
    why = refuse(defence, TrainingFacts("one_message", releases=1, delta=1e-5))
    assert why is not None and "costs nothing" in why
