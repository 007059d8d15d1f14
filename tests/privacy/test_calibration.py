"""Calibration agrees with the reference values and with the definition it inverts."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy.accounting import gaussian_epsilon
from privacy.calibration import gaussian_sigma, noise_multiplier_for
from privacy.dp_fedavg import DPFedAvg
from privacy.gaussian import Gaussian


def spent(sigma: float, epsilon: float) -> float:
    """Delta of Gaussian noise at sensitivity 1, straight from the theorem."""
    upper = stats.norm.cdf(0.5 / sigma - epsilon * sigma)
    return upper - math.exp(epsilon) * stats.norm.cdf(-0.5 / sigma - epsilon * sigma)


@pytest.mark.parametrize(
    ("epsilon", "sigma"), [(0.5, 7.031827), (1.0, 3.730632), (2.0, 1.993812), (8.0, 0.600229)]
)
def test_the_reference_values_to_the_printed_digits(epsilon, sigma):
    assert round(gaussian_sigma(epsilon, 1e-5, 1.0), 6) == sigma


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 20.0), st.floats(1e-8, 0.1))
def test_it_is_the_smallest_sigma_of_the_theorem(epsilon, delta):
    sigma = gaussian_sigma(epsilon, delta, 1.0)
    assert spent(sigma, epsilon) <= delta
    assert spent(sigma * (1 - 1e-5), epsilon) > delta


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 100.0), st.floats(1e-9, 0.1), st.integers(1, 5000))
def test_composition_equals_direct_calibration_and_never_exceeds_the_target(epsilon, delta, count):
    multiplier = noise_multiplier_for(epsilon, delta, count)
    back = gaussian_epsilon(multiplier, count, delta)
    assert back <= epsilon
    assert back == pytest.approx(epsilon, rel=1e-5)
    # count releases are one release of a function count ** 0.5 times as sensitive
    assert multiplier == pytest.approx(gaussian_sigma(epsilon, delta, math.sqrt(count)))


def test_sigma_is_proportional_to_the_sensitivity():
    assert gaussian_sigma(2.0, 1e-5, 6.0) == pytest.approx(6.0 * gaussian_sigma(2.0, 1e-5, 1.0))


def test_replace_one_doubles_the_noise_of_add_or_remove_one():
    replace = Gaussian.calibrated(2.0, 1e-5, clip_norm=3.0)
    remove = DPFedAvg.calibrated(2.0, 1e-5, clip_norm=3.0, rounds=1)
    assert replace.noise_std == pytest.approx(2.0 * remove.noise_std)
    assert remove.noise_std == pytest.approx(3.0 * 1.993812, rel=1e-6)


def test_the_classic_formula_is_not_used():
    classic = math.sqrt(2 * math.log(1.25 / 1e-5)) / 16
    assert gaussian_epsilon(classic, 1, 1e-5) == pytest.approx(18.90, abs=0.005)
    assert gaussian_sigma(16.0, 1e-5, 1.0) > classic


BAD = [0.0, -1.0, math.nan, math.inf]


@pytest.mark.parametrize("bad", BAD)
def test_epsilon_and_sensitivity_must_be_positive_and_finite(bad):
    with pytest.raises(ValueError, match=f"got epsilon={bad}"):
        gaussian_sigma(bad, 1e-5, 1.0)
    with pytest.raises(ValueError, match=f"got sensitivity={bad}"):
        gaussian_sigma(1.0, 1e-5, bad)
    with pytest.raises(ValueError, match=f"got target_epsilon={bad}"):
        Gaussian.calibrated(bad, 1e-5, clip_norm=1.0)
    with pytest.raises(ValueError, match=f"got target_epsilon={bad}"):
        DPFedAvg.calibrated(bad, 1e-5, clip_norm=1.0, rounds=1)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_delta_must_lie_strictly_between_0_and_1(bad):
    with pytest.raises(ValueError, match=f"expected 0 < delta < 1, got delta={bad}"):
        gaussian_sigma(1.0, bad, 1.0)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_there_must_be_a_release_to_calibrate_to(bad):
    with pytest.raises(ValueError, match=f"got releases={bad}"):
        Gaussian.calibrated(1.0, 1e-5, clip_norm=1.0, releases=bad)
