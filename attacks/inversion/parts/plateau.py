"""Early stopping: training until held-out text gains nothing more; the best state is kept."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

Kept = TypeVar("Kept")


def until_plateau(
    stretch: Callable[[int], None],
    loss: Callable[[], float],
    keep: Callable[[], Kept],
    stretches: int,
    patience: int = 2,
    gain: float = 0.001,
    enough: float = float("-inf"),
) -> tuple[Kept, float]:
    """Return what was kept at the lowest held-out loss, and that loss.

    It is looked at before the first stretch of training and after each. Training ends after so many
    stretches, after `patience` of them in a row without a relative gain of `gain` over the best, or
    where the loss is below `enough`. A stretch is told how many went by without a gain.
    """
    best, kept, waited = loss(), keep(), 0
    for _ in range(stretches):
        if best < enough or waited >= patience:
            break
        stretch(waited)
        now = loss()
        waited = 0 if now < best * (1 - gain) else waited + 1
        if now < best:
            best, kept = now, keep()
    return kept, best


def values(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's parameters and buffers."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
