"""Self-test of bets: it passes for bets that are right, and says so where they are not."""

import numpy as np
import pytest

from evaluation.auditing import self_test, sequential_self_test
from evaluation.auditing.self_test import worlds
from evaluation.auditing.sequential_self_test import Sequential, as_lines
from evaluation.metrics.betting import Bet

NAMES = ("randomised response", "Gaussian, mu 1")


@pytest.fixture
def two_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "dp_sgd", lambda: None)  # its curves take a while
    chosen = [world for world in worlds() if world and world.name in NAMES]
    monkeypatch.setattr(sequential_self_test, "worlds", lambda: chosen)


@pytest.mark.usefixtures("two_worlds")
def test_true_claims_stand_and_half_of_the_truth_falls() -> None:
    found = sequential_self_test.sequential_test(40)
    assert [each.world for each in found] == ["Gaussian, mu 1", "randomised response"]
    for each in found:
        assert each.good and each.false is not None and each.false > 0.5
        assert each.samples is not None and each.samples < 800
        assert each.tightness is not None and each.tightness >= 0.3


@pytest.mark.usefixtures("two_worlds")
def test_payoffs_that_forget_e_to_the_epsilon_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Bet.payoffs

    def wrong(self: Bet) -> np.ndarray:
        return np.where(right(self) < 0, 0.3 * right(self), right(self))

    monkeypatch.setattr(Bet, "payoffs", wrong)
    found = sequential_self_test.sequential_test(40)
    assert not any(each.good for each in found)
    assert "2 rows are not valid" in as_lines(found)[-1] and "**too often**" in as_lines(found)[2]


def test_a_world_without_a_difference_has_no_bound_to_show() -> None:
    line = as_lines([Sequential("x", 0.0, 1000, 3, None, None, None)])[2]
    assert line == "| x | 0 | 0.3% | 8.6% |  |  |  |"
