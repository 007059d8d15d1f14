"""Reconstruction bound: the most that any guesser can be right under a guarantee."""

import math

from scipy import optimize, stats

from fedbert.errors import expect

ROOT_ERROR = 1e-11  # added to a bound, so that it stays one


def bound_pure(epsilon: float, prior: float) -> float:
    """Return the largest probability of guessing rightly against epsilon-DP (delta 0).

    prior: the largest probability of any one candidate before the message came, given all else
    that the guesser knows. Candidates must be neighbours under the guarantee's relation. That is
    the posterior e^epsilon p / (1 - p + e^epsilon p), which `bound_gaussian`'s argument also
    gives. It is concave in the prior, so over many guesses the mean prior may be put in.

    Raises:
        InputError: for a negative epsilon or a prior that is none.

    >>> round(bound_pure(1.0, 0.5), 4)
    0.7311
    """
    expect(epsilon >= 0, "epsilon >= 0", "epsilon", epsilon)
    expect(0 < prior <= 1, "0 < prior <= 1", "prior", prior)
    return 1 / (1 + (1 - prior) / prior * math.exp(-epsilon))


def bound_gaussian(noise_multiplier: float, releases: int, prior: float) -> float:
    """Return the largest probability of guessing rightly against releases with Gaussian noise.

    noise_multiplier: noise std over the L2 distance of neighbours, each release; prior: as for
    `bound_pure`, 1 / k for k equally likely candidates.

    The releases together are mu-GDP, mu = sqrt(releases) / noise_multiplier: a test of one
    candidate against another, or against any mixture, with false-alarm rate a has at most the
    power G(a) = Phi(Phi^-1(a) + mu), which is concave. Let candidate j have probability p_j <= p
    and be guessed with probability q_j where it is true, a_j where it is not. Then q_j <= G(a_j),
    and the false guesses add up to sum (1 - p_j) a_j = 1 - s with s = sum p_j q_j the success.
    By concavity s <= G(sum p_j a_j), and p_j <= (1 - p_j) p / (1 - p), so

        s <= G((1 - s) p / (1 - p)),

    whose right side falls in s: the bound is where both are equal. For two equally likely
    candidates it is Phi(mu / 2), which the likelier one attains.

    Reference: Dong, Roth, Su (2022), for the trade-off function and its composition.

    Raises:
        InputError: for noise or a number of releases that is not positive, or no prior.

    >>> round(bound_gaussian(1.0, 1, 0.5), 4)
    0.6915
    """
    expect(noise_multiplier > 0, "noise_multiplier > 0", "noise_multiplier", noise_multiplier)
    expect(releases > 0, "releases > 0", "releases", releases)
    expect(0 < prior <= 1, "0 < prior <= 1", "prior", prior)
    mu = math.sqrt(releases) / noise_multiplier
    if prior == 1 or math.isinf(mu):
        return 1.0
    odds = prior / (1 - prior)

    def gap(success: float) -> float:
        alarm = min(1.0, (1 - success) * odds)
        return float(stats.norm.cdf(stats.norm.ppf(alarm) + mu)) - success

    if gap(prior) <= 0:  # no information, up to rounding
        return prior
    return min(1.0, float(optimize.brentq(gap, prior, 1.0, xtol=ROOT_ERROR)) + 2 * ROOT_ERROR)
