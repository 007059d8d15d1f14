"""No sequence reaches another's rows of a message: replaced ones, padding, mean losses."""

import pytest
import torch
from torch import Tensor

from fedbert.client import Client
from fedbert.data.batches import Batch
from fedbert.data.client_data import ClientData, Vocabulary
from fedbert.messages import HiddenStates, to_tensor
from fedbert.protect import protect
from privacy.defence import Defence
from privacy.gaussian import Gaussian
from privacy.mechanism import ClipOnly
from privacy.randomness.source import NoiseSource
from tests.fedbert import tiny

SEQ, WIDTH = 64, 16


def masked(counts: list[int]) -> Batch:
    """Return sequences with so many masked words each."""
    ids = torch.full((len(counts), SEQ), 7)
    places = torch.arange(SEQ) < torch.tensor(counts)[:, None]
    labels = torch.where(places, 9, -100)
    return Batch(
        ids, torch.ones_like(ids), torch.zeros_like(ids), labels, torch.arange(len(counts))
    )


def sent(defence: Defence, batch: Batch, z: Tensor) -> Tensor:
    """Return the G_Z that a client makes of Z."""
    config = tiny.config_of("mlm-tied")
    split = tiny.split_model("bert", "mlm-tied", dtype=torch.float64)
    data = ClientData(
        0, tiny.encoded("mlm-tied"), Vocabulary(tiny.VOCAB, tiny.PAD, 4, (0, 1, 2, 3, 4)), 4, 0
    )
    noise = NoiseSource(bytes(16), "repeatable")
    client = Client(data, split, config, defence, with_body=False, noise=noise)
    client._graph = {"batch": batch}
    return to_tensor(client.head(HiddenStates(0, 0, 0, z.numpy())).gradient)


@pytest.mark.parametrize("place", ["hidden_gradient", "smashed_gradient"])
def test_one_sequence_moves_no_other_row_of_the_gradient(place) -> None:
    defence = Defence("noise", **{place: Gaussian(1.0, 0.1, unit="sequence")})
    z = torch.randn(3, SEQ, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    few, many = (sent(defence, masked([5, 5, last]), z) for last in (1, SEQ))
    torch.testing.assert_close(few[:2], many[:2], rtol=1e-12, atol=0)
    assert float((few[2] - many[2]).norm()) > 0


def test_the_clipped_message_differs_by_at_most_twice_the_clip() -> None:
    """With the mean over all masked words it was 3.2 C here: all rows moved."""
    clip = Gaussian(1e-3, 1.0, unit="sequence")
    defence = Defence("noise", hidden_gradient=clip)
    z = torch.randn(16, SEQ, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pair = [sent(defence, masked([1] * 15 + [last]), z).flatten(1) for last in (0, SEQ)]
    scale = clip.clip_norm / float(pair[0][:15].norm(dim=1).max())
    before, after = (clip.clip(rows.double() * scale) for rows in pair)
    assert float((before - after).norm()) <= 2 * clip.clip_norm * (1 + 1e-6)


def test_padding_to_a_longer_batch_changes_no_sequence() -> None:
    """A sequence's clipped values are those that it has in a batch by itself."""
    rng = torch.Generator().manual_seed(1)
    short = torch.randn(1, 5, WIDTH, generator=rng)
    padded = torch.cat([short, torch.randn(1, 7, WIDTH, generator=rng)], dim=1)
    masks = (torch.arange(n)[None] < 5 for n in (5, 12))
    alone, beside = (
        protect(ClipOnly(0.5, unit="sequence"), x, mask.long(), rng)[0]
        for x, mask in zip((short, padded), masks, strict=True)
    )
    torch.testing.assert_close(beside[:, :5], alone)
    assert not bool(beside[:, 5:].any())
