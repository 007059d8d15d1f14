"""Lower bounds on epsilon: the reference values, no false alarms, and no claim beyond the truth."""

import numpy as np
import pytest
from scipy import stats

from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound
from evaluation.metrics.epsilon_bounds import (
    best_epsilon,
    clopper_pearson_epsilon,
    one_run_epsilon,
    split_epsilon,
)
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon

REPEATS = 400
NOMINAL = 0.05
ALLOWED = int(stats.binom.isf(1e-4, REPEATS, NOMINAL))  # false alarms of a valid bound, 1e-4


@pytest.mark.parametrize(
    ("correct", "delta", "expected"),
    [
        (500, 0.0, 0.0),
        (700, 0.0, 0.73201),
        (700, 1e-5, 0.73174),
        (1000, 0.0, 5.80907),
        (1000, 1e-5, 5.78228),
        (1000, 1e-3, 3.48899),
    ],
)
def test_one_run_reference(correct: int, delta: float, expected: float) -> None:
    assert one_run_epsilon(1000, 1000, correct, delta, 0.05) == pytest.approx(expected, abs=6e-6)


def test_clopper_pearson_reference() -> None:
    assert clopper_pearson_epsilon(500, 500, 0, 500, 0.0, 0.01) == pytest.approx(4.54191581)
    swapped = clopper_pearson_epsilon(0, 500, 500, 500, 0.0, 0.01)
    assert swapped == 0.0  # the rule is fixed: turning it round is another rule


def test_bounds_never_grow_with_delta_or_with_confidence() -> None:
    for function in (clopper_pearson_epsilon, gaussian_epsilon_bound):
        found = [function(450, 500, 20, 500, delta, 0.05) for delta in (1e-6, 1e-3, 0.1)]
        assert found == sorted(found, reverse=True) and found[0] > 2
        levels = [function(450, 500, 20, 500, 1e-5, level) for level in (0.2, 0.05, 0.01)]
        assert levels == sorted(levels, reverse=True)
    runs = [one_run_epsilon(1000, 400, 380, delta, 0.05) for delta in (0.0, 1e-5, 1e-3, 0.1)]
    assert runs == sorted(runs, reverse=True) and runs[0] > 2


def scores(mu: float, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(mu, 1, count), rng.normal(0, 1, count)


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_no_estimator_claims_more_than_is_true_too_often(mu: float) -> None:
    """At most the nominal share of repeats plus what chance allows; also where epsilon is known."""
    rng = np.random.default_rng(5)
    delta = 1e-3
    truth = 0.0 if mu == 0 else gaussian_epsilon(1 / mu, 1, delta)
    alarms = dict.fromkeys(("fixed", "gaussian", "best", "split", "one run"), 0)
    for _ in range(REPEATS):
        ins, outs = scores(mu, 200, rng)
        counts = (int((ins >= mu / 2).sum()), 200, int((outs >= mu / 2).sum()), 200)
        right = int((ins >= mu / 2).sum() + (outs < mu / 2).sum())
        found = {
            "fixed": clopper_pearson_epsilon(*counts, delta, NOMINAL),
            "gaussian": gaussian_epsilon_bound(*counts, delta, NOMINAL),
            "best": best_epsilon(ins, outs, delta, NOMINAL),
            "split": split_epsilon(ins, outs, delta, NOMINAL, rng),
            "one run": one_run_epsilon(400, 400, right, delta, NOMINAL),
        }
        for name, value in found.items():
            alarms[name] += value > truth
    assert max(alarms.values()) <= ALLOWED, alarms


def test_a_threshold_picked_on_the_same_scores_would_be_caught() -> None:
    """The published mistake, as a control of the test above: far more than one in twenty."""
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(100):
        ins, outs = scores(0.0, 200, rng)
        places = np.quantile(np.concatenate([ins, outs]), np.linspace(0.02, 0.98, 49))
        right = max(int((ins >= p).sum() + (outs < p).sum()) for p in places)
        alarms += one_run_epsilon(400, 400, right, 0.0, NOMINAL) > 0
    assert alarms > stats.binom.isf(1e-4, 100, NOMINAL)


def test_the_gaussian_bound_comes_close_to_the_truth() -> None:
    """On two Gaussians with 20,000 scores a side: at least 90 % of the analytic epsilon."""
    rng, delta = np.random.default_rng(1), 1e-5
    ins, outs = scores(2.0, 20_000, rng)
    counts = (int((ins >= 1).sum()), 20_000, int((outs >= 1).sum()), 20_000)
    truth = gaussian_epsilon(0.5, 1, delta)
    assert 0.9 * truth < gaussian_epsilon_bound(*counts, delta, 0.05) <= truth


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson_epsilon(6, 5, 0, 5, 0.0, 0.05),
        lambda: clopper_pearson_epsilon(1, 5, -1, 5, 0.0, 0.05),
        lambda: clopper_pearson_epsilon(1, 5, 1, 0, 0.0, 0.05),
        lambda: clopper_pearson_epsilon(1, 5, 1, 5, 1.0, 0.05),
        lambda: gaussian_epsilon_bound(1, 5, 1, 5, 0.0, 0.05),
        lambda: one_run_epsilon(10, 11, 5, 0.0, 0.05),
        lambda: one_run_epsilon(10, 9, 10, 0.0, 0.05),
        lambda: one_run_epsilon(10, 9, 5, 0.0, 0.0),
        lambda: best_epsilon([], [1.0], 0.0, 0.05),
        lambda: split_epsilon([1.0, float("nan")], [1.0, 2.0], 0.0, 0.05, np.random.default_rng()),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call) -> None:
    with pytest.raises(InputError, match=r"expected .*, got "):
        call()
