"""Self-test of bets: how often a true claim ever falls, and how soon a false one does.

Scores come in batches by fair coins, and after each it is asked whether a claim has fallen. A true
one may fall in at most 5 % of repeats over all batches together, whenever one stops.
"""

from dataclasses import dataclass, replace

import numpy as np

from evaluation.auditing.mechanisms.ladder import points_of
from evaluation.auditing.self_test import SIGNIFICANCE, World, allowed_rate, worlds
from evaluation.auditing.verdict import Claim
from evaluation.metrics.sequential_test import SequentialTest
from fedbert.errors import expect
from fedbert.seeding import numpy_rng

BATCH, BATCHES = 80, 10
SHARE = 0.5  # of the truth: the claim that is false
LADDER = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FOR_BOUNDS = 10  # one repeat in so many also asks for a bound, which costs a claim for every rung


@dataclass(frozen=True)
class Sequential:
    """What bets did in a world.

    alarms: repeats in which the true claim ever fell. false: repeats in which the claim of half the
    truth fell, and samples: by the median of these; None where nothing is below the truth.
    tightness: the median bound after all batches over the truth.
    """

    world: str
    epsilon: float
    repeats: int
    alarms: int
    false: float | None
    samples: int | None
    tightness: float | None

    @property
    def good(self) -> bool:
        """Whether true claims fell no more often than is allowed."""
        return self.alarms / self.repeats <= allowed_rate(self.repeats)


def sequential_test(repeats: int, seed: int = 0) -> list[Sequential]:
    """Return what bets do in every world.

    Raises:
        InputError: for less than ten repeats.
    """
    expect(repeats >= 10, "repeats >= 10", "repeats", repeats)
    return [_in_world(world, repeats, seed) for world in worlds()]


def _in_world(world: World, repeats: int, seed: int) -> Sequential:
    rng = numpy_rng(seed, "sequential self-test", world.name)
    points = points_of(Claim(world.epsilon, world.delta, gaussian=world.gaussian))
    shares = (SHARE, 1.0) if world.epsilon > 0 else (1.0,)
    claims = [points(share * world.epsilon) for share in shares]
    rungs = [points(share * world.epsilon) for share in LADDER]
    alarms, samples, bounds = 0, [], []
    for repeat in range(repeats):
        tests = [SequentialTest([each], SIGNIFICANCE) for each in claims]
        if world.epsilon > 0 and repeat % FOR_BOUNDS == 0:
            tests.append(SequentialTest(rungs, SIGNIFICANCE, LADDER))
        fallen = _play(world, rng, tests)
        alarms += fallen[len(claims) - 1] > 0
        samples += [fallen[0]] if len(claims) > 1 and fallen[0] else []
        bounds += [tests[-1].lower_bound] if len(tests) > len(claims) else []
    told = Sequential(world.name, world.epsilon, repeats, alarms, None, None, None)
    if world.epsilon == 0:
        return told
    median = int(np.median(samples)) if samples else None
    return replace(
        told,
        false=len(samples) / repeats,
        samples=median,
        tightness=float(np.median(bounds)),
    )


def _play(world: World, rng: np.random.Generator, tests: list[SequentialTest]) -> list[int]:
    """Return after how many scores the first claim of each test fell; 0 for those that stand.

    The tests see the same scores.
    """
    fallen = [0] * len(tests)
    for number in range(BATCHES):
        coins = rng.random(BATCH) < 0.5
        drawn = world.members(rng, BATCH)  # what is shared within a cluster knows of no coin
        others = drawn if world.cluster > 1 else world.non_members(rng, BATCH)
        scores = np.where(coins, drawn, others)
        for place, test in enumerate(tests):
            if fallen[place] == 0 or len(test.claims) > 1:
                test.update(scores[coins], scores[~coins])
            if fallen[place] == 0 and test.rejected[0]:
                fallen[place] = (number + 1) * BATCH
    return fallen


def as_lines(outcomes: list[Sequential]) -> list[str]:
    """Return the outcomes as a Markdown table and a sentence."""
    lines = [
        "| scores | true epsilon | true claim ever fell | allowed | half of it claimed: fell | "
        "after scores (median) | median bound / truth |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        mark = "" if each.good else " **too often**"
        cells = (
            each.world,
            f"{each.epsilon:.4g}",
            f"{each.alarms / each.repeats:.1%}{mark}",
            f"{allowed_rate(each.repeats):.1%}",
            "" if each.false is None else f"{each.false:.0%}",
            "" if each.samples is None else str(each.samples),
            "" if each.tightness is None else f"{each.tightness:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    bad = sum(not each.good for each in outcomes)
    verdict = "bets are valid here" if bad == 0 else f"{bad} rows are not valid"
    looks = f"looked at {BATCHES} times, every {BATCH} scores"
    return [*lines, "", f"{len(outcomes)} rows, {outcomes[0].repeats} repeats, {looks}: {verdict}."]
