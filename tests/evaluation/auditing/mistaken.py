"""Every mistake of `tests.privacy.mistakes` as an audit meets it, beside what is right."""

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from evaluation.auditing.mechanisms.distinguish import distinguish
from evaluation.auditing.mechanisms.isolation import SAMPLES, audit_mechanism, audit_step, audit_sum
from evaluation.auditing.mechanisms.probes import sampler_probe
from evaluation.auditing.mechanisms.rounds import audit_rounds
from evaluation.auditing.verdict import Claim, Finding
from fedbert.data.client_data import ClientData
from privacy.accountants import gaussian_epsilon, poisson_gaussian_epsilon
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.mechanism import clip_rows
from privacy.metric import Metric
from privacy.randomness.source import NoiseSource
from reports.card.content import VIOLATES
from tests.privacy import mistakes

DELTA = 1e-5
CLIP = 2.0
EPSILON = 2.0
SST2, EPOCHS, NOISE_STD = 67_349, 3, 0.319
SHUFFLED = (0.7, 1000)  # noise multiplier, steps of one epoch
TRIALS = 8000
SEEDS, OFTEN = 100, 10_000  # of either; samples of what is right
POISSON = (0.7, 50, 160)  # the same for real Poisson samples, fewer: each is drawn anew

Audit = Callable[[int, int], Finding | None]  # of seed and samples


def mechanism(made) -> Audit:
    return lambda seed, samples: audit_mechanism(made, DELTA, seed, samples=samples)


def total(clipped_sum, datasets=None) -> Audit:
    noise = DPSGD(CLIP, Gaussian.calibrated(EPSILON, DELTA, CLIP).noise_multiplier, 1.0)
    name = getattr(clipped_sum, "__name__", "sum")
    return lambda seed, samples: audit_sum(
        name, clipped_sum, noise, DELTA, seed, datasets, samples=samples
    )


def by_rows(gradients, clip_norm):
    return clip_rows(gradients, clip_norm).sum(dim=0)


def by_factors(gradients, clip_norm):
    factors = clip_factors(gradients.square().sum(dim=1), clip_norm)
    return (factors[:, None] * gradients).sum(dim=0)


def against_the_server(epsilon: Callable[[], float]) -> Audit:
    sent = Gaussian(1.0, NOISE_STD / 2)
    return lambda seed, samples: audit_mechanism(
        sent, DELTA, seed, EPOCHS, Claim(epsilon(), DELTA), samples
    )


def shuffled(seed: int, samples: int) -> Finding:
    noise, count = SHUFFLED
    drawn = [mistakes.shuffled_batches(count, 1, 2 * seed + side) for side in (0, 1)]

    def steps(side: int, trial: int) -> tuple[np.ndarray, np.ndarray]:
        records = np.concatenate(list(itertools.islice(drawn[side], count)))
        mine = records == 0
        return (~mine).astype(float), mine.astype(float)

    claim = Claim(poisson_gaussian_epsilon(noise, 1 / count, count, DELTA), DELTA)
    return distinguish("batches", claim, [sampler_probe(steps, noise, seed)], TRIALS)


