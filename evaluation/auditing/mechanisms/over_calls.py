"""Probes of noise from call to call: kept, repeated, of few values, other at first, or by place.

The adversary knows every record but one, so the noise of every other call, and of every other row,
is known to him. Whatever the noise at hand shares with it falls away.
"""

import copy
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from evaluation.adversary.simulated_noise import source_from
from evaluation.auditing.mechanisms.distinguish import Probe, Statistics
from fedbert.seeding import generator, numpy_rng
from privacy.mechanism import Mechanism
from privacy.randomness.draws import Draws

REMEMBERED = 512  # calls whose noise is kept in mind: noise that repeats after more is not seen
CALLS = 2000  # of a probe that needs calls for every sample: at most so many samples a side
LATELY = 32  # of them, those whose values are compared one by one
ROWS = 8  # of a batch, all but one of them known
DRAWN = 4096  # rows by which the least noisy direction is found
WELL = 4  # rows for each value: fewer do not tell a direction from chance
TINY = 1e-300

Label = tuple[int, *tuple[str, ...]]


class Adds(Protocol):
    """What adds noise to rows [row, value]."""

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """Return the rows with noise."""
        ...


def noise_of(label: Label) -> list[Draws]:
    """Return the noise of either side of a probe: each goes on from call to call."""
    return [source_from(generator(*label, side)).draws("probe") for side in (0, 1)]


def least_noisy(mechanism: Adds, like: Tensor, label: Label) -> list[Tensor]:
    """Return unit vectors [value] along which noise was least: of single values, and of any.

    like [value]: a record of zeros in the type of a run. What is found on these draws is judged
    on others.
    """
    draws = source_from(generator(*label, "least noisy")).draws("probe")
    rows = like.expand(DRAWN, -1).clone()
    noise = mechanism.add_noise(rows, draws).double().numpy()
    width = noise.shape[1]
    one = torch.zeros(width, dtype=torch.float64)
    one[int(np.argmin((noise**2).mean(0)))] = 1.0
    if width < 2 or WELL * width > DRAWN:
        return [one]
    _, vectors = np.linalg.eigh(noise.T @ noise)
    return [one, torch.from_numpy(vectors[:, 0].copy())]


def call_probes(
    mechanism: Mechanism, pristine: Mechanism, rows: Tensor, where: str, label: Label
) -> list[Probe]:
    """Return the probes that look at several calls, or several rows, of two neighbours.

    pristine: a copy of the mechanism that was never called. rows [2, value]: the neighbours, after
    the clip.
    """
    alone = _alone(lambda: mechanism, rows, (*label, "alone"))
    beside = _beside(mechanism, rows, (*label, "beside"))
    first = _alone(lambda: copy.deepcopy(pristine), rows, (*label, "first"))
    return [
        Probe(f"{where}, call after call", alone, CALLS, True),
        Probe(f"{where}, in a first call", first, CALLS // 4, True),
        Probe(f"{where}, beside known rows", beside, CALLS, True),
    ]


def _alone(makes: Callable[[], Adds], rows: Tensor, label: Label) -> Callable[..., Statistics]:
    """Return statistics of calls with one row, after calls with a row that is known."""
    each, clean = noise_of(label), rows.double().numpy()
    known = np.empty((2, REMEMBERED, rows.shape[1]))
    calls = [0, 0]

    def draw(side: int, samples: int) -> Statistics:
        found: list[dict[str, float]] = []
        for _ in range(samples):
            seen = makes().add_noise(rows[1:].clone(), each[side])[0].double().numpy() - clean[1]
            known[side, calls[side] % REMEMBERED] = seen
            calls[side] += 1
            sent = makes().add_noise(rows[side : side + 1].clone(), each[side])[0].double().numpy()
            found.append(_compared(sent, clean, seen, known[side, : calls[side]]))
        return _stacked(found)

    return draw


def _beside(mechanism: Adds, rows: Tensor, label: Label) -> Callable[[int, int], Statistics]:
    """Return statistics of batches whose rows are all known but one, which lies anywhere."""
    each, clean = noise_of(label), rows.double().numpy()
    places = [numpy_rng(*label, "place", side) for side in (0, 1)]

    def draw(side: int, samples: int) -> Statistics:
        found: list[dict[str, float]] = []
        for _ in range(samples):
            place = int(places[side].integers(ROWS))
            batch = rows[1:].repeat(ROWS, 1)
            batch[place] = rows[side]
            sent = mechanism.add_noise(batch, each[side]).double().numpy()
            others = np.delete(sent, place, axis=0) - clean[1]
            found.append(_compared(sent[place], clean, others[-1], others))
        return _stacked(found)

    return draw


def _compared(
    sent: np.ndarray, clean: np.ndarray, last: np.ndarray, known: np.ndarray
) -> dict[str, float]:
    """Return what a release [value] shows beside known noise [call, value], and that just before.

    clean [2, value]: the release is of the first or of the second.
    """
    supposed, along = sent - clean[0], clean[0] - clean[1]
    apart = np.linalg.norm(known - supposed, axis=1)
    lengths = np.linalg.norm(known, axis=1)
    unequal = np.abs(np.log((lengths + TINY) / (np.linalg.norm(supposed) + TINY)))
    values = np.sort(known[:LATELY], axis=None)
    at = np.clip(np.searchsorted(values, supposed), 1, max(1, len(values) - 1))
    near = np.minimum(
        np.abs(values[at - 1] - supposed),
        np.abs(values[np.minimum(at, len(values) - 1)] - supposed),
    )
    return {
        "projection": float(sent @ along),
        "what is left without the noise before": float((sent - last) @ along),
        "what is left with the noise before": float((sent + last) @ along),
        "the same noise": -float(np.log(apart.min() + TINY)),
        "the same length of noise": -float(np.log(unequal.min() + TINY)),
        "values that noise had before": -float(np.log(near + TINY).mean()),
        "values without noise": float((np.abs(supposed) <= 1e-9 * np.abs(along).max()).sum()),
    }


def _stacked(found: list[dict[str, float]]) -> Statistics:
    return {name: np.array([each[name] for each in found]) for name in found[0]}
