"""Automatic clipping: no gradient above the clip norm, none enlarged past it, any scale alike."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.grid.defence import make_defence
from evaluation.grid.spec import DefenceSpec, Spec
from fedbert.arrivals import Arrivals
from fedbert.errors import InputError
from fedbert.messages import ClipFactors, SmashedData
from fedbert.noise import described
from privacy.defence import Defence
from privacy.dp_sgd.clipping import MARGIN, automatic_factors
from privacy.dp_sgd.mechanism import DPSGD
from privacy.facts import TrainingFacts
from tests.fedbert import tiny
from tests.privacy.dp_sgd import oracle
from tests.privacy.dp_sgd.test_bf16 import narrowly

AUTOMATIC = partial(DPSGD, noise_multiplier=1.0, sample_rate=0.5, clipping="automatic")
CLIP = 0.5
LENGTHS = [7, 3, 12, 5, 12]


@given(power=st.floats(-150, 150), clip=st.floats(1e-6, 1e6), share=st.floats(1e-6, 1e6))
def test_a_gradient_of_any_norm_comes_out_shorter_than_the_clip_norm(power, clip, share) -> None:
    mechanism = AUTOMATIC(clip, stability=clip * share * (1 + 1e-9))
    squared = torch.tensor([0.0, 10.0**power], dtype=torch.float64)
    factors = mechanism.factors(squared)
    assert bool((factors * squared.sqrt() < clip).all())
    assert 0 <= float(factors[1]) <= float(factors[0]) == mechanism.largest_factor
    assert mechanism.largest_factor == pytest.approx(clip * (1 - MARGIN) / mechanism.stability)


def test_norms_that_are_upper_bounds_only_shorten() -> None:
    squared = torch.rand(64, dtype=torch.float64) * 4
    mechanism = AUTOMATIC(CLIP)
    assert bool((mechanism.factors(squared * 1.5) < mechanism.factors(squared)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_one_by_one_are_those_of_a_loop(dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.0, 1e-30, 1e-3, 1e-2, 1.0, 1e3, 1e15, 1e30])[:, None]
    rows = (torch.randn(8, 40, generator=rng, dtype=torch.float64) * scales).to(dtype)
    found = AUTOMATIC(CLIP).clip(rows)
    for row, own in zip(rows.double().numpy(), found.double().numpy(), strict=True):
        norm = math.sqrt(math.fsum(float(v) ** 2 for v in row))
        np.testing.assert_allclose(own, row * CLIP / (norm + 0.01), rtol=1e-6, atol=1e-40)
        assert np.linalg.norm(own) <= CLIP
    assert not found[0].any() and found.dtype == dtype
    assert torch.autograd.gradcheck(AUTOMATIC(CLIP).clip, rows[3:5].double().requires_grad_())
    with pytest.raises(ValueError, match="got 1 non-finite"):
        AUTOMATIC(CLIP).clip(torch.tensor([[math.nan, 1.0]]))


def sums(split, batch, mechanism, run=oracle.losses, parties=oracle.whole_party):
    """The squared norms and the clipped sum of a batch."""
    made = parties(split)
    squared = made.norms(batch, run)
    return squared, made.sums(mechanism.factors(squared), most=mechanism.largest_factor)


@pytest.mark.parametrize("parties", [oracle.whole_party, oracle.two_parties])
@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_a_sum_is_that_of_a_loop_in_float64(kind, parties) -> None:
    split = tiny.split_model("bert", kind, dtype=torch.float64)
    batch = oracle.batch_of(kind, LENGTHS)
    mechanism = AUTOMATIC(CLIP, stability=0.05)
    squared, found = sums(split, batch, mechanism, parties=parties)
    truth = oracle.gradients(split, batch)
    for name, value in found.items():
        each = (g[name] * CLIP * (1 - MARGIN) / (oracle.square(g) ** 0.5 + 0.05) for g in truth)
        torch.testing.assert_close(value, sum(each), rtol=1e-7, atol=1e-11)
    assert len(squared) == len(batch)


@pytest.mark.parametrize("stability", [0.01, 1e-4])
@settings(max_examples=6)
@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=3), seed=st.integers(0, 10**6))
def test_in_bf16_each_is_within_the_clip_whatever_the_batch(stability, lengths, seed) -> None:
    split = tiny.split_model("bert", "mlm-tied", pad=0)
    batch = oracle.batch_of("mlm-tied", lengths, seed)
    mechanism = AUTOMATIC(CLIP, stability=stability)
    factors = mechanism.factors(oracle.whole_party(split).norms(batch, narrowly))
    for i in range(len(batch)):
        made = oracle.whole_party(split)
        made.norms(oracle.row(batch, i), narrowly)
        own = made.sums(factors[i : i + 1], most=mechanism.largest_factor)
        assert oracle.square(own) ** 0.5 <= CLIP * (1 + 1e-6)


def test_losses_ten_times_as_large_give_nearly_the_same_sum() -> None:
    """Exactly the same but for the stability; under flat clipping it is another sum."""
    split, batch = tiny.split_model("bert", "two"), oracle.batch_of("two", LENGTHS)

    def moved(mechanism: DPSGD) -> float:
        _, one = sums(split, batch, mechanism)
        _, ten = sums(split, batch, mechanism, lambda s, b: 10 * oracle.losses(s, b))
        off = oracle.square({n: ten[n].double() - one[n].double() for n in one}) ** 0.5
        return off / oracle.square(one) ** 0.5

    shortest = min(oracle.square(g) for g in oracle.gradients(split, batch)) ** 0.5
    for share in (0.1, 1e-2, 1e-4):
        automatic = AUTOMATIC(CLIP, stability=share * shortest)
        assert moved(automatic) <= 3 * share + 1e-5
    assert moved(DPSGD(2 * shortest, 1.0, 0.5)) > 0.05


FACTS = TrainingFacts("centralised", delta=1e-5, steps=40, sample_rate=0.05)


def test_noise_and_claim_are_those_of_flat_clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accountant, which takes seconds, is asked the same; what it would say is tested there."""
    asked = []
    monkeypatch.setattr(
        "privacy.calibration.poisson_noise_multiplier", lambda *it: asked.append(it) or 1.25
    )

    def made(**more) -> DPSGD:
        params = {"clip_norm": 1.0, "target_epsilon": 8.0, **more}
        spec = DefenceSpec("d", training=Spec("dp_sgd", tuple(params.items())))
        found = make_defence(spec, FACTS).training
        assert found is not None
        return found

    flat, automatic = made(), made(clipping="automatic", stability=0.1)
    assert (automatic.clipping, automatic.stability) == ("automatic", 0.1)
    assert automatic.cost() == flat.cost() and automatic.noise_std == flat.noise_std
    assert asked == [(8.0, 1e-5, 0.05, 40)] * 2 and automatic.noise_multiplier == 1.25
    for wrong in ({"clipping": "automatc"}, {"stability": 0.1}, {"clipping": 1}):
        with pytest.raises(InputError, match="defence 'd': training: expected"):
            made(**wrong)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"clipping": "auto"}, "expected clipping to be one of flat, automatic, got"),
        ({"clipping": "automatic", "stability": 0.0}, "expected stability > 0"),
        ({"clipping": "automatic", "stability": math.inf}, "expected a finite stability"),
        ({"clipping": "automatic", "stability": 1e-8}, "stability >= clip_norm / 1,000,000, got"),
        ({"stability": 0.1}, "expected stability with clipping automatic alone, got stability=0.1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(more, words) -> None:
    with pytest.raises(ValueError, match=words):
        DPSGD(1.0, 1.0, 0.5, **more)
    with pytest.raises(ValueError, match="stability"):
        automatic_factors(torch.ones(2), 1.0, 0.0)


def test_what_flat_clipping_is_hashed_as_did_not_change() -> None:
    """Noise is keyed by these facts: others would give other noise to trainings of old."""
    found = described(Defence("d", training=DPSGD(1.0, 2.0, 0.5)))["training"]
    assert found == {
        "mechanism": "privacy.dp_sgd.mechanism:DPSGD",
        "clip_norm": 1.0,
        "noise_multiplier": 2.0,
        "sample_rate": 0.5,
    }
    other = described(Defence("d", training=AUTOMATIC(1.0)))["training"]
    assert other["clipping"] == "automatic"


def test_a_factor_larger_than_the_mechanism_has_is_refused_on_arrival() -> None:
    check = Arrivals(4, {}, AUTOMATIC(1.0).largest_factor)
    check(SmashedData(0, 0, 0, np.zeros((1, 2, 4), np.float32), np.ones((1, 2), np.int64)))
    check(ClipFactors(0, 0, 0, np.array([99.0])))
    with pytest.raises(InputError, match=r"expected factors from 0 to 99\.99, got others"):
        check(ClipFactors(0, 0, 0, np.array([101.0])))
