"""Trade-off curves against closed forms, published values, and the laws of such curves."""

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from privacy import tradeoff
from privacy.accountants import poisson_gaussian_bound
from privacy.allowed import STORED
from privacy.losses import composed_loss
from privacy.tradeoff import (
    FINEST,
    Curve,
    gaussian_curve,
    poisson_gaussian_curve,
    pure_curve,
)

SST2 = (0.6967085700132536, 0.016376663254861822, 190)
FPRS = (0.0, 1e-5, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.0)


CURVES: dict[str, Callable[[], Curve]] = {  # made when a test asks, not when tests are collected
    "sst2": lambda: poisson_gaussian_curve(*SST2),
    "every record": lambda: poisson_gaussian_curve(5.0, 1.0, 10),
    "gaussian": lambda: gaussian_curve(0.3, 2),
    "pure": lambda: pure_curve(0.5, 3),
    "nothing": lambda: pure_curve(1.0, 0),
}


def test_a_subsampled_gaussian_to_four_digits() -> None:
    curve = poisson_gaussian_curve(*SST2)
    found = [curve.tpr_at(fpr) for fpr in (0.001, 0.01, 0.1)] + [curve.advantage()]
    assert found == pytest.approx([0.00913, 0.04745, 0.23916, 0.20160], abs=1e-5)
    line = math.exp(4) * 0.01 + 1e-5  # what (4, 1e-5) alone allows
    assert found[1] < line / 10


def test_few_epsilons_bound_as_closely_as_many() -> None:
    """Beside 3,000 epsilons of the same loss distribution: 2e-5 at the stored rates."""
    epsilons = np.linspace(0.0, 9.0, 3001)
    deltas = composed_loss(*SST2, FINEST).get_delta_for_epsilon(epsilons.tolist())
    many = Curve(tuple(epsilons.tolist()), tuple(deltas))
    few = poisson_gaussian_curve(*SST2)
    assert few is poisson_gaussian_curve(*SST2)  # asked again, it is there
    for fpr in STORED:
        assert many.tpr_at(fpr) * (1 - 1e-5) <= few.tpr_at(fpr) <= many.tpr_at(fpr) * (1 + 2e-5)


def test_a_curve_reads_the_loss_distribution_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading is a pass over all losses; read at a list, each loss is a step in Python."""
    loss, asked = composed_loss(*SST2, FINEST), []

    class Counted:
        def get_delta_for_epsilon(self, epsilon: float) -> float:
            asked.append(epsilon)
            return float(loss.get_delta_for_epsilon(epsilon))

    monkeypatch.setattr(tradeoff, "composed_loss", lambda *_: Counted())
    poisson_gaussian_curve.__wrapped__(*SST2)
    assert len(asked) <= 120 and all(isinstance(each, float) for each in asked)


def test_many_steps_stay_above_chance_at_the_smallest_rates() -> None:
    """Read from the loss distribution's tail they come out at 2.5e-7, 4.78e-4 and 4.01e-3."""
    curve = poisson_gaussian_curve(1.0, 0.01, 1000)
    found = [curve.tpr_at(fpr) for fpr in (1e-5, 1e-4, 1e-3)]
    assert found == pytest.approx([7.2e-5, 5.47e-4, 4.07e-3], rel=2e-3)


@pytest.mark.parametrize("mu", [0.01, 0.5, 1.0, 2.0, 6.0])
def test_the_gaussian_curve_is_the_shifted_quantile(mu: float) -> None:
    curve = gaussian_curve(2.0 / mu, releases=4)
    for fpr in (1e-6, 1e-3, 0.01, 0.1, 0.5, 0.9):
        truth = float(stats.norm.cdf(stats.norm.ppf(fpr) + mu))
        assert truth * (1 - 1e-9) <= curve.tpr_at(fpr) <= truth * (1 + 1e-4) + 1e-12
    assert curve.advantage() == pytest.approx(2 * stats.norm.cdf(mu / 2) - 1, rel=1e-9)


