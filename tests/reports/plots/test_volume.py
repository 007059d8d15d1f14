"""Frontiers: the hypervolume against a count of random points, its laws, and one panel per unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.figures.volume import describe_front, front_data, hypervolume

POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


@given(POINTS)
def test_the_hypervolume_is_the_share_of_random_points_that_lie_behind(points) -> None:
    """Oracle. 20,000 points: the share is within 0.02 of the truth but for 1 in 10^7 runs."""
    draws = np.random.default_rng(7).random((20_000, 2)) * [1, 0.6] + [0, 0.4]
    behind = np.zeros(len(draws), dtype=bool)
    for leakage, utility in points:
        behind |= (draws[:, 0] >= leakage) & (draws[:, 1] <= utility)
    assert hypervolume(points, 0.4) == pytest.approx(behind.mean(), abs=0.02)


@given(POINTS, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_one_more_setting_never_takes_volume_away(points, more) -> None:
    assert hypervolume([*points, more], 0.4) >= hypervolume(points, 0.4) - 1e-12


def test_a_panel_per_unit_and_the_unclaimed_count_for_nothing(examples) -> None:
    data = front_data(examples.grid(("sst2",)), "sst2")
    assert data is not None
    assert [panel.unit for panel in data.panels] == ["token", "sequence", "client"]
    for panel in data.panels:
        assert panel.volume is not None
        assert panel.volume.low <= panel.volume.value <= panel.volume.high
        bare = {spot.series for spot in panel.spots if not spot.claimed}
        assert bare == {"none (parallel)", "clip only (parallel)", "none (fedavg)"}
        claimed = [(s.leakage[0], s.utility[0]) for s in panel.spots if s.claimed]
        assert panel.volume.value == pytest.approx(hypervolume(claimed, 0.509))
    assert "Unit token: " in describe_front(data) and "Hypervolume" in describe_front(data)


def test_a_metric_of_which_less_is_better_has_no_frontier(examples) -> None:
    assert front_data(examples.grid(("mlm",)), "mlm") is None
    assert front_data([examples.failed()], "cola") is None
