"""Micro-batches: the parts of a step's batch that go through a whole model one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbert.config import Config
from fedbert.data.batches import IGNORED, Batch
from fedbert.split import room_of

GRAIN = 8
"""Of how many tokens widths are multiples, where each example has a width of its own."""


@dataclass(frozen=True)
class MicroBatch:
    """Some of a step's examples.

    share: what their mean loss counts for in the mean over the whole batch. part: labels their
    dropout beside the step, so that no two parts draw the same; () where the batch is whole.
    """

    batch: Batch
    share: float = 1.0
    part: tuple[int, ...] = ()

    @property
    def begins(self) -> bool:
        """Whether a step begins with it."""
        return not any(self.part)


@dataclass(frozen=True)
class OwnWidth:
    """Widths under DP-SGD: an example's follows from itself and the settings, not from its mates.

    Padded to the longest of its batch, an example's gradient moves in its last digits when a longer
    record joins; of many that are alike all move the same way, and that no noise covers.

    pad: the id of padding. longest: the most tokens that an example may have.
    """

    pad: int
    longest: int

    def of(self, lengths: Tensor) -> Tensor:
        """Return the width of each example [example] int64.

        >>> import torch
        >>> OwnWidth(0, 20).of(torch.tensor([1, 8, 9, 17])).tolist()
        [8, 8, 16, 20]
        """
        return ((lengths + GRAIN - 1) // GRAIN * GRAIN).clamp(max=self.longest)

    def whole(self, batch: Batch) -> Batch:
        """Return a batch that cannot be taken apart, as wide as any may be."""
        every = torch.arange(len(batch), device=batch.index.device)
        return _taken(batch, every, max(self.longest, batch.attention_mask.shape[1]), self.pad)


def own_width(config: Config, settings: Any, pad: int) -> OwnWidth:
    """Return the widths of a training's examples; settings: of the model, which has its room."""
    return OwnWidth(pad, min(config.data.max_length, room_of(settings)))


def micro_batches(batch: Batch, most: int | None, own: OwnWidth | None) -> Iterator[MicroBatch]:
    """Yield a step's batch in parts of at most so many examples; None: as it is. None if empty.

    Short examples come first, and each part is as wide as its longest: padding is neither computed
    nor kept. own: under DP-SGD; each part then holds examples of one width, and of masked-LM, too,
    the loss is a mean over examples, not over all masked positions.
    """
    if len(batch) == 0:
        return
    if own is None and (most is None or len(batch) <= most):
        yield MicroBatch(batch)
        return
    whole = _counted(batch, own is not None)
    for number, (chosen, width) in enumerate(_parts(batch, most or len(batch), own)):
        some = _taken(batch, chosen, width, 0 if own is None else own.pad)
        share = _counted(some, own is not None) / whole if whole else 0.0
        yield MicroBatch(some, share, (number,))


def _parts(batch: Batch, most: int, own: OwnWidth | None) -> Iterator[tuple[Tensor, int]]:
    """Yield which examples go together, and how wide they are."""
    lengths = batch.attention_mask.sum(1)
    if own is None:
        for chosen in lengths.argsort(stable=True).split(most):
            yield chosen, int(lengths[chosen[-1]])
        return
    widths = own.of(lengths)
    for width in widths.unique().tolist():
        for chosen in (widths == width).nonzero().flatten().split(most):
            yield chosen, int(width)


def _taken(batch: Batch, chosen: Tensor, width: int, pad: int) -> Batch:
    """Return some of a batch's examples, cut or padded to so many columns."""
    padding = {"input_ids": pad, "labels": IGNORED}
    columns = {}
    for name, value in vars(batch).items():
        rows = value[chosen]
        if value.dim() == 2:
            more = max(0, width - value.shape[1])
            rows = F.pad(rows[:, :width], (0, more), value=padding.get(name, 0))
        columns[name] = rows
    return replace(batch, **columns)


def _counted(batch: Batch, by_example: bool) -> int:
    """Return how many losses the mean over a batch is taken of."""
    if by_example or batch.labels.dim() == 1:
        return len(batch)
    return int((batch.labels != IGNORED).sum())