def poisson(seed: int, samples: int) -> Finding:
    noise, count, trials = POISSON
    coins = NoiseSource(seed.to_bytes(32, "big"), "repeatable")
    data = [
        ClientData(side, range(count), None, 1, seed, poisson=True, coins=coins) for side in (0, 1)
    ]

    def steps(side: int, trial: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = [data[side].chosen(trial * count + step) for step in range(count)]
        mine = np.array([float((each == 0).any()) for each in chosen])
        return np.array([float(len(each)) for each in chosen]) - mine, mine

    claim = Claim(poisson_gaussian_epsilon(noise, 1 / count, count, DELTA), DELTA)
    return distinguish("batches", claim, [sampler_probe(steps, noise, seed)], trials)


sound = Gaussian.calibrated(EPSILON, DELTA, CLIP)
uses = 9.0 * torch.ones(1, 2, 4, dtype=torch.float64)
tied = (uses, uses[:0])
tied_sum = (uses.sum(dim=1), uses.sum(dim=1)[:0])

PAIRS: dict[str, tuple[Audit, Audit]] = {  # the mistake, and what is right
    "sensitivity of one clip": (
        mechanism(mistakes.SensitivityOfOneClip.calibrated(EPSILON, DELTA, CLIP)),
        mechanism(sound),
    ),
    "noise regardless of the clip": (
        mechanism(mistakes.NoiseRegardlessOfTheClip(CLIP, sound.noise_multiplier)),
        mechanism(Gaussian.calibrated(4.0, DELTA, 0.5)),
    ),
    "noise over a length": (
        mechanism(mistakes.NoiseOverALength(CLIP, sound.noise_multiplier)),
        mechanism(Gaussian.calibrated(1.0, DELTA, CLIP, unit="sequence")),
    ),
    # Of two values, where it is Laplace noise of an L1 guarantee. In many dimensions it is so
    # much too long that no number of samples shows what is wrong with its tails.
    "a gamma per coordinate": (
        mechanism(mistakes.GammaPerCoordinate(5.0, 2)),
        mechanism(Metric(5.0, 2)),
    ),
    "one radius for the batch": (
        mechanism(mistakes.OneRadius(5.0, 48)),
        mechanism(Metric(5.0, 48)),
    ),
    "clip after averaging": (total(mistakes.clip_after_averaging), total(by_rows)),
    "clip per layer": (total(mistakes.clip_per_layer), total(by_factors)),
    "nothing clipped": (
        total(mistakes.nothing_clipped),
        lambda seed, samples: audit_step(DPSGD(CLIP, 0.8, 0.1), DELTA, seed, samples // 5),
    ),
    "tied weight counted twice": (
        total(mistakes.tied_weight_counted_twice, tied),
        total(by_factors, tied_sum),
    ),
    "amplified against the server": (
        against_the_server(
            lambda: mistakes.amplified_against_the_server(NOISE_STD, EPOCHS, SST2, DELTA)
        ),
        against_the_server(lambda: gaussian_epsilon(NOISE_STD / 2, EPOCHS, DELTA)),
    ),
    "shuffled batches": (shuffled, poisson),
}


def of_a_state(kind: type) -> Audit:
    """The audit of a mechanism whose state is new at every audit."""
    return lambda seed, samples: audit_mechanism(
        kind.calibrated(EPSILON, DELTA, CLIP), DELTA, seed, samples=samples
    )


def step(kind: type) -> Audit:
    return lambda seed, samples: audit_step(kind(CLIP, 0.8, 0.1), DELTA, seed, samples // 5)


def unsampled(seed: int, samples: int) -> Finding:
    """Every record in every batch, claimed as a Poisson sample of a tenth."""
    noise, count = 2.0, 20
    claim = Claim(poisson_gaussian_epsilon(noise, 0.1, count, DELTA), DELTA)

    def steps(side: int, trial: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(count), np.ones(count)

    return distinguish("batches", claim, [sampler_probe(steps, noise, seed)], TRIALS)


def rounds(counted: int) -> Audit:
    """A client in eight rounds, of which so many are claimed."""
    made = DPFTRL(0.5, 2.0, 1, 8)
    return lambda seed, samples: audit_rounds(made, DELTA, seed, samples // 4, None, counted)


STATES = (
    mistakes.NoiseKept,
    mistakes.NoiseReseeded,
    mistakes.NoiseThatRepeats,
    mistakes.NoiseThatLasts,
    mistakes.FirstCallBare,
    mistakes.ValuesWithoutNoise,
    mistakes.NoiseAlike,
    mistakes.NoiseOfFewValues,
    mistakes.NoiseByTheBatch,
    mistakes.LastRowBare,
    mistakes.NoiseBeforeTheClip,
)
SUMS = (
    mistakes.clip_to_the_median,
    mistakes.clip_to_the_mean,
    mistakes.last_not_clipped,
    mistakes.first_not_clipped,
)
STEPS = (mistakes.LastOfTheBatchUnclipped, mistakes.ClippedToTheMedian)


def told(kind: Any) -> str:
    """The first line of a mistake's docstring."""
    return str(kind.__doc__).split("\n")[0].rstrip(".")


OVER_CALLS: dict[str, tuple[Audit, Audit]] = {  # what one call by itself does not show
    **{told(each): (of_a_state(each), mechanism(sound)) for each in STATES},
    **{each.__name__.replace("_", " "): (total(each), total(by_rows)) for each in SUMS},
    **{told(each): (step(each), step(DPSGD)) for each in STEPS},
    "half of the rounds counted": (rounds(4), rounds(8)),
    "every record in every batch": (unsampled, poisson),
}


TWINS = {  # whose right twin is that of another row
    **{told(each): "sensitivity of one clip" for each in STATES},
    **{each.__name__.replace("_", " "): "clip after averaging" for each in SUMS},
    **{told(each): "nothing clipped" for each in STEPS},
    "clip per layer": "clip after averaging",
    "tied weight counted twice": "clip after averaging",
    "every record in every batch": "shuffled batches",
}


def main(seeds: int = SEEDS) -> None:
    """Print what docs/results/audit-fixtures.md holds, row by row as each is done."""
    print(
        "| mistake | claims | bound | found | samples a side, median and most | CPU s | "
        "right: accused | bound / claim | samples | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows: dict[str, str] = {}
    for name, (mistake, right) in (PAIRS | OVER_CALLS).items():
        wrong, spent = _over(mistake, seeds, SAMPLES)
        counts = sorted(each.samples for each in wrong)
        found = sum(each.verdict == VIOLATES for each in wrong)
        of = TWINS.get(name, name)
        if of not in rows:
            sound, took = _over(right, seeds, OFTEN)
            accused = sum(each.verdict == VIOLATES for each in sound)
            share = np.median([each.bound / each.claim.epsilon for each in sound])
            most = int(np.median([each.samples for each in sound]))
            rows[of] = f"{accused} of {seeds} | {share:.2f} | {most:,} | {took:.1f}"
        row = rows[of] if of == name else f"as *{of}* | | | "
        print(
            f"| {name} | {wrong[0].claim.epsilon:.3g} | {wrong[0].bound:.3g} | "
            f"{found} of {seeds} | {counts[len(counts) // 2]:,}, {counts[-1]:,} | {spent:.1f} | "
            f"{row} |",
            flush=True,
        )


def _over(audit: Audit, seeds: int, samples: int) -> tuple[list[Finding], float]:
    """Return the findings of so many seeds, and the processor time of one."""
    start = time.process_time()
    found = [audit(seed, samples) for seed in range(seeds)]
    return [each for each in found if each is not None], (time.process_time() - start) / seeds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
