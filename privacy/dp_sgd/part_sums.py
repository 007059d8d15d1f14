"""Sums over parts: a step's clipped sums, part by part in float64, until its noise is due."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privacy.dp_sgd.uses import Summed


class PartSums:
    """The sums of what was added since they were last taken, by parameter.

    Each part was rounded by itself, and float64 adds them up: as `Recorder` does with the parts of
    one pass, so that what rounding does to a sum hardly grows with the batch.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        """Hold nothing yet, of parameters of these shapes; memory is kept from step to step."""
        self._parameters = dict(parameters)
        self._totals: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor | None] = {}  # of tables those that were named; None: all

    def __bool__(self) -> bool:
        """Whether something was added."""
        return bool(self._rows)

    @torch.no_grad()
    def add(self, sums: Mapping[str, Summed]) -> None:
        """Add a part's sums."""
        for name, each in sums.items():
            if name not in self._totals:
                like = self._parameters[name]
                self._totals[name] = torch.zeros_like(like, dtype=torch.float64).contiguous()
            before = self._rows.get(name, each.rows)
            if each.rows is None or before is None:
                self._rows[name] = None
            else:
                self._rows[name] = torch.unique(torch.cat([before, each.rows]))
            if each.rows is None:
                self._totals[name] += each.values
            else:
                self._totals[name].index_add_(0, each.rows, each.values.double())

    @torch.no_grad()
    def taken(self) -> dict[str, Summed]:
        """The sums, each rounded once to its parameter's type; from now on nothing is held."""
        found = {}
        for name, rows in self._rows.items():
            total = self._totals[name]
            values = (total if rows is None else total[rows]).to(self._parameters[name].dtype)
            found[name] = Summed(values.clone() if values is total else values, rows)
            total.zero_()
        self._rows = {}
        return found
