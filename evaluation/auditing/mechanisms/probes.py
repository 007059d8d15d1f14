"""Worst-case neighbours of each kind of mechanism, and what an adversary computes of a release.

The adversary knows both neighbours, the clip, and all other records. A probe's statistics are
log-likelihood ratios of the noise that might be there, and quantities that only broken noise
gives away: the length of what was added, and whether others in the batch had the same.
"""

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.adversary.simulated_noise import source_from
from evaluation.auditing.mechanisms.distinguish import Probe, Statistics
from evaluation.auditing.mechanisms.hostile import worst_pair
from evaluation.auditing.mechanisms.over_calls import (
    TINY,
    Label,
    call_probes,
    least_noisy,
    noise_of,
)
from fedbert.errors import InputError
from fedbert.private_step import PrivateStep, Share
from fedbert.seeding import generator, numpy_rng
from privacy.dp_sgd.mechanism import DPSGD
from privacy.mechanism import Mechanism
from privacy.randomised_response import RandomisedResponse

TOGETHER = 256  # records of one step of DP-SGD
WIDTH = 4  # values of a row, where the mechanism does not say
FAR, NEAR = 1e3, 1e-3  # lengths of records, in clips
AT_ONCE = 4_000_000  # values drawn in one call: bounds memory


def row_probes(
    mechanism: Mechanism, relation: str, distance: float | None, releases: int, seed: int
) -> Iterator[Probe]:
    """Yield the probes of a mechanism that clips rows and adds noise to them.

    distance: of the neighbours, where the claim is one of metric privacy.
    """
    width, pristine = getattr(mechanism, "width", None) or WIDTH, copy.deepcopy(mechanism)
    for number, along in enumerate(_directions(mechanism, width, seed)):
        for name, one, other in _pairs(mechanism.clip_norm, relation, distance, along):
            where = f"{name}, direction {number}"
            label = (seed, "probe", where)
            rows = mechanism.clip(torch.stack([one, other]).to(_sent_as(mechanism)))
            yield Probe(where, _rows(mechanism, rows, releases, label), max(4, 2 * 10**7 // width))
    if releases == 1:
        drawn = torch.randn(width, generator=generator(seed, "along"), dtype=torch.float64)
        name, *pair = next(_pairs(mechanism.clip_norm, relation, distance, drawn / drawn.norm()))
        rows = mechanism.clip(torch.stack(pair).to(_sent_as(mechanism)))
        yield from call_probes(mechanism, pristine, rows, name, (seed, "probe", name))


def _directions(mechanism: Mechanism, width: int, seed: int) -> list[Tensor]:
    """Return unit vectors [value]: one value, all alike, the least noisy as told and as seen."""
    one = torch.zeros(width, dtype=torch.float64)
    one[0] = 1.0
    found = [one, torch.full_like(one, 1 / math.sqrt(width))]
    factor = getattr(mechanism, "column_factor", None)
    if factor is not None:
        least = torch.linalg.eigh(factor)[1][:, 0]
        projection = getattr(mechanism, "projection", None)
        found.append(least if projection is None else projection @ least)
    like = torch.zeros(width, dtype=_sent_as(mechanism))
    return [*found, *least_noisy(mechanism, like, (seed, "probe"))]


def _pairs(
    clip_norm: float | None, relation: str, distance: float | None, along: Tensor
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield neighbours before the clip, with a name."""
    if distance is not None or clip_norm is None:
        yield "at a distance", (distance or 1.0) * along, torch.zeros_like(along)
        return
    if relation == "replace-one":
        yield "opposite", FAR * clip_norm * along, -FAR * clip_norm * along
        yield "long and short", FAR * clip_norm * along, NEAR * clip_norm * along
    else:
        yield "there and not", FAR * clip_norm * along, torch.zeros_like(along)


def _sent_as(mechanism: Mechanism | DPSGD) -> torch.dtype:
    """Return the type in which a run hands records to the mechanism: sums of updates in float64."""
    return torch.float64 if mechanism.unit == "client" else torch.float32


def _rows(
    mechanism: Mechanism, rows: Tensor, releases: int, label: Label
) -> Callable[[int, int], Statistics]:
    """Return the statistics of many releases of one of two clipped rows [2, value]."""
    step, each = max(1, AT_ONCE // rows.shape[1]), noise_of(label)

    def draw(side: int, samples: int) -> Statistics:
        draws = each[side]
        found: dict[str, list[np.ndarray]] = {}
        for start in range(0, samples, step):
            count = min(step, samples - start)
            total: dict[str, Tensor] = {}
            for _ in range(releases):
                sent = mechanism.add_noise(rows[side].expand(count, -1).clone(), draws)
                for name, value in _ratios(sent.double(), rows.double()).items():
                    total[name] = total[name] + value if name in total else value
            for name, value in total.items():
                found.setdefault(name, []).append(value.numpy())
        return {name: np.concatenate(parts) for name, parts in found.items()}

    return draw


def _ratios(sent: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Return the statistics [sample] of releases [sample, value] of one of two rows."""
    off, other = sent - rows[0], sent - rows[1]
    lengths = [torch.linalg.vector_norm(each, dim=1) for each in (off, other)]
    return {
        "projection": sent @ (rows[0] - rows[1]),
        "difference of L2 lengths": lengths[1] - lengths[0],
        "difference of L1 lengths": other.abs().sum(1) - off.abs().sum(1),
        "length of the noise": lengths[1].clamp_min(TINY).log(),
    }


def label_probe(mechanism: RandomisedResponse, seed: int) -> Probe:
    """Return the probe of randomised labels: is it 0 or 1?"""

    each = noise_of((seed, "probe", "labels"))

    def draw(side: int, samples: int) -> Statistics:
        draws = each[side]
        answers = mechanism.randomise(np.full(samples, side, dtype=np.int64), draws)
        return {"the label": (answers == 0).astype(float)}

    return Probe("label 0 and label 1", draw)


def sum_probes(
    clipped_sum: Callable[[Tensor, float], Tensor],
    mechanism: DPSGD,
    datasets: tuple[Tensor, Tensor],
    seed: int,
) -> Iterator[Probe]:
    """Yield the probes of a clipped sum [value]: gradients with a record, and without it."""
    sums = [clipped_sum(data.clone(), mechanism.clip_norm) for data in datasets]
    rows = torch.stack(sums).to(_sent_as(mechanism))
    name, label = "with a record and without it", (seed, "probe", "sum")
    yield Probe(name, _rows(mechanism, rows, 1, label))
    yield from call_probes(mechanism, copy.deepcopy(mechanism), rows, name, label)


def step_probe(mechanism: DPSGD, seed: int) -> Probe:
    """Return the probe of DP-SGD's step on a layer: records with hostile gradients, and without.

    Every record's gradient is far too long and lies along a coordinate of its own, so that a step
    gives as many samples as records. Side 0 looks at the coordinates of records that are there,
    side 1 at as many whose records are not.
    """
    layer = nn.Linear(2 * TOGETHER, 1, bias=False)
    every = FAR * mechanism.clip_norm * torch.eye(2 * TOGETHER)

    sources = [source_from(generator(seed, "probe", "step", side)) for side in (0, 1)]
    taken = [0, 0]  # steps of either side so far

    def draw(side: int, samples: int) -> Statistics:
        share = Share(1.0, layer.weight.numel(), sources[side])
        step = PrivateStep({"layer": layer}, dict(layer.named_parameters()), mechanism, share)
        shown = every[TOGETHER * side : TOGETHER * (side + 1)]
        found, known = [], []
        for number in range(-(-samples // TOGETHER)):
            known.append(_without_records(step, layer, taken[side] + 2 * number))
            with step.record():
                losses = layer(shown)[:, 0]
            losses.sum().backward()
            factors = mechanism.factors(step.squared_norms(len(shown)))
            step.gradients(factors, taken[side] + 2 * number + 1)
            if layer.weight.grad is None:
                raise InputError("expected a gradient of the layer, got none")
            found.append(layer.weight.grad[0, :TOGETHER].double().numpy().copy())
            layer.weight.grad = None
        taken[side] += 2 * len(found)
        sent, before = (np.concatenate(each)[:samples] for each in (found, known))
        return {"projection": sent, "what is left without the noise before": sent - before}

    return Probe("with a record and without it", draw)


def _without_records(step: PrivateStep, layer: nn.Linear, number: int) -> np.ndarray:
    """Return what a step without records gives: its noise, which everybody knows [value]."""
    step.gradients(torch.zeros(0, dtype=torch.float64), number)
    if layer.weight.grad is None:
        raise InputError("expected a gradient of the layer, got none")
    noise = layer.weight.grad[0, :TOGETHER].double().numpy().copy()
    layer.weight.grad = None
    return noise


def factors_probe(mechanism: DPSGD, seed: int) -> Probe:
    """Return the probe of the clip factors of a batch, on the record that moves their sum most."""

    def by_factors(gradients: Tensor, clip_norm: float) -> Tensor:
        return (mechanism.factors(gradients.square().sum(dim=1))[:, None] * gradients).sum(dim=0)

    datasets = worst_pair(by_factors, mechanism.clip_norm)
    sums = torch.stack([by_factors(data, mechanism.clip_norm) for data in datasets])
    draw = _rows(mechanism, sums, 1, (seed, "probe", "factors"))
    return Probe("with a record and without it, by the clip factors", draw)


def sampler_probe(
    steps: Callable[[int, int], tuple[np.ndarray, np.ndarray]], noise_multiplier: float, seed: int
) -> Probe:
    """Return the probe of how records are drawn: one record is there, or it is an empty one.

    steps(side, trial) returns for every step of one training how many others were drawn, and
    whether the record was [step]. Each other adds -1 to its batch's sum, the record adds 1, or
    nothing; the sums are noised.
    """

    rngs = [numpy_rng(seed, "probe", "sampler", side) for side in (0, 1)]
    done = [0, 0]  # trials of either side so far

    def draw(side: int, samples: int) -> Statistics:
        rng = rngs[side]
        highest, odds = np.empty(samples), np.empty(samples)
        for trial in range(samples):
            others, drawn = steps(side, done[side] + trial)
            sums = drawn * float(1 - side) - others
            sums = sums + noise_multiplier * rng.standard_normal(len(sums))
            highest[trial] = sums.max()
            scaled = sums / noise_multiplier**2
            odds[trial] = scaled.max() + math.log(np.exp(scaled - scaled.max()).sum())
        done[side] += samples
        return {"highest sum": highest, "log-likelihood ratio": odds}

    return Probe("there and empty", draw)