def test_the_closed_form_is_below_the_discretised_one() -> None:
    """A rate just below 1 goes by the loss distribution; that of 1 is exact."""
    found = poisson_gaussian_curve(5.0, 1 - 1e-9, 10)
    for fpr in (1e-3, 0.01, 0.1):
        exact = float(stats.norm.cdf(stats.norm.ppf(fpr) + math.sqrt(10) / 5))
        assert exact * (1 - 1e-9) <= found.tpr_at(fpr) <= exact * (1 + 1e-4)


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_rises_bends_down_and_lies_above_chance(name: str) -> None:
    curve = CURVES[name]()
    fprs = np.linspace(0, 1, 201)
    found = np.array([curve.tpr_at(float(fpr)) for fpr in fprs])
    assert bool((np.diff(found) >= -1e-12).all())
    assert bool((np.diff(found, 2) <= 1e-9).all())
    assert bool(((found >= fprs) & (found <= 1)).all())
    assert float((found - fprs).max()) <= curve.advantage() + 1e-12
    assert curve.points(FPRS)[3] == (0.01, curve.tpr_at(0.01))


def test_pure_epsilons_add_up_at_most() -> None:
    """Beside brute force over every answer of three randomised responses."""
    one = math.exp(0.5) / (1 + math.exp(0.5))
    odds = [(one**k * (1 - one) ** (3 - k), math.comb(3, k)) for k in range(4)]
    for fpr in (0.01, 0.05, 0.2, 0.5):
        left, found = fpr, 0.0
        for k in (3, 2, 1, 0):  # Neyman and Pearson: the likeliest first
            null = odds[3 - k][0] * odds[k][1]
            found += min(1.0, left / null) * odds[k][0] * odds[k][1]
            left = max(0.0, left - null)
        assert pure_curve(0.5, 3).tpr_at(fpr) == pytest.approx(found, abs=1e-12)
        assert found <= pure_curve(1.5).tpr_at(fpr) + 1e-12
    many = pure_curve(0.001, 100_000)  # nearly Gaussian at mu = epsilon sqrt(n)
    assert many.tpr_at(0.01) == pytest.approx(gaussian_curve(1 / 0.316227).tpr_at(0.01), rel=1e-3)
    assert pure_curve(4.0).tpr_at(0.001) == pytest.approx(0.001 * math.exp(4))
    assert pure_curve(1.0).advantage() == pytest.approx(0.462117, abs=1e-6)


def test_it_says_no_more_than_epsilon_and_delta() -> None:
    curve = poisson_gaussian_curve(*SST2)
    for delta in (1e-6, 1e-5, 1e-3):
        epsilon = poisson_gaussian_bound(*SST2, delta).epsilon
        assert curve.tpr_at(0.01) <= math.exp(epsilon) * 0.01 + delta + 1e-9


@pytest.mark.parametrize("curve", [poisson_gaussian_curve(1.0, 0.0, 5), gaussian_curve(1.0, 0)])
def test_nothing_released_allows_chance_alone(curve: Curve) -> None:
    assert [curve.tpr_at(fpr) for fpr in FPRS] == list(FPRS)
    assert curve.advantage() == 0.0


@pytest.mark.parametrize("setting", [(0.01, 0.01, 10), (1e-7, 0.01, 10), (0.01, 0.01, 1000)])
def test_next_to_no_noise_is_answered_at_once(setting: tuple[float, float, int]) -> None:
    """What remains is that no step may draw the record; on a fine grid it took minutes."""
    started = time.perf_counter()
    curve = poisson_gaussian_curve(*setting)
    ever = 1 - (1 - setting[1]) ** setting[2]
    assert ever <= curve.tpr_at(0.0) + 1e-4
    assert curve.advantage() == pytest.approx(ever, rel=1e-9)
    assert time.perf_counter() - started < 30  # seconds, on a busy machine


def test_many_steps_and_a_large_loss_take_a_coarser_grid() -> None:
    started = time.perf_counter()
    found = poisson_gaussian_curve(0.1, 0.5, 1_000_000)
    assert found.tpr_at(0.001) == 1.0
    assert poisson_gaussian_curve(0.2, 0.01, 100).tpr_at(0.01) == pytest.approx(0.59966, abs=1e-4)
    assert time.perf_counter() - started < 30


def test_what_is_no_rate_is_refused() -> None:
    for call in (
        lambda: gaussian_curve(1.0).tpr_at(1.5),
        lambda: poisson_gaussian_curve(1.0, 1.5, 1),
        lambda: poisson_gaussian_curve(0.0, 0.5, 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
