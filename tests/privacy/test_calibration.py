"""Calibration agrees with the reference values and with the definition it inverts."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy import calibration
from privacy.accountants import Bound, best_bound, gaussian_epsilon, poisson_gaussian_bound
from privacy.calibration import gaussian_sigma, noise_multiplier_for, poisson_noise_multiplier
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


@settings(max_examples=60)
@given(st.floats(0.05, 20.0), st.floats(1e-8, 0.1))
def test_it_is_the_smallest_sigma_of_the_theorem(epsilon, delta):
    sigma = gaussian_sigma(epsilon, delta, 1.0)
    assert spent(sigma, epsilon) <= delta
    assert spent(sigma * (1 - 1e-5), epsilon) > delta


@settings(max_examples=60)
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


# DP-SGD --------------------------------------------------------------------------------------

CHEAP = [
    (2.0, 0.01, 1000, "rdp"),
    (0.05, 0.01, 100, "pld"),
    (2.59438, 1.0, 10, "pld"),
    (1e4, 0.5, 100, "pld"),
    (1.0, 0.001, 100_000, "pld"),
    (0.2, 0.001, 10_000, "prv"),
]


@pytest.mark.parametrize(("target", "rate", "steps", "accountant"), CHEAP)
def test_the_noise_of_dp_sgd_meets_its_target_with_nothing_to_spare(
    target, rate, steps, accountant
):
    sigma = poisson_noise_multiplier(target, 1e-5, rate, steps, accountant)
    bound = poisson_gaussian_bound(sigma, rate, steps, 1e-5, accountant)
    assert bound.epsilon <= target
    assert bound.accountant == accountant
    less = poisson_gaussian_bound(sigma * (1 - 1e-4), rate, steps, 1e-5, accountant)
    assert less.epsilon > target


@pytest.mark.parametrize(
    ("target", "setting"), [(2.10137, (1.0, 0.01, 1000)), (5.37186, (0.8, 0.02, 500))]
)
def test_calibration_finds_the_noise_of_the_references(target, setting):
    sigma, rate, steps = setting
    found = poisson_noise_multiplier(target, 1e-5, rate, steps, "rdp")
    assert found == pytest.approx(sigma, rel=2e-4)


def test_few_calls_of_a_slow_accountant(monkeypatch):
    asked = []

    def counting(sigma, *rest):
        asked.append(rest[-2:])
        return best_bound(sigma, *rest)

    monkeypatch.setattr(calibration, "best_bound", counting)
    calibration._search.cache_clear()
    poisson_noise_multiplier(3.0, 1e-5, 1.0, 10)
    assert 2 <= asked.count(("pld", 1.0)) <= 4  # on its own grid; before that on a coarse one
    before = len(asked)
    poisson_noise_multiplier(3.0, 1e-5, 1.0, 10)
    assert len(asked) == before  # the next cell of a grid asks for the same


@pytest.mark.parametrize(
    ("delta", "rate", "steps", "source"),
    [(1e-14, 0.01, 1000, "rdp"), (1e-5, 0.02, 10_000_000, "rdp"), (1e-14, 1.0, 10, "gaussian")],
)
def test_where_the_accountant_fails_another_vouches_and_the_log_says_so(
    delta, rate, steps, source, caplog
):
    sigma = poisson_noise_multiplier(2.0, delta, rate, steps)
    assert poisson_gaussian_bound(sigma, rate, steps, delta).epsilon <= 2.0
    assert f"pld does not serve here: epsilon is from {source}" in caplog.text
    caplog.clear()
    poisson_noise_multiplier(2.0, delta, rate, steps)  # from memory, but not in silence
    assert "pld does not serve here" in caplog.text


def test_a_search_that_comes_to_no_end_is_on_the_safe_side_and_says_so(monkeypatch, caplog):
    def stairs(sigma, _rate, _steps, delta, name, _grain):
        return Bound(4.0 if sigma < 7.0 else 0.5, name, delta)

    monkeypatch.setattr(calibration, "best_bound", stairs)
    monkeypatch.setattr(calibration, "CALLS", 3)
    calibration._search.cache_clear()
    assert poisson_noise_multiplier(2.0, 1e-5, 0.5, 77) >= 7.0
    assert "less noise might" in caplog.text
    calibration._search.cache_clear()


def test_sampling_saves_noise_and_never_costs_any():
    plain = noise_multiplier_for(2.0, 1e-5, 100)
    sampled = [poisson_noise_multiplier(2.0, 1e-5, rate, 100, "rdp") for rate in (0.01, 0.1, 1.0)]
    assert sampled == sorted(sampled)
    assert sampled[1] < plain < 1.1 * sampled[2]
    assert poisson_noise_multiplier(2.0, 1e-5, 0.1, 400, "rdp") > sampled[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 1e-5, 0.1, 10), "got target_epsilon=-1.0"),
        ((math.nan, 1e-5, 0.1, 10), "got target_epsilon=nan"),
        ((1.0, 0.0, 0.1, 10), "got delta=0.0"),
        ((1.0, 1e-5, 0.0, 10), "expected 0 < sample_rate <= 1, got sample_rate=0.0"),
        ((1.0, 1e-5, 1.5, 10), "got sample_rate=1.5"),
        ((1.0, 1e-5, 0.1, 0), "got steps=0"),
        ((1.0, 1e-5, 0.1, 1.5), "got steps=1.5"),
        ((1.0, 1e-5, 0.1, 10, "gdp"), "expected accountant to be one of pld, rdp, prv"),
    ],
)
def test_bad_budgets_of_dp_sgd_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        poisson_noise_multiplier(*arguments)
