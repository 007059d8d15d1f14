"""Micro-batches: the parts of a step's batch that go through a whole model one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from fedbert.data.batches import IGNORED, Batch


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


def micro_batches(batch: Batch, most: int | None, by_example: bool) -> Iterator[MicroBatch]:
    """Yield a step's batch in parts of at most so many examples; None: as it is. None if empty.

    Short examples come first, and each part is as wide as its longest: padding is neither computed
    nor kept. by_example: of masked-LM, too, the loss is a mean over examples (under DP-SGD), not
    over all masked positions.
    """
    if len(batch) == 0:
        return
    if most is None or len(batch) <= most:
        yield MicroBatch(batch)
        return
    lengths = batch.attention_mask.sum(1)
    whole = _counted(batch, by_example)
    for number, chosen in enumerate(lengths.argsort(stable=True).split(most)):
        own = _taken(batch, chosen, int(lengths[chosen[-1]]))
        share = _counted(own, by_example) / whole if whole else 0.0
        yield MicroBatch(own, share, (number,))


def _taken(batch: Batch, chosen: Tensor, width: int) -> Batch:
    """Return some of a batch's examples, cut to so many columns."""
    columns = {
        name: value[chosen, :width] if value.dim() == 2 else value[chosen]
        for name, value in vars(batch).items()
    }
    return replace(batch, **columns)


def _counted(batch: Batch, by_example: bool) -> int:
    """Return how many losses the mean over a batch is taken of."""
    if by_example or batch.labels.dim() == 1:
        return len(batch)
    return int((batch.labels != IGNORED).sum())
