"""Every mechanism keeps the contract of `privacy.mechanism`, its table of edge cases included."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from evaluation.grid.build import resolve
from evaluation.grid.catalogue import MECHANISMS
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.empirical import FeatureDropout, Quantise
from privacy.events import GaussianEvent, MetricEvent, PureEvent
from privacy.gaussian import Gaussian
from privacy.laplace import Laplace
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import RELATIONS, UNITS, VIEWS, ClipOnly, Cost, Identity, Mechanism
from privacy.metric import Metric
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.uniform import Uniform
from tests.privacy.drawn import draws
from tests.privacy.others import EvenNoise, OwnLaplace
from tests.privacy.randomness.scripted import Scripted

EVERY: list[Mechanism] = [
    Identity(),
    Identity(unit="client"),
    ClipOnly(0.5),
    ClipOnly(2.0, unit="sequence"),
    Gaussian(0.5, 0.3),
    Gaussian(2.0, 1.5, unit="sequence"),
    DPFedAvg(0.5, 0.7),
    DPFTRL(0.5, 0.7, bands=2, rounds=4),
    LocalDPFedAvg(0.5, 0.7),
    AdaptiveDPFedAvg(0.5, 0.7),
    DPSGD(0.5, 0.7, sample_rate=0.1, clipping="automatic"),  # before flat: CLIPPING takes the last
    DPSGD(0.5, 0.7, sample_rate=0.1),
    Laplace(0.5, 3.0),
    Laplace(2.0, 0.4, unit="sequence"),
    MatrixGaussian(0.5, 0.3, width=1, length=800),
    MatrixGaussian(2.0, 1.5, width=1, length=800, row_spread=3.0),
    Metric(40.0, width=32),
    Quantise(4, 0.5),
    FeatureDropout(0.3),
    Uniform(0.5, 3.0),
]
CLIPPING = [  # in L2: how each of them clips to a norm
    partial(replace, mechanism)
    for mechanism in {type(each): each for each in EVERY}.values()
    if mechanism.clip_norm is not None and not isinstance(mechanism, Laplace)  # which clips in L1
]
NO_RANDOMNESS = (Identity, ClipOnly, Quantise)
KURTOSIS = {"gaussian": 3.0, "laplace": 6.0}  # of even noise 1.8, of two even ones added 2.4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive_clip(records: np.ndarray, clip_norm: float) -> np.ndarray:
    rows = []
    for row in records:
        norm = math.sqrt(math.fsum(float(v) ** 2 for v in row))
        rows.append([float(v) * (clip_norm / norm if norm > clip_norm else 1.0) for v in row])
    return np.array(rows)


def test_every_mechanism_of_messages_has_a_row():
    others = {"randomised_response", "distance_correlation"}  # act on labels, on the loss
    classes = {resolve(name, MECHANISMS, "tests") for name in MECHANISMS.keys() - others}
    apart = classes ^ {type(mechanism) for mechanism in EVERY}
    assert not apart, f"law: one row in EVERY for one line of the catalogue, got {apart}"


@pytest.mark.parametrize("mechanism", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (0, 4), (4, 0), (16, 768)])
def test_shape_and_type_are_kept(mechanism, dtype, shape):
    records = torch.randn(shape, generator=generator(1), dtype=dtype)
    if isinstance(mechanism, Metric):  # made for rows of one width, 1 at least
        records = records.new_zeros(shape[0], 1) if not shape[1] else records
        mechanism = replace(mechanism, width=records.shape[1])
    clipped = mechanism.clip(records)
    noised = mechanism.add_noise(clipped, draws())
    assert clipped.shape == noised.shape == records.shape
    assert clipped.dtype == noised.dtype == dtype


@pytest.mark.parametrize("mechanism", EVERY, ids=str)
def test_the_fields_agree_with_the_cost(mechanism):
    assert mechanism.unit in UNITS
    cost = mechanism.cost()
    model = mechanism.noise_model()
    law = "law: `noise_std` is that of the noise model, 0 for errors that are no draws"
    assert mechanism.noise_std == (model.std if model.independent or cost else 0.0), law
    if cost is not None:
        assert cost.unit == mechanism.unit
        assert cost.relation in RELATIONS
        assert claimed_std(mechanism, cost) == pytest.approx(lowest_std(mechanism), rel=1e-12)


def claimed_std(mechanism: Mechanism, cost: Cost) -> float:
    """The noise that the cost stands on, from the event and the clip alone."""
    event = cost.event
    if isinstance(mechanism, AdaptiveDPFedAvg):  # the count of bits takes its share of the budget
        budget = event.noise_multiplier**-2 - (2 * mechanism.bit_std) ** -2
        return float(mechanism.clip_norm * budget**-0.5)
    if isinstance(event, MetricEvent):
        assert mechanism.clip_norm is None
        return math.sqrt(mechanism.width + 1) / event.eta
    assert mechanism.clip_norm is not None
    # the sensitivity: 2 C when one row is replaced, C when it is added or removed
    sensitivity = {"replace-one": 2.0, "add-or-remove-one": 1.0}[cost.relation]
    if isinstance(event, PureEvent):
        return math.sqrt(2) * sensitivity * mechanism.clip_norm / event.epsilon
    return event.noise_multiplier * sensitivity * mechanism.clip_norm


def lowest_std(mechanism: Mechanism) -> float:
    """The noise in the direction that has least, which is what counts."""
    return getattr(mechanism, "smallest_std", mechanism.noise_std)


@pytest.mark.parametrize("mechanism", EVERY, ids=str)
def test_noise_follows_its_draws_and_leaves_its_input_alone(mechanism):
    records = torch.randn(4, 32, generator=generator(2))
    before = records.clone()
    one, two = (mechanism.add_noise(records, draws(7)) for _ in range(2))
    other = mechanism.add_noise(records, draws(8))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == isinstance(mechanism, NO_RANDOMNESS)
    assert torch.equal(records, before)


def noise_of_rows(mechanism: Mechanism) -> torch.Tensor:
    """Noise on 2000 rows [record, value]: independent draws of the rows' errors."""
    width = getattr(mechanism, "length", getattr(mechanism, "width", 40))
    bound = mechanism.clip_norm or 1.0  # rounding errors are even over steps for even values
    records = bound * (2 * torch.rand(2000, width, generator=generator(3)) - 1)
    return mechanism.add_noise(records, draws(4)).double() - records.double()


