"""Self-test of every estimator on scores whose epsilon is known: false alarms and tightness.

A lower bound at significance 5 % may exceed the truth in at most 5 % of repeats. Two standard
errors of the repeats are allowed on top.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom

from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound, one_run_gaussian_epsilon
from evaluation.metrics.candidate_clusters import first_of_each
from evaluation.metrics.epsilon_bounds import (
    best_epsilon,
    clopper_pearson_epsilon,
    one_run_epsilon,
    split_epsilon,
)
from evaluation.metrics.one_run_gaussian import (
    one_run_by_curves,
    one_run_from_scores,
    right_guesses,
)
from fedbert.errors import expect
from fedbert.seeding import numpy_rng

SIGNIFICANCE = 0.05
FALSE_ALARM = 1e-6  # of a row; of all together below 1e-4
DELTA = 1e-5
REPEATS = 1000
SIDE = 200  # members, and as many non-members
GUESSED = 0.2  # of the canaries of a run
SAMPLED, STEP_NOISE = (0.2, 20), 0.8  # rate and steps of DP-SGD, noise over the clip
FAMILY = (2.5, 2.0, 1.7, 1.4, 1.2, 1.0, 0.85)  # times that noise
LOSS_GRID, LINES = 1e-3, 48  # of its loss distribution, and of its curve
ALIKE = 4  # candidates that share a text, where some do

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class World:
    """Scores of known epsilon: of members and of non-members; what is fixed beforehand.

    threshold: from which a score is called a member's. gaussian: whether the estimators that
    presume a Gaussian mechanism apply. cluster: so many in turn depend on each other, where
    members and non-members do not differ. family: epsilons and curves [point, (epsilon, delta)] of
    mechanisms of the same kind with less and less noise.
    """

    name: str
    epsilon: float
    delta: float
    members: Draw
    non_members: Draw
    threshold: float
    gaussian: bool = True
    cluster: int = 1
    family: tuple[tuple[float, np.ndarray], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What an estimator did in a world: bounds above the truth, and the median bound over it."""

    world: str
    estimator: str
    epsilon: float
    repeats: int
    alarms: int
    tightness: float | None

    @property
    def rate(self) -> float:
        """The share of repeats whose bound exceeded the truth."""
        return self.alarms / self.repeats

    @property
    def allowed(self) -> float:
        """The most that a valid estimator exceeds, but for once in a million runs of its row."""
        return allowed_rate(self.repeats)

    @property
    def good(self) -> bool:
        """Whether the rate is within what is allowed."""
        return self.rate <= self.allowed


def allowed_rate(repeats: int) -> float:
    """Return the share of repeats that a valid estimator exceeds once in a million runs."""
    return float(binom.isf(FALSE_ALARM, repeats, SIGNIFICANCE)) / repeats


def worlds() -> list[World]:
    """Return the worlds: no difference, clusters; Gaussian, whole too; answers; ties; DP-SGD."""
    from privacy.accountants import gaussian_epsilon

    found = [World("no difference", 0.0, DELTA, _normal(0.0), _normal(0.0), 0.0)]
    for mu in (0.5, 1.0, 2.0):
        truth = gaussian_epsilon(1 / mu, 1, DELTA)
        name = f"Gaussian, mu {mu:g}"
        found.append(World(name, truth, DELTA, _normal(mu), _normal(0.0), mu / 2))
    keep = 1 / (1 + math.exp(-1.0))
    answers = World(
        "randomised response", 1.0, 0.0, _answers(keep), _answers(1 - keep), 0.5, gaussian=False
    )
    coarse = World(
        "Gaussian, mu 1, in whole numbers",
        gaussian_epsilon(1.0, 1, DELTA),
        DELTA,
        _rounded(1.0),
        _rounded(0.0),
        1.0,
    )
    constant = World("one score for all", 0.0, DELTA, _constant, _constant, 0.0)
    alike = World("no difference, four of one text", 0.0, DELTA, _alike, _alike, 0.0, cluster=ALIKE)
    return [*found, answers, coarse, constant, alike, dp_sgd()]


@lru_cache(maxsize=1)  # curves take a moment
def dp_sgd() -> World:
    """Return the world of one record's steps of DP-SGD, told apart by their likelihood ratio."""
    from privacy.losses import composed_loss

    rate, steps = SAMPLED

    def draw(there: bool) -> Draw:
        def scores(rng: np.random.Generator, count: int) -> np.ndarray:
            sums = rng.normal(0.0, STEP_NOISE, (count, steps))
            if there:
                sums += rng.random((count, steps)) < rate
            odds = np.expm1((sums - 0.5) / STEP_NOISE**2)
            return np.asarray(np.log1p(rate * odds).sum(axis=1))

        return scores

    family = []
    for noise in (STEP_NOISE * each for each in FAMILY):
        loss = composed_loss(noise, rate, steps, LOSS_GRID)  # its deltas are upper bounds
        level = float(loss.get_epsilon_for_delta(DELTA))
        epsilons = np.linspace(0.0, level, LINES)
        deltas = [min(1.0, float(loss.get_delta_for_epsilon(each))) for each in epsilons]
        family.append((level, np.stack([epsilons, deltas], axis=1)))
    truth = family[FAMILY.index(1.0)][0]
    name = f"DP-SGD, rate {rate:g}, {steps} steps"
    return World(
        name, truth, DELTA, draw(True), draw(False), 0.0, gaussian=False, family=tuple(family)
    )


