"""Mechanism protocol: it clips, it adds noise, and it states what one release cost.

| input of `clip` | outcome |
|---|---|
| a row with norm at most `clip_norm` (a row of zeros too) | unchanged, bit for bit |
| a row with a larger norm | same direction, norm at most `clip_norm` |
| NaN or infinity anywhere | `ValueError` that names how many |
| no rows, or rows without values | returned as they are |
| not `[record, value]`, or neither float32 nor float64 | `ValueError` |
| `clip_norm` zero, negative, infinite or NaN | `ValueError` when the mechanism is made |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from privacy.checks import one_of, positive
from privacy.events import Event, event_from_json, event_to_json
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import why_not_finite

View = Literal["forward", "backward", "aggregator", "peer", "release"]
Unit = Literal["token", "sequence", "record", "client", "label"]
Relation = Literal["replace-one", "add-or-remove-one"]

VIEWS: tuple[View, ...] = get_args(View)
UNITS: tuple[Unit, ...] = get_args(Unit)
RELATIONS: tuple[Relation, ...] = get_args(Relation)


@dataclass(frozen=True)
class Cost:
    """What was done in one release, as a value that any later accountant can read again."""

    event: Event
    unit: Unit
    relation: Relation

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("unit", self.unit, UNITS)
        one_of("relation", self.relation, RELATIONS)

    def to_json(self) -> dict[str, Any]:
        """The cost as plain dictionaries, strings and numbers."""
        event = event_to_json(self.event)
        return {"event": event, "unit": self.unit, "relation": self.relation}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Cost":
        """The cost that `to_json` wrote.

        Raises:
            ValueError: the event is of a kind that this version does not know.
        """
        event = event_from_json(data["event"])
        return cls(event=event, unit=data["unit"], relation=data["relation"])


class Mechanism(Protocol):
    """Two verbs and a price; where they are called (client or server) is the caller's business.

    The caller reshapes to one row per unit of privacy, `[record, value]`, before `clip`.
    """

    @property
    def unit(self) -> Unit:
        """What one row is."""

    @property
    def clip_norm(self) -> float | None:
        """The bound on a row's L2 norm; None when rows are not clipped."""

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value; 0.0 when there is none."""

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L2 norm of at most `clip_norm`."""

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus fresh noise, independent for every value and every call.

        draws: where all of it has to come from, and what nothing else has drawn from; noise of
            another generator has no guarantee. What is drawn is float64; `release.add_gaussian`,
            `add_laplace` and `add_noise` add it and round once.
        """

    def noise_model(self) -> NoiseModel:
        """What the noise is, for whoever knows the mechanism; "unknown" where no kind fits."""

    def cost(self) -> Cost | None:
        """What one release of one unit costs; None when there is no guarantee."""


@dataclass(frozen=True)
class Identity:
    """The undefended row of every comparison: nothing is clipped, nothing is added.

    Guarantee: none. Records pass through untouched, non-finite ones included.
    """

    unit: Unit = "token"

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("unit", self.unit, UNITS)

    @property
    def clip_norm(self) -> float | None:
        """None: rows are not clipped."""
        return None

    @property
    def noise_std(self) -> float:
        """0.0: no noise is added."""
        return 0.0

    def clip(self, records: Tensor) -> Tensor:
        """The very same tensor."""
        return records

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The very same tensor; nothing is drawn."""
        return records

    def noise_model(self) -> NoiseModel:
        """None."""
        return NoiseModel()

    def cost(self) -> Cost | None:
        """None: no guarantee."""
        return None


@dataclass(frozen=True)
class ClipOnly:
    """Clipping without noise, to tell what clipping alone does to utility.

    Guarantee: none.
    """

    clip_norm: float
    unit: Unit = "token"

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        one_of("unit", self.unit, UNITS)

    @property
    def noise_std(self) -> float:
        """0.0: no noise is added."""
        return 0.0

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The very same tensor; nothing is drawn."""
        return records

    def noise_model(self) -> NoiseModel:
        """None."""
        return NoiseModel()

    def cost(self) -> Cost | None:
        """None: no guarantee."""
        return None


def row_norms(records: Tensor) -> Tensor:
    """The L2 norms `[record, 1]` float64 of rows `[record, value]`.

    Raises:
        ValueError: as `clip_rows`.
    """
    if records.ndim != 2:
        raise ValueError(f"expected records [record, value], got shape={list(records.shape)}")
    if records.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected records of float32 or float64, got dtype={records.dtype}")
    norms: Tensor = torch.linalg.vector_norm(records, dim=1, keepdim=True, dtype=torch.float64)
    if not bool(torch.isfinite(norms).all()):
        raise ValueError(why_not_finite(records))
    return norms


def clip_rows(records: Tensor, clip_norm: float) -> Tensor:
    """The rows `[record, value]`, each scaled down to an L2 norm of at most `clip_norm`.

    Norms are summed in float64. A row that is too long is divided by norm / clip_norm, rounded
    in its own type; the target lies one machine epsilon below `clip_norm`, which is more than the
    two roundings can add, so that the result does not exceed the bound. Differentiable: the
    gradient of a clipped row is the true one, through the norm as well.

    Raises:
        ValueError: not `[record, value]` of float32 or float64, or a value is not finite.
    """
    norms = row_norms(records)
    target = clip_norm * (1.0 - torch.finfo(records.dtype).eps)
    divisors = torch.where(norms > clip_norm, norms / target, 1.0)
    return records / divisors.to(records.dtype)  # [record, value] / [record, 1]