@pytest.mark.parametrize("mechanism", EVERY, ids=str)
def test_the_noise_that_is_stated_is_that_which_is_drawn(mechanism):
    """By the normal law of the rows' mean squares; each false alarm has probability 1e-5."""
    model = mechanism.noise_model()
    if model.dropout:
        kept = mechanism.add_noise(torch.ones(100, 500), draws())
        lost = int((kept == 0).sum())
        assert stats.binomtest(lost, kept.numel(), model.dropout).pvalue > 1e-5
        assert stats.binomtest(lost, kept.numel(), model.dropout * 1.1).pvalue < 1e-5
        return
    noise = noise_of_rows(mechanism)
    squares = noise.square().mean(1).numpy()
    if model.kind == "none":
        assert not squares.any() and model.std == 0, "law: without noise, none is added"
        return
    error = squares.std() / math.sqrt(len(squares)) * stats.norm.isf(0.5e-5)
    for factor, fits in ((1.0, True), (2 / 3, False), (1.5, False)):
        apart = abs(squares.mean() - (factor * model.std) ** 2)
        assert bool(apart <= error) is fits, "law: the stated std is the noise's root mean square"
    if model.kind in KURTOSIS and (model.independent or mechanism.cost()):
        fourth = (noise / noise.square().mean(0).sqrt()).pow(4).mean(1).numpy()
        error = fourth.std() / math.sqrt(len(fourth)) * stats.norm.isf(0.5e-5)
        law = "law: the noise has the shape of the kind that is stated (`unknown` for any other)"
        assert abs(fourth.mean() - KURTOSIS[model.kind]) <= error, law