def self_test(repeats: int = REPEATS, seed: int = 0) -> list[Outcome]:
    """Return the outcome of every estimator in every world.

    Raises:
        InputError: for less than ten repeats.
    """
    expect(repeats >= 10, "repeats >= 10", "repeats", repeats)
    return [outcome for world in worlds() for outcome in _in_world(world, repeats, seed)]


def _in_world(world: World, repeats: int, seed: int) -> Iterator[Outcome]:
    """Yield how the estimators that apply do in one world."""
    rng = numpy_rng(seed, "audit self-test", world.name)
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, bound in _bounds(world, rng):
            found.setdefault(name, []).append(bound)
    for name, bounds in found.items():
        alarms = sum(bound > world.epsilon for bound in bounds)
        tight = float(np.median(bounds)) / world.epsilon if world.epsilon > 0 else None
        yield Outcome(world.name, name, world.epsilon, repeats, alarms, tight)


def _bounds(world: World, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Yield every estimator's bound for one draw of scores."""
    members, non_members = world.members(rng, SIDE), world.non_members(rng, SIDE)
    delta, level, sides = world.delta, SIGNIFICANCE, (members, non_members)
    of = np.arange(SIDE) // world.cluster
    clusters = None if world.cluster == 1 else (of, SIDE + of)
    best = best_epsilon(*sides, delta, level, clusters=clusters)
    split = split_epsilon(*sides, delta, level, rng, clusters)
    if clusters is not None:
        sides, _ = first_of_each(sides, clusters)
    hits, alarms = (int((side >= world.threshold).sum()) for side in sides)
    yield "Clopper-Pearson, fixed threshold", _fixed(hits, alarms, len(sides[0]), delta)
    yield "Clopper-Pearson, Bonferroni over 20", best
    yield "Clopper-Pearson, split in halves", split
    if world.gaussian:
        yield "Gaussian, fixed threshold", _gaussian(hits, alarms, len(sides[0]), delta)
    canaries = 2 * SIDE
    coins = rng.random(canaries) < 0.5
    drawn = world.members(rng, canaries)  # what is shared within a cluster knows of no coin
    others = drawn if world.cluster > 1 else world.non_members(rng, canaries)
    scores = np.where(coins, drawn, others)
    right = right_guesses(scores, coins, canaries)
    yield "one run, all guessed", _one_run(canaries, right, delta)
    some = int(GUESSED * canaries)
    right = right_guesses(scores, coins, some)
    yield "one run, a fifth guessed", _one_run(some, right, delta)
    yield "one run, Bonferroni over guesses", one_run_from_scores(scores, coins, delta, level)
    if world.family:
        yield "one run, own curve, a fifth guessed", _by_curves(canaries, some, right)
    if world.gaussian:
        yield (
            "one run, Gaussian, a fifth guessed",
            one_run_gaussian_epsilon(canaries, some, right, delta, level),
        )


@lru_cache(maxsize=65536)
def _fixed(hits: int, alarms: int, side: int, delta: float) -> float:
    return clopper_pearson_epsilon(hits, side, alarms, side, delta, SIGNIFICANCE)


@lru_cache(maxsize=65536)
def _gaussian(hits: int, alarms: int, side: int, delta: float) -> float:
    return gaussian_epsilon_bound(hits, side, alarms, side, delta, SIGNIFICANCE)


@lru_cache(maxsize=4096)
def _by_curves(canaries: int, guesses: int, right: int) -> float:
    levels, curves = zip(*dp_sgd().family, strict=True)
    return one_run_by_curves((canaries, guesses, right), SIGNIFICANCE, levels, curves)


def _one_run(guesses: int, right: int, delta: float) -> float:
    return one_run_epsilon(2 * SIDE, guesses, right, delta, SIGNIFICANCE)


def _normal(mu: float) -> Draw:
    return lambda rng, count: rng.normal(mu, 1.0, count)


def _rounded(mu: float) -> Draw:
    """Return draws of a Gaussian rounded to whole numbers, so that many tie."""
    return lambda rng, count: np.round(rng.normal(mu, 1.0, count))


def _alike(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return standard normal draws, ALIKE in turn correlated by .95."""
    shared = np.repeat(rng.normal(size=-(-count // ALIKE)), ALIKE)[:count]
    return math.sqrt(0.95) * shared + math.sqrt(0.05) * rng.normal(size=count)


def _constant(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return scores that all tie."""
    return np.zeros(count)


def _answers(share: float) -> Draw:
    """Return draws of 1 with a probability, with a grain that breaks ties at random."""
    return lambda rng, count: (rng.random(count) < share) + 1e-3 * rng.random(count)


def as_lines(outcomes: list[Outcome]) -> list[str]:
    """Return the outcomes as a Markdown table and a sentence."""
    lines = [
        "| scores | estimator | true epsilon | bound above it | allowed | median bound / truth |",
        "|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        tight = "" if each.tightness is None else f"{each.tightness:.2f}"
        mark = "" if each.good else " **too often**"
        lines.append(
            f"| {each.world} | {each.estimator} | {each.epsilon:.4g} | {each.rate:.1%}{mark} | "
            f"{each.allowed:.1%} | {tight} |"
        )
    bad = sum(not each.good for each in outcomes)
    verdict = "all estimators are valid here" if bad == 0 else f"{bad} rows are not valid"
    return [*lines, "", f"{len(outcomes)} rows, {outcomes[0].repeats} repeats each: {verdict}."]
