"""Models, batches and the slow truth: one example after the other through plain autograd."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedbert.data.batches import Batch
from fedbert.split import SplitBert
from privacy.dp_sgd.engine import Recorder
from tests.fedbert import tiny

EXPECTED_MASKED = 3.0  # what a masked-LM loss is divided by: fixed, never the example's own count


def batch_of(kind: str, lengths: list[int], seed: int = 0, seq: int | None = None) -> Batch:
    """Return examples of these lengths, padded; few words, so that they repeat."""
    rng = np.random.default_rng(seed)
    shape = (len(lengths), seq or max(lengths, default=1))
    ids = torch.tensor(rng.integers(5, 12, shape))
    mask = (torch.arange(shape[1]) < torch.tensor(lengths).reshape(-1, 1)).long()
    ids = ids * mask + tiny.PAD * (1 - mask)
    if kind.startswith("mlm"):
        chosen = torch.tensor(rng.random(shape) < 0.4) & mask.bool()
        labels = torch.where(chosen, torch.tensor(rng.integers(0, tiny.VOCAB, shape)), -100)
    elif kind == "score":
        labels = torch.tensor(rng.uniform(0, 5, len(lengths)), dtype=torch.float32)
    else:
        labels = torch.tensor(rng.integers(0, {"three": 3}.get(kind, 2), len(lengths)))
    types = torch.tensor(rng.integers(0, 2, shape)) * mask
    return Batch(ids, mask, types, labels, torch.arange(len(lengths)))


def owner_of(batch: Batch) -> Tensor:
    """Return the example of each masked position."""
    return (batch.labels != -100).nonzero()[:, 0]


def losses(split: SplitBert, batch: Batch) -> Tensor:
    """Return what is summed: a loss per example, or per masked position over a fixed number."""
    each = split.head.losses(split.hidden(batch), batch.labels)
    return each / EXPECTED_MASKED if split.head.kind == "mlm" else each


def row(batch: Batch, i: int) -> Batch:
    """Return a batch of one example."""
    return Batch(**{name: value[i : i + 1] for name, value in vars(batch).items()})


def named(split: SplitBert) -> dict[str, Any]:
    """Return every parameter by name."""
    return dict(split.whole.named_parameters())


def unused_of(split: SplitBert) -> list[str]:
    """Return the second bias that transformers lists when the decoder is not tied."""
    names = {"cls.predictions.bias", "lm_head.bias"} & set(named(split))
    decoders = {id(p) for n, p in named(split).items() if "decoder" in n}
    return [] if split.tied else [n for n in names if id(named(split)[n]) not in decoders]


def gradients(split: SplitBert, batch: Batch) -> list[dict[str, Tensor]]:
    """Return each example's gradient by parameter, one forward and backward each."""
    found = []
    for i in range(len(batch)):
        split.whole.zero_grad()
        losses(split, row(batch, i)).sum().backward()
        found.append(
            {
                n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for n, p in named(split).items()
                if p.requires_grad
            }
        )
    split.whole.zero_grad()
    return found


def square(gradient: Mapping[str, Tensor]) -> float:
    """Return a gradient's squared norm."""
    return sum(float(g.double().square().sum()) for g in gradient.values())


def bounds(found: Tensor, squared: Tensor, below: float, above: float) -> None:
    """Assert that squared norms are no less than the true ones, and hardly more."""
    assert bool((found >= squared * (1 - below)).all()), (found / squared).tolist()
    assert bool((found <= squared * (1 + above) + 1e-12).all()), (found / squared).tolist()


@dataclass(frozen=True)
class Parties:
    """Recorders over the parts of one model, and how to run it."""

    split: SplitBert
    recorders: tuple[Recorder, ...]

    def norms(self, batch: Batch, run: Callable[[SplitBert, Batch], Tensor] = losses) -> Tensor:
        """Return the squared norms [batch] after one forward and one backward."""
        client, *rest = self.recorders
        owner = owner_of(batch) if self.split.head.kind == "mlm" else None
        with client.record(owner):
            if rest:
                with rest[0].record():
                    run(self.split, batch).sum().backward()
            else:
                run(self.split, batch).sum().backward()
        return torch.stack([r.squared_norms(len(batch)) for r in self.recorders]).sum(0)

    def sums(self, factors: Tensor, **options: Any) -> dict[str, Tensor]:
        """Return the clipped sums of all parties."""
        found: dict[str, Tensor] = {}
        for recorder in self.recorders:
            found |= recorder.clipped_sum(factors, **options)
            recorder.clear()
        return found


def whole_party(split: SplitBert) -> Parties:
    """Return one party that holds everything."""
    parts = {"bottom": split.bottom, "body": split.body, "head": split.head}
    ragged = ("head",) if split.head.kind == "mlm" else ()
    return Parties(split, (Recorder(parts, named(split), ragged, unused_of(split)),))


def two_parties(split: SplitBert) -> Parties:
    """Return a client with E and H and a server with T."""
    parts = {"bottom": split.bottom, "head": split.head}
    ragged = ("head",) if split.head.kind == "mlm" else ()
    client = Recorder(parts, split.client_names, ragged, unused_of(split))
    return Parties(split, (client, Recorder(split.body, split.body_names)))
