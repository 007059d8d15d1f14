"""Epsilon lower bounds for Gaussian mechanisms: rates or guesses give mu, and mu epsilon."""

from functools import lru_cache

from evaluation.metrics.epsilon_bounds import check_levels, check_one_run, gaussian_mu_bound
from evaluation.metrics.one_run_gaussian import one_run_mu
from fedbert.errors import expect


def gaussian_epsilon_bound(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    delta: float,
    significance: float,
) -> float:
    """Return a lower bound on epsilon if the mechanism is Gaussian: rates give mu, mu epsilon.

    Tighter than `clopper_pearson_epsilon`, and valid only where the trade-off curve is that of a
    Gaussian mechanism (mu-GDP), as for noise added once or summed over many releases.

    Raises:
        InputError: for counts that cannot be, delta 0, or delta or significance out of range.

    Reference: Nasr et al. (2023), "Tight auditing of differentially private machine learning".
    """
    expect(delta > 0, "delta > 0 for a Gaussian mechanism", "delta", delta)
    check_levels(delta, significance)
    mu = gaussian_mu_bound(true_positives, positives, false_positives, negatives, significance)
    return _epsilon_of_mu(mu, delta)


def one_run_gaussian_epsilon(
    canaries: int, guesses: int, correct: int, delta: float, significance: float
) -> float:
    """Return a lower bound on epsilon from one run if the mechanism is Gaussian (mu-GDP).

    As `one_run_epsilon`, and tighter: it knows the whole trade-off curve, where (epsilon, delta)
    is one line of it and pays for every canary with its delta. Valid for Gaussian mechanisms
    alone, composed or not, without sampling.

    >>> from evaluation.metrics.epsilon_bounds import one_run_epsilon
    >>> counts = 1000, 200, 172  # as guessed at mu 1, of which epsilon is 4.38
    >>> round(one_run_gaussian_epsilon(*counts, 1e-5, 0.05), 2)
    2.36
    >>> round(one_run_epsilon(*counts, 1e-5, 0.05), 2)
    1.47

    Raises:
        InputError: as `one_run_epsilon`, or for delta 0.
    """
    expect(delta > 0, "delta > 0 for a Gaussian mechanism", "delta", delta)
    check_one_run(canaries, guesses, correct, delta, significance)
    return _epsilon_of_mu(one_run_mu(canaries, guesses, correct, significance), delta)


@lru_cache(maxsize=4096)
def _epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the epsilon of a mu-GDP mechanism."""
    if mu <= 0:
        return 0.0
    from privacy.accountants import gaussian_epsilon

    return max(0.0, gaussian_epsilon(1 / mu, 1, delta))
