"""Draws: laws in both directions, exact coins, every order and choice as likely as the next."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import CHUNK, KeyStream
from tests.privacy.randomness.scripted import TOP, Scripted
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    follows,
    gaussian_scale,
    laplace_scale,
    likely,
)

COUNT = 3 * CHUNK + 17  # over several chunks, the last one not full


def draws(seed: int) -> Draws:
    return Draws(KeyStream(seed.to_bytes(32, "big")))


@pytest.mark.parametrize("std", [1e-9, 1.0, 37.5])
def test_gaussian(std: float) -> None:
    noise = draws(1).gaussian((COUNT,), std)
    assert noise.dtype == torch.float64
    assert follows(noise / std, stats.norm.cdf) and gaussian_scale(noise, std)
    assert not gaussian_scale(noise, std * 1.05) and not gaussian_scale(noise, std / 1.05)
    assert not follows(noise / std + 0.02, stats.norm.cdf)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 37.5])
def test_laplace(scale: float) -> None:
    noise = draws(2).laplace((COUNT,), scale)
    assert noise.dtype == torch.float64
    std = scale * math.sqrt(2)
    assert follows(noise / scale, stats.laplace.cdf) and laplace_scale(noise, std)
    assert not laplace_scale(noise, std * 1.05) and not laplace_scale(noise, std / 1.05)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 8.0, 768.0])
def test_gamma(alpha: float) -> None:
    found = draws(3).gamma((200, 100), alpha, rate=4.0) * 4.0
    assert found.shape == (200, 100) and follows(found, stats.gamma(alpha).cdf)
    assert likely(float(found.sum()), stats.gamma(alpha * found.numel()))
    assert not follows(found, stats.gamma(alpha * 1.1).cdf)


def test_tails_are_met_as_often_as_they_should_be() -> None:
    count = 2_000_000
    gaussian, laplace = draws(4).gaussian((count,)).abs(), draws(5).laplace((count,)).abs()
    for at in (1.0, 3.0, 3.097, 3.1, 3.5, 4.5):  # the edge of the transform is at 3.0972
        expected = stats.binom(count, 2 * stats.norm.sf(at))
        assert likely(int((gaussian > at).sum()), expected)
        if at < 4:  # enough of them to see that they are not twice as many
            assert not likely(int((gaussian > at).sum()), stats.binom(count, 4 * stats.norm.sf(at)))
    for at in (1.0, 6.9, 6.94, 9.0):  # the edge is at 6.9315
        assert likely(int((laplace > at).sum()), stats.binom(count, math.exp(-at)))


def test_moments_of_the_gaussian() -> None:
    """Mean, skewness and kurtosis are each within 4.9 standard errors (1e-6)."""
    noise = draws(6).gaussian((1_000_000,)).numpy()
    root = math.sqrt(noise.size)
    assert abs(noise.mean()) * root < 4.9
    assert abs((noise**3).mean()) * root < 4.9 * math.sqrt(15)
    assert abs((noise**4).mean() - 3) * root < 4.9 * math.sqrt(96)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_values_do_not_depend_on_each_other(kind: str) -> None:
    source = draws(7)
    one, two = (getattr(source, kind)((50_000,)) for _ in range(2))
    assert not dependent(one, two) and not dependent(one[1:], one[:-1])
    assert not dependent(one[CHUNK:], one[:-CHUNK])
    assert dependent(one, one + 10 * two)  # 0.1 is seen


def test_shapes_and_refusals() -> None:
    source = draws(8)
    assert source.gaussian(()).shape == () and source.laplace((0, 3)).shape == (0, 3)
    assert source.gaussian((2, 3, 4)).shape == (2, 3, 4) and source.gamma((), 2.0).shape == ()
    for wrong in (0.0, -1.0, math.inf, math.nan):
        for draw in (source.gaussian, source.laplace):
            with pytest.raises(ValueError, match="expected"):
                draw((1,), wrong)
    with pytest.raises(ValueError, match="alpha >= 1"):
        source.gamma((1,), 0.5)


def test_directions() -> None:
    found = draws(9).sphere(4000, 5)
    assert torch.allclose(found.norm(dim=1), torch.ones(4000, dtype=torch.float64))
    # A coordinate of a uniform direction: (x + 1) / 2 is Beta((d - 1) / 2, (d - 1) / 2).
    for column in found.T:
        assert follows((column + 1) / 2, stats.beta(2, 2).cdf)
    assert not follows((draws(9).gaussian((4000,)).clamp(-1, 1) + 1) / 2, stats.beta(2, 2).cdf)


def test_uniform_is_below_one_at_the_highest_word() -> None:
    assert follows(draws(10).uniform((20_000,)), stats.uniform.cdf)
    assert Draws(Scripted(TOP, 0)).uniform((2,)).tolist() == [1 - 2.0**-53, 0.0]


@pytest.mark.parametrize("probability", [1e-3, 0.3, 0.5, 0.999])
def test_coins(probability: float) -> None:
    heads = int(draws(11).bernoulli(probability, (100, 1000)).sum())
    assert likely(heads, stats.binom(100_000, probability))
    assert not likely(heads, stats.binom(100_000, probability * 0.5))


def test_coins_are_exact_to_the_last_digit_of_their_probability() -> None:
    assert Draws(Scripted(2**63 - 1, 2**63)).bernoulli(0.5, (2,)).tolist() == [True, False]
    # 2**-65 is half a word: a first word of 0, then a coin of a half.
    flips = Scripted(0, 0, 1, 2**63 - 1, 2**63)
    assert Draws(flips).bernoulli(2.0**-65, (3,)).tolist() == [True, False, False]
    assert flips.asked == 5
    assert Draws(Scripted()).bernoulli(1.0, (2,)).all()
    assert not Draws(Scripted()).bernoulli(0.0, (2,)).any()
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="probability"):
            draws(0).bernoulli(wrong, (1,))


def test_integers_redraw_words_that_would_tilt_them() -> None:
    assert Draws(Scripted(TOP, TOP - 1, 5)).integers(3, (2,)).tolist() == [2, 2]
    assert Draws(Scripted(TOP, 5)).integers(2**63, (2,)).tolist() == [2**63 - 1, 5]
    words = draws(12).integers(7, (70_000,))
    assert stats.chisquare(np.bincount(words, minlength=7)).pvalue > FALSE_ALARM
    for wrong in (0, 2**63 + 1, -1, 2.0):
        with pytest.raises(ValueError, match="below"):
            draws(0).integers(wrong, (1,))


def test_every_order_and_every_choice_is_as_likely() -> None:
    source = draws(13)
    orders = Counter(tuple(source.permutation(4).tolist()) for _ in range(24_000))
    assert len(orders) == 24 and stats.chisquare(list(orders.values())).pvalue > FALSE_ALARM
    pairs = Counter(tuple(source.choice(5, 2).tolist()) for _ in range(20_000))
    assert len(pairs) == 20 and stats.chisquare(list(pairs.values())).pvalue > FALSE_ALARM
    assert all(a != b for a, b in pairs) and source.choice(3, 0).tolist() == []
    with pytest.raises(ValueError, match="chosen <= 3"):
        source.choice(3, 4)


def test_an_order_with_equal_words_is_drawn_again() -> None:
    assert Draws(Scripted(5, 5, 1, 9, 7, 8)).permutation(3).tolist() == [1, 2, 0]


def test_successive_draws_use_successive_words() -> None:
    """No word serves two draws: each draw of a script takes its own."""
    script = Scripted(*(2**40 * n for n in range(1, 40)))
    source, taken = Draws(script), [0]
    for draw in (
        lambda: source.uniform((3,)),
        lambda: source.bernoulli(0.5, (4,)),
        lambda: source.integers(10, (2,)),
        lambda: source.permutation(5),
        lambda: source.laplace((1,)),
    ):
        draw()
        taken.append(script.asked)
    assert [b - a for a, b in pairwise(taken)] == [3, 4, 2, 5, 3]  # the last one with its tail
