"""A mechanism at work on the smashed data: gradients, padding, the log."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedbert.messages import SmashedData
from fedbert.protect import MechanismLog, protect
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.gaussian import Gaussian
from privacy.mechanism import ClipOnly, Identity
from privacy.randomness.draws import Draws
from tests.fedbert import tiny
from tests.privacy.drawn import draws
from tests.privacy.randomness.scripted import Scripted

BATCH, SEQ, WIDTH = 3, 5, 4
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])


def message(dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    scale = torch.linspace(0.2, 2.0, BATCH * SEQ, dtype=dtype).view(BATCH, SEQ, 1)
    return torch.randn(BATCH, SEQ, WIDTH, generator=draw, dtype=dtype) * scale


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_gradients_flow_through_clip_and_noise(unit: str) -> None:
    """Against finite differences, in float64; some units are clipped and some are not."""
    mechanism = Gaussian(2.0 if unit == "token" else 6.0, 0.3, unit=unit)
    x = message().requires_grad_()
    norms = x.detach().flatten(0 if unit == "token" else 1, 1 if unit == "token" else 2).norm(dim=1)
    assert 0 < int((norms > mechanism.clip_norm).sum()) < len(norms)
    weights = torch.randn(x.shape, generator=rng(4), dtype=x.dtype)

    def value(t: Tensor) -> Tensor:
        return (protect(mechanism, t, MASK, draws())[0].sin() * weights).sum()

    value(x).backward()
    step = 1e-3  # far above the grid that releases lie on
    with torch.no_grad():
        for place in np.ndindex(*x.shape):
            up, down = x.detach().clone(), x.detach().clone()
            up[place] += step
            down[place] -= step
            slope = float(value(up) - value(down)) / (2 * step)
            assert float(x.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_token_and_sequence_are_different_units(dtype: torch.dtype) -> None:
    x = message(dtype)
    tokens, _ = protect(ClipOnly(0.5, unit="token"), x, MASK, draws())
    assert tokens.shape == x.shape and tokens.dtype == dtype
    expected = torch.stack(
        [torch.stack([t * min(1.0, 0.5 / float(t.norm())) for t in row]) for row in x]
    )
    torch.testing.assert_close(tokens, expected, rtol=1e-5, atol=1e-6)
    sequences, _ = protect(ClipOnly(0.5, unit="sequence"), x, MASK, draws())
    expected = torch.stack(
        [row * min(1.0, 0.5 / float(row.norm())) for row in x * MASK[:, :, None]]
    )
    torch.testing.assert_close(sequences, expected, rtol=1e-5, atol=1e-6)
    assert float(sequences.flatten(1).norm(dim=1).max()) <= 0.5
    assert float(tokens.flatten(1).norm(dim=1).max()) > 0.5


def test_padding_is_noised_but_not_counted() -> None:
    mechanism = Gaussian(1.0, 0.5)
    x = message()
    out, log = protect(mechanism, x, MASK, draws(1))
    clean, _ = protect(ClipOnly(1.0), x, MASK, draws(1))
    noise = out - clean
    assert (noise != 0).all()
    assert log.records == int(MASK.sum())
    noise = noise.flatten().numpy()
    assert len(set(noise.tolist())) == noise.size


def test_noise_has_its_stated_scale_on_real_and_padded_positions_alike() -> None:
    """Two-sided; n squared normals: 4.5 sd of sqrt(2 / n) on two halves: false alarm 1.4e-5."""
    mechanism = Gaussian(1.5, 0.8)
    x = torch.zeros(20, 50, 64)
    mask = torch.zeros(20, 50, dtype=torch.int64)
    mask[:, :25] = 1
    out, log = protect(mechanism, x, mask, draws(5))
    for half in (out[:, :25], out[:, 25:]):
        share = float(half.double().square().mean()) / (0.8 * 2 * 1.5) ** 2
        assert abs(share - 1) < 4.5 * (2 / half.numel()) ** 0.5
    assert log.noise == pytest.approx((0.8 * 2 * 1.5) ** 2 * 20 * 25 * 64)


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_the_log_against_a_loop(unit: str) -> None:
    clip_norm = 2.0 if unit == "token" else 6.0
    x = message()
    for mechanism in (Gaussian(clip_norm, 0.4, unit=unit), ClipOnly(clip_norm, unit=unit)):
        _, log = protect(mechanism, x, MASK, draws())
        if unit == "token":
            units = [x[i, j] for i in range(BATCH) for j in range(SEQ) if MASK[i, j]]
        else:
            units = list(x * MASK[:, :, None])
        clipped = sum(float(u.norm()) > clip_norm for u in units)
        assert 0 < clipped < len(units)
        signal = sum(min(float(u.norm()), clip_norm) ** 2 for u in units)
        noise = mechanism.noise_std**2 * sum(u.numel() for u in units)
        assert (log.records, log.clipped) == (len(units), clipped)
        assert log.signal == pytest.approx(signal, rel=1e-9)
        assert log.noise == pytest.approx(noise, rel=1e-12)


def test_a_row_exactly_at_the_bound_does_not_count_as_clipped() -> None:
    x = torch.zeros(1, 2, 4)
    x[0, 0, 0], x[0, 1, 0] = 1.0, 1.001
    _, log = protect(ClipOnly(1.0), x, torch.ones(1, 2), draws())
    assert (log.records, log.clipped) == (2, 1)


def test_identity_returns_the_very_tensor_and_draws_nothing() -> None:
    x = message()
    out, log = protect(Identity(), x, MASK, Draws(Scripted()))  # which has nothing to give
    assert out is x and log == MechanismLog()


def test_logs_add_up_and_summarise() -> None:
    total = MechanismLog(4, 1, 2.0, 8.0) + MechanismLog(6, 4, 3.0, 2.0)
    assert total == MechanismLog(10, 5, 5.0, 10.0)
    assert total.summary() == {"clipped_share": 0.5, "signal_to_noise": 0.5**0.5}
    assert MechanismLog().summary() == {"clipped_share": None, "signal_to_noise": None}


@pytest.mark.parametrize("unit", ["token", "sequence"])
@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_what_is_sent_is_clipped_and_noised_in_training(strategy: str, unit: str) -> None:
    transcripts = []
    for mechanism in (ClipOnly(0.7, unit=unit), Gaussian(0.7, 0.01, unit=unit)):
        config = tiny.config_of("two", clients=2, strategy=strategy)
        prepared = tiny.prepared_for(config)
        heard = tiny.Recorder("smashed")
        done = train(config, prepared, Defence("d", smashed=mechanism), listeners=[heard])
        transcripts.append([m for m in heard.messages if isinstance(m, SmashedData)])
        tokens = sum(int(m.attention_mask.sum()) for m in transcripts[-1])
        rows = sum(len(m.attention_mask) for m in transcripts[-1])
        assert done.protection["smashed"].records == (tokens if unit == "token" else rows)
    clipped, noised = transcripts
    for m in clipped:
        flat = m.activations.reshape(-1, tiny.HIDDEN) if unit == "token" else m.activations
        norms = np.linalg.norm(flat.reshape(len(flat), -1).astype(np.float64), axis=1)
        assert norms.max() <= 0.7
    # The first step starts from the same values, so it differs by the noise alone: two-sided
    # bounds at 4.5 sd, false alarm 7e-6.
    noise = noised[0].activations.astype(np.float64) - clipped[0].activations
    share = np.square(noise).mean() / (0.01 * 2 * 0.7) ** 2
    assert abs(share - 1) < 4.5 * np.sqrt(2 / noise.size)
    sent = [m.activations.tobytes() for m in noised]
    assert len(set(sent)) == len(sent)


def test_noise_is_fresh_in_every_step_and_for_every_client() -> None:
    """All of A is noise here (the clip leaves nothing), so equal noise would be equal messages."""
    defence = Defence("d", smashed=Gaussian(1e-6, 1e6))
    heard = tiny.overheard(strategy="parallel", clients=3, defence=defence, count=24, batch_size=4)
    first = [m.activations[0, 0] for m in heard if isinstance(m, SmashedData)]
    assert len(first) == 18
    for i, one in enumerate(first):
        for other in first[:i]:
            assert np.abs(one - other).max() > 1e-3
