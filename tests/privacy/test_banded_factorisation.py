"""Banded factorisation: C by its definition, errors beside an oracle's, sensitivity by search."""

import itertools
import math

import numpy as np
import pytest

from privacy.banded_factorisation import (
    coefficients,
    column_norms,
    noise_rows,
    round_variances,
    sum_variance,
)

SIZES = [(1, 1), (1, 7), (3, 3), (4, 16), (7, 20)]  # bands, rounds


def sum_errors(own: tuple[float, ...], rounds: int) -> np.ndarray:
    """The expected squared noise [round] on each running sum, for Z of variance 1."""
    return np.square(np.cumsum(noise_rows(own, rounds), axis=0)).sum(axis=1)


def dense(bands: int, rounds: int) -> np.ndarray:
    """C by its definition: Toeplitz, banded, each column divided by its length."""
    own, made = coefficients(bands, rounds), np.zeros((rounds, rounds))
    for row in range(rounds):
        for column in range(max(0, row - bands + 1), row + 1):
            made[row, column] = own[row - column]
    return made / np.linalg.norm(made, axis=0)


@pytest.mark.parametrize(("bands", "rounds"), SIZES)
def test_the_rows_of_noise_are_those_of_the_inverse(bands: int, rounds: int) -> None:
    c, rows = dense(bands, rounds), noise_rows(coefficients(bands, rounds), rounds)
    np.testing.assert_allclose(c @ rows, np.eye(rounds), atol=1e-12)
    assert not np.triu(rows, 1).any(), "a round's noise is made of rounds that are past"
    for first in (1, rounds, rounds + 1):
        np.testing.assert_array_equal(
            noise_rows(coefficients(bands, rounds), rounds, first), rows[:first, :first]
        )
    gram = c.T @ c
    np.testing.assert_allclose(np.diag(gram), 1.0)
    apart = np.abs(np.subtract.outer(np.arange(rounds), np.arange(rounds)))
    assert not gram[apart >= bands].any()
    assert bands == 1 or gram[apart == bands - 1].all()


@pytest.mark.parametrize(("bands", "rounds"), SIZES)
def test_variances_are_those_of_the_rows(bands: int, rounds: int) -> None:
    own = coefficients(bands, rounds)
    rows = noise_rows(own, rounds)
    np.testing.assert_allclose(round_variances(own, rounds), np.square(rows).sum(1))
    assert (round_variances(own, rounds) >= 1 - 1e-12).all()
    for begin, end in itertools.combinations(range(rounds + 1), 2):
        expected = np.square(rows[begin:end].sum(0)).sum()
        assert sum_variance(own, rounds, range(begin, end)) == pytest.approx(expected)
    np.testing.assert_allclose(
        sum_errors(own, rounds),
        [sum_variance(own, rounds, range(end)) for end in range(1, rounds + 1)],
    )
    for begun in range(rounds):  # what is left of C when earlier noise is gone
        left = np.linalg.inv(dense(bands, rounds)[begun:, begun:])
        found = round_variances(own, rounds, begun)
        np.testing.assert_allclose(found[begun:], np.square(left).sum(1))
        assert not found[:begun].any()


@pytest.mark.parametrize(("bands", "rounds"), [(1, 1), (1, 7), (3, 3), (4, 16)])
def test_only_the_last_columns_are_cut(bands: int, rounds: int) -> None:
    norms = column_norms(coefficients(bands, rounds), rounds)
    np.testing.assert_allclose(norms[: rounds - bands + 1], 1.0)
    assert (np.diff(norms[rounds - bands :]) < 0).all()


ORACLE = {  # jax-privacy 2.0.0, jax 0.10.2, float64: optimize_banded_toeplitz(n, bands), length 1,
    # ColumnNormalizedBanded.from_banded_toeplitz, per_query_error: mean and largest over rounds
    (2, 10): (3.5780878986735423, 5.769880565716659),
    (4, 16): (3.700024923198618, 5.473115539262906),
    (8, 64): (7.040620167833165, 11.003225705971541),
    (10, 100): (8.626388381737012, 13.722964682805692),
    (16, 256): (13.179040613755891, 21.736686759668963),
}
FREE = {(2, 10): 3.5336220916246743, (4, 16): 3.621011473215118, (8, 64): 6.867109187094039}
"""Of the same: the mean of `banded.optimize`, whose every column has coefficients of its own."""


@pytest.mark.parametrize("size", ORACLE)
def test_the_errors_are_those_of_the_oracle(size: tuple[int, int]) -> None:
    errors = sum_errors(coefficients(*size), size[1])
    assert errors.mean() == pytest.approx(ORACLE[size][0], rel=1e-5)
    assert errors.max() == pytest.approx(ORACLE[size][1], rel=1e-5)
    assert FREE.get(size, 0) < errors.mean() < 1.03 * FREE.get(size, math.inf)


def test_more_bands_mean_less_noise_on_the_sums() -> None:
    rounds = 60
    errors = [sum_errors(coefficients(bands, rounds), rounds).mean() for bands in (1, 2, 4, 8, 60)]
    assert errors[0] == pytest.approx((rounds + 1) / 2), "independent noise adds up"
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 5


def test_no_small_change_of_the_coefficients_has_less_noise() -> None:
    """Of Toeplitz matrices as they are optimised, before their last columns are scaled."""

    def error(own: np.ndarray) -> float:
        first = np.linalg.solve(
            sum(c * np.eye(rounds, k=-j) for j, c in enumerate(own)), np.ones(rounds)
        )
        return float(own @ own * (np.arange(rounds, 0, -1) @ np.square(first)))

    rounds = 40
    own = np.array(coefficients(5, rounds))
    for place, step in itertools.product(range(5), (-0.01, 0.01)):
        changed = own.copy()
        changed[place] += step
        assert error(changed) > error(own)
    assert error(own) < error(np.array([math.comb(2 * j, j) / 4**j for j in range(5)]))


@pytest.mark.parametrize(("bands", "rounds"), [(1, 4), (2, 6), (3, 8)])
def test_no_client_moves_more_than_the_sensitivity(bands: int, rounds: int) -> None:
    """Every set of rounds at least `bands` apart, with rows of length 1 in random directions."""
    c, rng, reached = dense(bands, rounds), np.random.default_rng(bands), 0
    for count in range(1, rounds + 1):
        for there in itertools.combinations(range(rounds), count):
            rows = np.zeros((rounds, 3))
            drawn = rng.normal(size=(count, 3))
            rows[list(there)] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
            moved = np.linalg.norm(c @ rows)
            if min(np.diff(there), default=rounds) >= bands:
                assert moved == pytest.approx(math.sqrt(count))
                reached += 1
    assert reached >= rounds


def test_rounds_closer_than_the_bands_move_more() -> None:
    """What `refuse` is for: the same direction in neighbouring rounds adds up."""
    c = dense(3, 9)
    every_other = np.arange(9) % 2 == 0
    assert np.linalg.norm(c @ every_other) > 1.15 * math.sqrt(5)
    assert np.linalg.norm(c @ (np.arange(9) % 3 == 0)) == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize(
    ("bands", "rounds", "words"),
    [
        (0, 3, "bands >= 1, got bands=0"),
        (1, 0, "rounds >= 1, got rounds=0"),
        (4, 3, r"bands <= rounds \(3\), got bands=4"),
        (2.0, 3, "bands"),
        (True, 3, "bands"),
    ],
)
def test_what_cannot_be_is_refused(bands: int, rounds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        coefficients(bands, rounds)
