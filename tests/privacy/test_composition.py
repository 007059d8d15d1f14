"""Epsilon of every event: references, closed forms, and what is never claimed."""

import math

import pytest
from scipy.optimize import brentq
from scipy.special import gammaln

from privacy.accountants import (
    Bound,
    gaussian_epsilon,
    poisson_gaussian_bound,
    poisson_gaussian_epsilon,
    pure_bound,
)
from privacy.composition import EXACT, epsilon_of
from privacy.events import GaussianEvent, MetricEvent, PoissonGaussianEvent, PureEvent


def optimal(epsilon: float, releases: int, delta: float) -> float:
    """Optimal composition by the binomial sum: an answer of k in n times the unlikely one."""
    likely = -math.log1p(math.exp(-epsilon))

    def spent(target: float) -> float:
        total = 0.0
        for k in range(releases + 1):
            loss = (releases - 2 * k) * epsilon
            if loss <= target:
                break
            ways = gammaln(releases + 1) - gammaln(k + 1) - gammaln(releases - k + 1)
            total -= math.exp(ways + releases * likely - k * epsilon) * math.expm1(target - loss)
        return total

    return brentq(lambda target: spent(target) - delta, 0.0, releases * epsilon, xtol=1e-12)


@pytest.mark.parametrize(
    ("epsilon", "releases", "delta"),
    [(0.1, 1000, 1e-5), (0.01, 5000, 1e-5), (0.37, 40, 1e-3), (0.1, 2, 1e-3), (0.3, 200, 1e-10)],
)
def test_pure_releases_compose_optimally(epsilon, releases, delta):
    bound = epsilon_of(PureEvent(epsilon), releases, delta)
    exact = optimal(epsilon, releases, delta)
    assert exact <= bound.epsilon <= exact * (1 + 3e-6)
    assert bound.epsilon < 0.99 * epsilon * releases
    assert bound.delta == delta


@pytest.mark.parametrize(
    ("epsilon", "releases", "delta"),
    [
        (2.0, 1, 1e-5),
        (2.0, 10, 0.0),
        (0.1, 1000, 1e-11),  # below what the Fourier transform resolves
        (0.1, 1_000_001, 1e-5),  # more than it may take
        (1.0, 10, 1e-5),  # 9.99977 is not worth a delta
    ],
)
def test_otherwise_pure_releases_add_up_at_delta_0(epsilon, releases, delta):
    bound = epsilon_of(PureEvent(epsilon), releases, delta)
    assert bound == Bound(epsilon * releases, "pure, summed", 0.0)


def test_a_million_pure_releases_take_no_time():
    bound = pure_bound(0.001, 1_000_000, 1e-5)
    # One Gaussian release of mu = epsilon * sqrt(n), the limit, bounds it from below.
    assert 1.0 * gaussian_epsilon(1.0, 1, 1e-5) - 1e-3 < bound.epsilon < 4.4


def test_gaussian_releases_compose_exactly_whatever_the_accountant():
    for accountant in ("pld", "rdp", "prv"):
        bound = epsilon_of(GaussianEvent(3.0), 7, 1e-5, accountant)
        assert bound == Bound(gaussian_epsilon(3.0, 7, 1e-5), EXACT, 1e-5)


def test_sampled_releases_name_the_accountant_and_the_rate():
    bound = epsilon_of(PoissonGaussianEvent(1.0, 0.01), 1000, 1e-5, "rdp")
    assert bound.epsilon == poisson_gaussian_epsilon(1.0, 0.01, 1000, 1e-5, "rdp")
    assert bound.accountant == "rdp, Poisson sampling at rate 0.01"
    assert round(epsilon_of(PoissonGaussianEvent(1.0, 0.01), 1000, 1e-5).epsilon, 5) == 1.82824


def test_metric_privacy_has_no_epsilon():
    with pytest.raises(ValueError, match=r"expected an event with an \(epsilon, delta\)"):
        epsilon_of(MetricEvent(1.0), 1, 1e-5)


@pytest.mark.parametrize(
    "event", [GaussianEvent(1.0), PoissonGaussianEvent(1.0, 0.1), PureEvent(1.0)]
)
def test_nothing_released_costs_nothing_and_bad_settings_are_named(event):
    assert epsilon_of(event, 0, 1e-5).epsilon == 0.0
    for releases in (-1, 1.5, True):
        with pytest.raises(ValueError, match="to be an integer >= 0"):
            epsilon_of(event, releases, 1e-5)
    for delta in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=f"expected 0 < delta < 1, got delta={delta}"):
            epsilon_of(event, 2, delta)
    with pytest.raises(ValueError, match="expected accountant to be one of"):
        epsilon_of(event, 1, 1e-5, "gdp")
    with pytest.raises(ValueError, match="known kind"):
        epsilon_of("gaussian", 1, 1e-5)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_pure_epsilon_is_positive_and_finite(bad):
    with pytest.raises(ValueError, match=f"got epsilon={bad}"):
        pure_bound(bad, 2, 1e-5)


@pytest.mark.parametrize("accountant", ["pld", "prv", "rdp"])
@pytest.mark.parametrize(
    ("few", "many"),
    [
        ((1.0, 0.001, 1_000_000), (1.0, 0.001, 10_000_000)),
        ((0.05, 0.5, 10), (0.05, 0.5, 3_000_000)),
        ((0.05, 0.001, 100), (0.05, 0.01, 100)),
        ((5.0, 0.01, 5_000_000), (4.0, 0.01, 5_000_000)),
    ],
)
def test_hard_settings_never_cost_less(few, many, accountant):
    # More steps, a higher rate or less noise; past what PLD and PRV take, too.
    less, more = (poisson_gaussian_bound(*setting, 1e-5, accountant) for setting in (few, many))
    assert 0 < less.epsilon <= more.epsilon < math.inf