@pytest.mark.parametrize(
    ("mechanism", "kind"),
    [
        (Gaussian(0.5, 0.3), "gaussian"),
        (Laplace(0.5, 3.0), "laplace"),
        (OwnLaplace(0.5, 3.0), "laplace"),
        (Metric(40.0, width=32), "metric"),
        (EvenNoise(), "unknown"),
        (ClipOnly(1.0), "none"),
    ],
    ids=str,
)
def test_a_mechanism_states_the_kind_of_its_noise_and_passes_it_on(mechanism, kind):
    assert mechanism.noise_model().kind == kind


def test_noise_after_the_stated_basis_is_the_same_in_all_directions():
    """Its covariance, over 20000 rows, is a multiple of the identity within 6 standard errors."""
    for more in ({"column_spread": 3.0}, {"keep": 3}, {"keep": 3, "column_spread": 3.0}):
        mechanism = MatrixGaussian(2.0, 1.5, width=5, length=1, **more)
        noise = mechanism.add_noise(torch.zeros(20000, 5, dtype=torch.float64), draws())
        seen = noise @ mechanism.noise_model().basis
        covariance = seen.T @ seen / len(seen) / mechanism.smallest_std**2
        apart = covariance - torch.eye(len(covariance), dtype=torch.float64)
        assert float(apart.abs().max()) < 6 * math.sqrt(2 / len(seen))
    assert MatrixGaussian(2.0, 1.5, width=5, length=1).noise_model().basis is None
    rows = MatrixGaussian(2.0, 1.5, width=5, length=4, row_spread=2.0)
    assert not rows.noise_model().independent


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "uniform"}, "expected kind to be one of none, gaussian"),
        ({"kind": "gaussian", "std": -1.0}, "expected a finite std >= 0"),
        ({"kind": "unknown", "std": math.inf}, "expected a finite std >= 0"),
        ({"kind": "gaussian"}, "std > 0 where there is noise"),
        ({"std": 1.0}, "std > 0 where there is noise"),
        ({"dropout": 1.0}, "0 <= dropout < 1"),
        ({"kind": "laplace", "std": 1.0, "basis": torch.eye(2)}, "a matrix for Gaussian noise"),
        ({"kind": "gaussian", "std": 1.0, "basis": torch.ones(2)}, "a matrix for Gaussian noise"),
    ],
)
def test_noise_that_cannot_be_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        NoiseModel(**fields)


def test_identity_is_the_same_tensor_even_if_it_is_not_finite():
    records = torch.tensor([[1.0, float("nan")], [-0.0, float("inf")]])
    assert Identity().clip(records) is records
    assert Identity().add_noise(records, Draws(Scripted())) is records


FLOATS = {"allow_nan": False, "allow_infinity": False}
MATRICES = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-(2.0**100), 2.0**100, width=np.dtype(dtype).itemsize * 8, **FLOATS),
    )
)


@settings(max_examples=60)
@given(MATRICES, st.floats(1e-6, 1e6))
@pytest.mark.parametrize("make", CLIPPING)
def test_norms_never_exceed_the_bound(make, records, clip_norm):
    clipped = make(clip_norm=clip_norm).clip(torch.from_numpy(records)).double()
    norms = clipped.norm(dim=1)
    assert float(norms.max()) <= clip_norm * (1 + 1e-14)


@pytest.mark.parametrize("values", [64, 768, 100_000])
def test_norms_never_exceed_the_bound_in_float32_with_many_values(values):
    records = torch.randn(64, values, generator=generator(3)) * 11.3
    norms = ClipOnly(1.0).clip(records).double().norm(dim=1)
    assert float(norms.max()) <= 1.0
    assert float(norms.min()) >= 1.0 - 1e-6  # clipped to the bound, not far below it


@settings(max_examples=100)
@given(MATRICES, st.floats(1e-6, 1e6))
def test_clip_equals_a_loop(records, clip_norm):
    clipped = ClipOnly(clip_norm).clip(torch.from_numpy(records)).numpy()
    rtol = 4 * np.finfo(records.dtype).eps
    np.testing.assert_allclose(clipped, naive_clip(records, clip_norm), rtol=rtol, atol=1e-40)


