"""Risk of single records: against slower readings of the definitions, and on planted ones."""

import numpy as np
import pytest

from evaluation.metrics.record_risk import (
    LEAST,
    RIDGE,
    found_at,
    leverage,
    loss_iqr,
    order_of,
    precision_at,
)
from fedbert.errors import InputError


def test_spread_of_losses_is_each_records_own_quartiles() -> None:
    rng = np.random.default_rng(0)
    who, losses = rng.integers(0, 30, 200), rng.exponential(1, 200)
    found, visits = loss_iqr(who, losses, 31)
    for record in range(31):
        own = losses[who == record]
        assert visits[record] == len(own)
        if len(own) < LEAST:
            assert np.isnan(found[record])
        else:
            assert found[record] == np.subtract(*np.quantile(own, (0.75, 0.25)))


def test_order_of_visits_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    who, losses = rng.integers(0, 10, 100), rng.exponential(1, 100)
    mixed = rng.permutation(100)
    first, second = loss_iqr(who, losses, 10), loss_iqr(who[mixed], losses[mixed], 10)
    assert np.array_equal(first[0], second[0])


def test_leverage_of_scores_is_the_diagonal_of_the_hat_matrix() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 3))
    full = np.column_stack([x, np.ones(40)])
    ridge = RIDGE * np.trace(full.T @ full) / 4
    hat = full @ np.linalg.inv(full.T @ full + ridge * np.eye(4)) @ full.T
    assert np.allclose(leverage(x, None), np.diag(hat), rtol=1e-9)


def test_leverage_of_two_classes_is_that_of_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    x, score = rng.normal(size=(60, 4)), rng.normal(size=60)
    p = 1 / (1 + np.exp(-score))
    root = np.sqrt(p * (1 - p))[:, None] * np.column_stack([x, np.ones(60)])
    ridge = RIDGE * np.trace(root.T @ root) / 5
    hat = root @ np.linalg.inv(root.T @ root + ridge * np.eye(5)) @ root.T
    logits = np.column_stack([np.zeros(60), score])
    assert np.allclose(leverage(x, logits), np.diag(hat), rtol=1e-9)
    assert np.allclose(leverage(x, logits + 7), np.diag(hat), rtol=1e-9)


def test_leverage_is_how_far_an_answer_follows_its_own_label() -> None:
    """The oracle of the definition: d fitted_i / d y_i of the ridge regression, by difference."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(25, 2)), rng.normal(size=25)
    full = np.column_stack([x, np.ones(25)])
    ridge = RIDGE * np.trace(full.T @ full) / 3

    def fitted(labels: np.ndarray) -> np.ndarray:
        weight = np.linalg.solve(full.T @ full + ridge * np.eye(3), full.T @ labels)
        return np.asarray(full @ weight)

    for i, found in enumerate(leverage(x, None)):
        moved = fitted(y + np.eye(25)[i])[i] - fitted(y)[i]
        assert np.isclose(found, moved, rtol=1e-9)


def test_an_outlier_has_the_most_leverage() -> None:
    x = np.random.default_rng(5).normal(size=(50, 3))
    x[17] *= 30
    assert order_of(leverage(x, None))[0] == 17


def test_records_without_a_score_come_last() -> None:
    assert order_of(np.array([np.nan, 1.0, np.nan, 3.0])).tolist() == [3, 1, 0, 2]


def test_found_spares_all_but_the_share_of_non_members() -> None:
    others = np.arange(200.0)
    scores = np.array([196.5, 197.0, 197.5, 300.0])
    assert found_at(scores, others, 0.01).tolist() == [False, False, True, True]
    assert (found_at(others, others, 0.01)).sum() == 2
    with pytest.raises(InputError, match="expected 100 non-members, got 99"):
        found_at(scores, others[:99], 0.01)


def test_precision_of_a_ranking_that_knows_and_of_one_that_does_not() -> None:
    """In 300 draws a ranking by chance holds the share of all in its interval but for 5 %.

    At n = 50 on top, Clopper and Pearson's interval misses at most 5 %: more than 34 of 300 has a
    chance below 1e-5.
    """
    found = np.zeros(5000, dtype=bool)
    found[:400] = True
    estimate, of_all = precision_at(found.astype(float), found)
    assert (estimate.value, estimate.n, of_all) == (1.0, 50, 0.08)
    rng, missed = np.random.default_rng(6), 0
    for _ in range(300):
        estimate, of_all = precision_at(rng.random(5000), found)
        missed += not estimate.low <= of_all <= estimate.high
    assert missed <= 34


def test_precision_counts_no_record_without_a_score() -> None:
    scores = np.array([np.nan] * 100 + [1.0, 2.0])
    estimate, of_all = precision_at(scores, np.r_[np.ones(100, bool), False, True])
    assert (estimate.value, estimate.n, of_all) == (1.0, 1, 0.5)
    with pytest.raises(InputError, match="expected scored records"):
        precision_at(np.array([np.nan]), np.array([True]))
