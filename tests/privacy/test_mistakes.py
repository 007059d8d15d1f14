"""What published code gets wrong: the effect is what is known of it, and ours does not do it.

Each check is a function that passes on ours and fails on the mistake. A check makes at most ten
statistical tests of 1e-5 each. Not here: the DP-SGD engine, whose own tests clip against a loop.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from fedbert.data.client_data import ClientData
from privacy.accountants import gaussian_epsilon, poisson_gaussian_epsilon
from privacy.accounting import ledger
from privacy.calibration import gaussian_sigma
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.clipping import clip_factors
from privacy.facts import TrainingFacts
from privacy.gaussian import Gaussian
from privacy.guarantee import Guarantee
from privacy.laplace import Laplace
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import clip_rows
from privacy.metric import Metric
from privacy.randomness.source import NoiseSource
from tests.privacy import mistakes
from tests.privacy.drawn import draws
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    follows,
    gaussian_scale,
    generator,
    likely,
    noise_of,
    radius_scale,
)

DELTA = 1e-5

# --- sensitivity ---------------------------------------------------------------------------------


def covers_its_sensitivity(mechanism) -> bool:
    """Whether the noise drawn is `noise_multiplier` times how far hostile neighbours really lie."""
    cost = mechanism.cost()
    far = torch.tensor([[1e3] + [0.0] * 499, [-1e3] + [0.0] * 499])
    clipped = mechanism.clip(far)
    other = clipped[1] if cost.relation == "replace-one" else torch.zeros(500)
    distance = float((clipped[0] - other).norm())
    noise = mechanism.add_noise(torch.zeros(40, 500), draws(1))
    return gaussian_scale(noise, cost.event.noise_multiplier * distance)


@pytest.mark.parametrize("clip_norm", [0.1, 1.0, 7.0])
def test_noise_covers_the_distance_of_neighbours(clip_norm):
    for kind in (Gaussian, DPFedAvg):
        assert covers_its_sensitivity(kind(clip_norm, 0.8))
    assert covers_its_sensitivity(MatrixGaussian(clip_norm, 0.8, width=5, length=100))
    assert not covers_its_sensitivity(mistakes.SensitivityOfOneClip(clip_norm, 0.8))
    regardless = covers_its_sensitivity(mistakes.NoiseRegardlessOfTheClip(clip_norm, 0.8))
    assert regardless == (clip_norm == 1.0)  # right by chance


@pytest.mark.parametrize(
    ("claimed", "real"), [(1, 2.15), (2, 4.39), (4, 9.08), (8, 19.12), (16, 40.92)]
)
def test_one_clip_for_two_more_than_doubles_epsilon(claimed, real):
    broken = mistakes.SensitivityOfOneClip.calibrated(claimed, DELTA, clip_norm=3.0)
    assert gaussian_epsilon(broken.noise_std / 6.0, 1, DELTA) == pytest.approx(real, abs=0.006)
    ours = Gaussian.calibrated(claimed, DELTA, clip_norm=3.0)
    assert gaussian_epsilon(ours.noise_std / 6.0, 1, DELTA) == pytest.approx(claimed, abs=1e-6)


def test_noise_regardless_of_the_clip_is_right_for_none_but_one():
    for clip_norm, real in ((0.5, 3.55), (1.0, 8.0), (2.0, 19.12)):
        broken = mistakes.NoiseRegardlessOfTheClip(clip_norm, gaussian_sigma(8.0, DELTA, 1.0))
        epsilon = gaussian_epsilon(broken.noise_std / (2 * clip_norm), 1, DELTA)
        assert epsilon == pytest.approx(real, abs=0.006)


# --- metric noise --------------------------------------------------------------------------------


def lengths_are_right(mechanism) -> bool:
    """Whether lengths are Gamma and every row has its own, for a width of 48."""
    noise = noise_of(mechanism, seed=3, shape=(3000, 48), dtype=torch.float64)
    lengths = noise.norm(dim=1)
    law = stats.gamma(48, scale=1 / mechanism.eta)
    return radius_scale(noise, mechanism.eta) and follows(lengths, law.cdf)


def test_metric_noise_is_a_radius_times_a_direction_for_every_row():
    assert lengths_are_right(Metric(5.0, 48))
    assert not lengths_are_right(mistakes.GammaPerCoordinate(5.0, 48))
    assert not lengths_are_right(mistakes.OneRadius(5.0, 48))


@pytest.mark.parametrize(("width", "factor"), [(48, 4.0), (768, 16.0)])
def test_a_gamma_per_coordinate_is_too_long_by_the_root_of_a_third_of_the_width(width, factor):
    shape = (300, width)
    broken = noise_of(mistakes.GammaPerCoordinate(5.0, width), 3, shape).norm(dim=1)
    ours = noise_of(Metric(5.0, width), 4, shape).norm(dim=1)
    assert float(broken.mean() / ours.mean()) == pytest.approx(factor, rel=0.04)


def test_one_radius_for_the_batch_shows_in_every_row():
    broken = noise_of(mistakes.OneRadius(5.0, 48), 5, (500, 48), torch.float64).norm(dim=1)
    assert float(broken.std() / broken.mean()) < 1e-9
    lengths = noise_of(Metric(5.0, 48), 5, (500, 48)).norm(dim=1)
    assert not dependent(lengths[:-1], lengths[1:])
    assert float(lengths.std() / lengths.mean()) == pytest.approx(48**-0.5, rel=0.2)


# --- noise that depends on the data --------------------------------------------------------------


def noise_is_the_same_for_all_records(mechanism) -> bool:
    """Whether, under the same draws, what is added does not depend on what it is added to."""
    records = 0.1 * torch.randn(6, 8, generator=generator(6), dtype=torch.float64)
    noises = [
        mechanism.add_noise(scale * records, draws(7)) - scale * records
        for scale in (1.0, 3.0, -5.0)
    ]
    return all(torch.allclose(noise, noises[0], rtol=0, atol=1e-7) for noise in noises)


def test_noise_does_not_depend_on_the_record():
    ours = [Gaussian(1.0, 0.6), DPFedAvg(1.0, 0.6), Laplace(1.0, 2.0), Metric(2.0, 8)]
    ours += [MatrixGaussian(1.0, 0.6, 4, 2), MatrixGaussian(1.0, 0.6, 4, 2, 2.0, 3.0)]
    assert all(noise_is_the_same_for_all_records(mechanism) for mechanism in ours)
    assert not noise_is_the_same_for_all_records(mistakes.NoiseOverALength(1.0, 0.6))


def test_noise_over_a_length_tells_neighbours_apart_with_certainty():
    # A long and a short record, both within the clip: the spread alone gives them away.
    broken = mistakes.NoiseOverALength(1.0, gaussian_sigma(1.0, DELTA, 1.0))
    spreads = []
    for length in (1.0, 1e-3):
        records = torch.full((2000, 64), length / 8.0)
        spreads.append((broken.add_noise(records, draws(8)) - records).std(dim=1))
    assert float(spreads[0].max()) < float(spreads[1].min()) / 100


# --- clipped sums --------------------------------------------------------------------------------


def farthest(clipped_sum, gradients: torch.Tensor, clip_norm: float) -> float:
    """How far, in clips, the sum moves when the record that moves it most is removed."""
    whole = clipped_sum(gradients, clip_norm)
    moved = [
        float((whole - clipped_sum(gradients[torch.arange(len(gradients)) != i], clip_norm)).norm())
        for i in range(len(gradients))
    ]
    return max(moved) / clip_norm


def hostile(records: int = 16, values: int = 40) -> torch.Tensor:
    """Gradients of which one is large in every layer and the others point the other way."""
    gradients = torch.full((records, values), -0.1, dtype=torch.float64)
    gradients[3] = 1e3
    return gradients


def ours_by_rows(gradients: torch.Tensor, clip_norm: float) -> torch.Tensor:
    return clip_rows(gradients, clip_norm).sum(dim=0)


def ours_by_fedavg(gradients: torch.Tensor, clip_norm: float) -> torch.Tensor:
    return DPFedAvg(clip_norm, 1.0).clip(gradients).sum(dim=0)


def ours_by_factors(gradients: torch.Tensor, clip_norm: float) -> torch.Tensor:
    factors = clip_factors(gradients.square().sum(dim=1), clip_norm)
    return (factors[:, None] * gradients).sum(dim=0)


@pytest.mark.parametrize("clip_norm", [0.5, 2.0])
@pytest.mark.parametrize("ours", [ours_by_rows, ours_by_fedavg, ours_by_factors])
def test_one_record_moves_a_clipped_sum_by_one_clip(ours, clip_norm):
    assert 0.99 < farthest(ours, hostile(), clip_norm) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("broken", "clips"),
    [
        (mistakes.clip_after_averaging, 20.0),  # up to records clips, and as many back
        (mistakes.clip_per_layer, 2.0),  # the root of four layers
        (mistakes.nothing_clipped, 1000.0),
    ],
)
def test_one_record_moves_a_sum_that_is_clipped_wrongly_by_more(broken, clips):
    assert farthest(broken, hostile(), 0.5) >= clips * (1 - 1e-6)


def test_a_tied_weight_counted_twice_is_clipped_beyond_the_bound():
    # Gradients as input table and as decoder, of one length, at cosines 0.35 to 0.44 and 1.
    norms = []
    for cosine in (0.35, 0.44, 1.0):
        turned = torch.tensor([cosine, math.sqrt(1 - cosine**2)], dtype=torch.float64)
        uses = 9.0 * torch.stack([torch.tensor([1.0, 0.0], dtype=torch.float64), turned])[None]
        norms.append(float(mistakes.tied_weight_counted_twice(uses, 0.5).norm()))
        for ours in (ours_by_rows, ours_by_fedavg, ours_by_factors):
            assert float(ours(uses.sum(dim=1), 0.5).norm()) <= 0.5
    assert norms[:2] == pytest.approx([0.58, 0.60], abs=0.002)
    assert norms[2] == pytest.approx(0.5 * math.sqrt(2))


# --- accounting ----------------------------------------------------------------------------------

SST2 = 67_349  # training examples


def our_forward_claim(noise_std: float, epochs: int) -> float:
    """What the ledger says of messages clipped to 1, each example sent once an epoch."""
    use = TrainingFacts("parallel", epochs, 1, True, False, DELTA, cut_layer=0)
    entry = ledger(Defence("d", smashed=Gaussian(1.0, noise_std / 2.0)), use)["forward"]
    assert isinstance(entry, Guarantee)
    return entry.epsilon


def test_nothing_is_amplified_against_a_server_that_sees_every_message():
    noise_std = 0.319
    claimed = mistakes.amplified_against_the_server(noise_std, 3, SST2, DELTA)
    assert claimed == pytest.approx(8.0, abs=0.1)
    assert our_forward_claim(noise_std, 1) == pytest.approx(45.6, abs=0.1)
    assert our_forward_claim(noise_std, 3) == pytest.approx(104.4, abs=0.1)


def looks_poisson(batches: list[np.ndarray], records: int, rate: float) -> bool:
    """Whether every record is in every batch by its own draw: sizes and counts are binomial."""
    steps = len(batches)
    sizes = np.array([len(batch) for batch in batches])
    counts = np.bincount(np.concatenate(batches), minlength=records)
    ok = True
    for values, law in ((sizes, stats.binom(records, rate)), (counts, stats.binom(steps, rate))):
        spread = float(((values - law.mean()) ** 2).sum() / law.var())
        # A sum of nearly independent squares: its variance from the law's fourth moment, and tails
        # heavier than the normal's, to stay within the false alarm.
        excess = float(law.stats(moments="k"))
        deviation = math.sqrt(len(values) * (2.0 + excess))
        ok &= likely((spread - len(values)) / deviation, stats.t(20))
        ok &= likely(int(values.sum()), stats.binom(records * steps, rate))
    return ok


def test_the_batches_of_dp_sgd_are_poisson_samples_and_shuffled_ones_are_not():
    data = ClientData(
        0,
        range(200),
        None,
        batch_size=20,
        seed=3,
        poisson=True,
        coins=NoiseSource(bytes(32), "repeatable"),
    )
    assert looks_poisson([data.chosen(step) for step in range(400)], 200, data.sample_rate)
    assert data.sample_rate == 0.1
    fixed = list(itertools.islice(mistakes.shuffled_batches(200, 20, seed=3), 400))
    assert not looks_poisson(fixed, 200, 0.1)
    loader = ClientData(0, range(200), None, batch_size=20, seed=3)
    assert not looks_poisson([loader.chosen(step) for step in range(400)], 200, 0.1)


@pytest.mark.parametrize(("noise_multiplier", "steps", "claim", "least"), [(0.7, 1000, 0.61, 6.5)])
def test_shuffled_batches_cost_more_than_poisson_samples(noise_multiplier, steps, claim, least):
    claimed = poisson_gaussian_epsilon(noise_multiplier, 1 / steps, steps, DELTA)
    assert claimed == pytest.approx(claim, abs=0.01)
    assert mistakes.shuffled_epsilon_at_least(noise_multiplier, steps, DELTA) >= least


def test_the_lower_bound_on_shuffled_batches_is_what_a_simulation_shows():
    # Each rate within its binomial interval, at 1e-5 each: 10 batches, threshold 2.5, noise 1.
    rng, trials = np.random.default_rng(4), 40_000
    for raised in (2.0, 1.0):
        sums = rng.standard_normal((trials, 10))
        sums[np.arange(trials), rng.integers(0, 10, trials)] += raised
        hits = int((sums.max(axis=1) > 2.5).sum())
        rate = 1 - stats.norm.cdf(2.5) ** 9 * stats.norm.cdf(2.5 - raised)
        assert stats.binomtest(hits, trials, rate).pvalue > FALSE_ALARM
    assert mistakes.shuffled_epsilon_at_least(1.0, 1, DELTA) <= gaussian_epsilon(1.0, 1, DELTA)