def test_rows_within_the_bound_and_rows_of_zeros_stay_bit_for_bit():
    records = torch.tensor([[0.0, -0.0, 0.0], [0.6, 0.8, 0.0], [3.0, 4.0, 0.0], [1e-30, 0, 0]])
    clipped = ClipOnly(5.0).clip(records)
    assert torch.equal(clipped, records)
    assert torch.equal(torch.signbit(clipped), torch.signbit(records))


@pytest.mark.parametrize("make", CLIPPING)
def test_the_gradient_is_the_true_one(make):
    records = torch.randn(6, 5, generator=generator(4), dtype=torch.float64)
    records[:3] *= 0.05  # three rows within the bound, three beyond
    records.requires_grad_()
    clip = make(clip_norm=1.0).clip
    assert torch.autograd.gradcheck(clip, (records,))
    # A row on the sphere has no gradient along itself: that is lost if the norm is a constant.
    (gradient,) = torch.autograd.grad(clip(records)[3:].square().sum(), records)
    assert float(gradient.abs().max()) < 1e-12


def test_the_gradient_of_a_row_of_zeros_is_that_of_the_identity():
    records = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(ClipOnly(1.0).clip(records).sum(), records)
    assert torch.equal(gradient, torch.ones(2, 3))


def test_noise_lets_the_gradient_through():
    records = torch.ones(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(Gaussian(1.0, 1.0).add_noise(records, draws()).sum(), records)
    assert torch.equal(gradient, torch.ones(2, 3))


@pytest.mark.parametrize("make", CLIPPING)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_refused_and_counted(make, bad):
    records = torch.ones(3, 4)
    records[0, 1] = records[2, 0] = bad
    with pytest.raises(ValueError, match="expected finite values, got 2 non-finite of 12 values"):
        make(clip_norm=1.0).clip(records)


@pytest.mark.parametrize(
    "mechanism",
    [m for m in EVERY if not isinstance(m, Identity | ClipOnly | Metric)] + [Metric(1.0, width=2)],
    ids=str,
)
def test_non_finite_values_are_not_noised(mechanism):
    with pytest.raises(ValueError, match="got 1 non-finite of 2 values"):
        mechanism.add_noise(torch.tensor([[1.0, math.nan]]), draws())


def test_a_norm_beyond_float64_is_refused():
    with pytest.raises(ValueError, match="norm beyond float64"):
        ClipOnly(1.0).clip(torch.full((1, 2), 1e300, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), ()])
def test_rows_must_be_rows(shape):
    with pytest.raises(ValueError, match=r"expected records \[record, value\], got shape="):
        ClipOnly(1.0).clip(torch.ones(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match="expected records of float32 or float64, got dtype="):
        ClipOnly(1.0).clip(torch.ones(2, 3, dtype=dtype))


@pytest.mark.parametrize("make", CLIPPING)
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_clip_norm_must_be_positive(make, bad):
    with pytest.raises(ValueError, match=f"expected clip_norm > 0, got clip_norm={bad}"):
        make(clip_norm=bad)


@pytest.mark.parametrize("make", CLIPPING)
def test_clip_norm_must_be_finite(make):
    with pytest.raises(ValueError, match="expected a finite clip_norm, got clip_norm=inf"):
        make(clip_norm=math.inf)


@pytest.mark.parametrize("kind", [Gaussian, DPFedAvg])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_noise_multiplier_must_be_positive_and_finite(kind, bad):
    with pytest.raises(ValueError, match="got noise_multiplier="):
        kind(1.0, bad)


@pytest.mark.parametrize("make", [Identity, lambda unit: ClipOnly(1.0, unit=unit)])
def test_an_unknown_unit_is_refused(make):
    with pytest.raises(ValueError, match="expected unit to be one of token, sequence"):
        make(unit="word")


def test_a_cost_comes_back_from_json_and_unknown_ones_are_refused():
    cost = Cost(GaussianEvent(0.75), "sequence", "replace-one")
    data = json.loads(json.dumps(cost.to_json(), allow_nan=False))
    assert Cost.from_json(data) == cost
    data["event"]["kind"] = "laplace"
    with pytest.raises(ValueError, match="event kind"):
        Cost.from_json(data)


def test_the_five_views_in_their_order():
    assert VIEWS == ("forward", "backward", "aggregator", "peer", "release")
