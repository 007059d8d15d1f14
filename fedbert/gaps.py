"""Gaps in a group's step: what stands for the message of a client that is gone.

The copies of a group run as one. That of a gone client goes on with an example of zeros whose
gradient is zero, so that all copies take as many steps; when the turn ends it is let go.
"""

from collections.abc import Sequence

import numpy as np

from fedbert.config import Config
from fedbert.messages import HiddenGradient, SmashedData


def all_smashed(
    messages: Sequence[SmashedData | None], width: int, config: Config
) -> list[SmashedData]:
    """Return every client's A, of a gone one a row of zeros; width: of a row."""
    zeros, mask = np.zeros((1, 1, width), _kind(config)), np.ones((1, 1), np.int64)
    blank = SmashedData(0, 0, 0, zeros, mask)
    return [blank if message is None else message for message in messages]


def all_gradients(
    messages: Sequence[HiddenGradient | None], shapes: Sequence[tuple[int, ...]], config: Config
) -> list[HiddenGradient]:
    """Return every client's G_Z, of a gone one zeros; shapes: of each Z."""
    return [
        HiddenGradient(0, 0, 0, np.zeros(shape, _kind(config))) if message is None else message
        for message, shape in zip(messages, shapes, strict=True)
    ]


def _kind(config: Config) -> type[np.floating]:
    return np.float64 if config.training.precision == "float64" else np.float32
