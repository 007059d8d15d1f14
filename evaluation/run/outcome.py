"""Outcome of one cell, as it travels from a worker to the run: plain data, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reports.records import CellResult
from reports.scores import Scored


@dataclass(frozen=True)
class Outcome:
    """A cell's record, and what the report shows beside it.

    counts: how the labels fell to the clients. samples: a few sentences that were attacked; they
    are private and never in the record. scored, signals: what the membership numbers come from.
    """

    record: CellResult
    counts: dict[str, dict[str, int]]
    samples: Sequence[dict[str, Any]] = ()
    scored: dict[str, Scored] = field(default_factory=dict)
    signals: dict[str, np.ndarray] = field(default_factory=dict)
