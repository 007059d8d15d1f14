import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.bisection import level_at, next_position
from fedbert.errors import InputError

TOLERANCES = st.floats(0.001, 0.5)


def walked(curve, steps: int, tolerance: float) -> dict[float, bool]:
    kept: dict[float, bool] = {}
    while (position := next_position(kept, steps, tolerance)) is not None:
        assert position not in kept and 0 <= position <= 1
        kept[position] = curve(position)
    return kept


@given(st.floats(0, 1), st.integers(2, 30), TOLERANCES)
def test_on_a_known_curve_the_threshold_is_found_as_closely_as_asked(threshold, steps, tolerance):
    kept = walked(lambda position: position >= threshold, steps, tolerance)
    assert len(kept) <= steps
    found = min(position for position, good in kept.items() if good)
    assert found >= threshold
    if threshold > 0:
        assert found - threshold <= max(tolerance, 2.0 ** -(steps - 2))


@given(st.integers(2, 30), TOLERANCES, st.randoms(use_true_random=False))
def test_whatever_noise_decides_the_walk_ends_and_follows_from_what_was_seen(steps, tol, random):
    seen: dict[float, bool] = {}
    kept = walked(lambda position: seen.setdefault(position, random.random() < 0.5), steps, tol)
    assert len(kept) <= steps
    again = walked(kept.__getitem__, steps, tol)
    assert again == kept and list(again) == list(kept)
    shuffled = list(kept.items())
    random.shuffle(shuffled)
    for count in range(len(kept) + 1):  # resumed anywhere, and whatever the records' order
        part = dict(list(kept.items())[:count])
        mixed = {position: good for position, good in shuffled if position in part}
        assert next_position(mixed, steps, tol) == next_position(part, steps, tol)


def test_the_useful_end_comes_first_and_without_it_nothing_else():
    assert next_position({}, 6, 0.1) == 1.0
    assert next_position({1.0: False}, 6, 0.1) is None
    assert next_position({1.0: True}, 6, 0.1) == 0.0
    assert next_position({1.0: True, 0.0: True}, 6, 0.1) is None


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0, 1), st.floats(0, 1))
def test_levels_run_from_one_end_to_the_other(first, last, one, other):
    low, high = sorted((one, other))
    sign = math.copysign(1, last - first)
    a, b = (level_at((first, last), position) for position in (low, high))
    assert sign * (b - a) >= -0.01 * max(first, last)  # rounded to three figures
    assert level_at((first, last), 0.0) == first and level_at((first, last), 1.0) == last
    assert min(first, last) * 0.99 <= a <= max(first, last) * 1.01


def test_levels_are_even_in_logarithms_where_there_are_any_and_whole_where_the_ends_are():
    assert level_at((1.0, 100.0), 0.5) == 10.0 and level_at((100.0, 1.0), 0.25) == 31.6
    assert level_at((0.0, 1.0), 0.25) == 0.25 and level_at((-1.0, 1.0), 0.5) == 0.0
    found = level_at((2, 32), 0.5)
    assert found == 8 and isinstance(found, int)


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 0.1), (6, 0.0), (6, 1.0)])
def test_what_makes_no_sense_is_refused(steps, tolerance):
    with pytest.raises(InputError):
        next_position({}, steps, tolerance)
