"""Transforms at chosen words: exact inverses, seamless edges, tails as far as words can spell."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy.randomness.tails import (
    gamma_tail_mass,
    largest,
    tail_delta,
    tail_mass,
    why_below_floor,
)
from privacy.randomness.transforms import (
    GAUSSIAN_EDGE,
    STAGES,
    gaussian_into,
    laplace_into,
    log_uniform,
)
from tests.privacy.randomness.scripted import TOP, Scripted

FILLS = {"gaussian": gaussian_into, "laplace": laplace_into}


def signed(value: int) -> int:
    """Return the word that reads as this signed integer."""
    return value % 2**64


def value(kind: str, *words: int, scale: float = 1.0) -> float:
    """Return the one value that these words make; all of them are used."""
    out, script = np.empty(1), Scripted(*words)
    FILLS[kind](out, scale, script, np.empty(1, dtype=np.uint64))
    assert script.asked == len(words)
    return float(out[0])


def exact_gaussian(twice: Any) -> float:
    """Return the Gaussian quantile at |2 p - 1| = twice."""
    with mpmath.workdps(60):
        return float(mpmath.sqrt(2) * mpmath.erfinv(twice))


def exact_tail(log2: float) -> float:
    """Return where the one-sided Gaussian tail has mass 2**log2."""
    start = math.sqrt(-2 * log2 * math.log(2))
    with mpmath.workdps(40):

        def gap(z: Any) -> Any:
            return mpmath.log(mpmath.erfc(z / mpmath.sqrt(2)) / 2, 2) - log2

        return float(mpmath.findroot(gap, (start * 0.97, start)))


@settings(max_examples=60)
@given(st.integers(-(2**63) + 2**54 + 2**11, 2**63 - 2**54 - 2**11))
def test_a_body_word_is_its_exact_quantile(word: int) -> None:
    found = value("gaussian", signed(word), scale=3.0)
    with mpmath.workdps(60):
        assert found == pytest.approx(3 * exact_gaussian(mpmath.mpf(word) / 2**63), rel=4e-15)
    if abs(word) >= 2**53:
        expected = math.copysign(2 * math.log(abs(word) / 2**63), word)
        found = value("laplace", signed(word), scale=2.0)
        assert found == pytest.approx(expected, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("sign", [1, -1])
def test_edges_have_no_seam(sign: int) -> None:
    edge = 2**63 - 2**54
    below = value("gaussian", signed(sign * (edge - 2**11)))
    nearest = value("gaussian", signed(sign * (edge + 2**11)), TOP, TOP)  # log(1 - 2**-53)
    assert 0 < sign * below < sign * nearest < sign * below * (1 + 1e-12)
    assert math.isclose(abs(below), exact_gaussian(GAUSSIAN_EDGE), rel_tol=1e-12)
    last = value("laplace", signed(sign * 2**53))
    first = value("laplace", signed(sign * (2**53 - 1)), TOP, TOP)
    assert 0 < sign * last <= sign * first < sign * last * (1 + 1e-12)
    assert math.isclose(abs(last), 10 * math.log(2), rel_tol=1e-12)


@pytest.mark.parametrize("word", [-(2**63), 2**63 - 1])
@pytest.mark.parametrize(
    ("spelt", "log2"),
    [
        ((2**63, 0), -11.0),  # no zero, mantissa a half
        ((2**62, 0), -12.0),
        ((2**11, 0), -63.0),  # 52 zeros in the first word
        ((2**10, 2**63, 0), -64.0),  # the digits that count are all zero: a second word
        ((0, 0, 0, 2**63, 0), -170.0),
    ],
)
def test_tail_words_spell_ever_smaller_probabilities(
    word: int, spelt: tuple[int, ...], log2: float
) -> None:
    found = value("gaussian", signed(word), *spelt, scale=2.0)
    assert abs(found) == pytest.approx(2 * exact_tail(log2), rel=1e-13)
    assert (found > 0) == (word > 0)
    small = value("laplace", signed(int(math.copysign(1, word))), *spelt)
    assert abs(small) == pytest.approx(-log2 * math.log(2), rel=1e-14)
    assert (small > 0) == (word > 0)


def test_values_far_beyond_float32s_last_one_occur() -> None:
    """A 24-bit uniform ends at 5.77; here that lies well inside."""
    assert value("gaussian", signed(2**63 - 1), 2**36, 0) > 5.77
    assert value("gaussian", signed(2**63 - 1), *[0] * 5, 2**63, 0) > 19.0


def test_the_largest_value_is_the_one_that_is_stated() -> None:
    zeros = [0] * (STAGES + 1)
    for sign in (1, -1):
        assert value("gaussian", signed(sign * (2**63 - 1)), *zeros) == sign * largest("gaussian")
        assert value("laplace", signed(sign), *zeros) == sign * largest("laplace")
    assert largest("gaussian") == pytest.approx(exact_tail(-1707.0), rel=1e-12)


def test_tiny_uniform_numbers_have_all_their_digits() -> None:
    """Neighbours in the tail lie 2**-52 of their probability apart, however small that is."""
    one, two = (log_uniform(Scripted(0, 0, 2**20, m), 1)[0] for m in (0, 2**12))
    assert two - one == pytest.approx(2.0**-52, rel=0.5)


def test_mass_beyond_the_tail() -> None:
    for shift in (12.0, 20.0, 45.0, 60.0):
        gap = largest("gaussian") - shift
        assert tail_mass("gaussian", shift) == pytest.approx(stats.norm.sf(gap), rel=1e-9)
    assert tail_mass("laplace", 1180.0) == pytest.approx(math.exp(1180.0 - largest("laplace")) / 2)
    assert tail_mass("laplace", 2000.0) == pytest.approx(1.0)
    assert tail_mass("gaussian") == tail_mass("laplace") == 0.0  # below the smallest float64
    for kind in ("gaussian", "laplace"):
        masses = [tail_mass(kind, shift) for shift in range(0, 3000, 7)]
        assert masses == sorted(masses) and masses[-1] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="shift"):
        tail_mass("gaussian", -1.0)


def test_delta_of_the_cut_tails() -> None:
    once = tail_delta("gaussian", 1, 1, 41.0)
    assert once == pytest.approx(stats.norm.sf(largest("gaussian") - 41.0))
    assert tail_delta("gaussian", 20, 300, 41.0) == pytest.approx(6000 * once)
    assert tail_delta("gaussian", 10**6, 10**6, 48.0) == 1.0
    assert tail_delta("gaussian", 0, 10, 99.0) == 0.0
    assert gamma_tail_mass(1.0, shift=5e3) < 1e-200 < gamma_tail_mass(1.0, shift=8e3)
    assert gamma_tail_mass(768.0, shift=1e5) == 1.0
    floor = tail_delta("gaussian", 1000, 1, 41.0)
    assert "cut tails" in why_below_floor(floor, floor) and why_below_floor(2 * floor, floor) == ""
    for wrong in (-1, 1.5):
        with pytest.raises(ValueError, match="releases"):
            tail_delta("gaussian", wrong, 1, 1.0)  # type: ignore[arg-type]
