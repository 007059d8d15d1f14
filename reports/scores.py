"""Scores behind the membership numbers: one file of plain arrays per cell, beside the records.

RUN/scores/CELL.npz   per attack: ATTACK/scores, ATTACK/members, ATTACK/seed, ATTACK/clusters; and
                      signals/...
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedbert.disk.writer import whole

SIGNALS = "signals"


@dataclass(frozen=True)
class Scored:
    """One attack's scores, and what only the judge knows: who was a member.

    scores [candidate] float64, higher = member; members [candidate] bool. seed: of the random
    halves on which a threshold is chosen and judged. clusters [candidate] int64: candidates of one
    number depend on each other (pairs with one first text, texts of one person); None: each counts
    as one by itself, as in files of an earlier version, which do not say.

    Raises: ValueError for arrays that do not fit each other.
    """

    scores: np.ndarray
    members: np.ndarray
    seed: int
    clusters: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuses what is no scoring."""
        if self.scores.ndim != 1 or self.scores.shape != self.members.shape:
            shapes = (self.scores.shape, self.members.shape)
            raise ValueError(f"expected a score and a bit per candidate, got shapes={shapes}")
        if self.members.dtype != np.bool_ or not np.isfinite(self.scores).all():
            raise ValueError("expected finite scores and bits, got other values")
        if self.clusters is not None and (
            self.clusters.shape != self.scores.shape or self.clusters.dtype.kind not in "iu"
        ):
            found = (self.clusters.shape, self.clusters.dtype.name)
            raise ValueError(f"expected a whole number per candidate, got clusters={found}")

    @property
    def member_scores(self) -> np.ndarray:
        """The members' scores."""
        found: np.ndarray = self.scores[self.members]
        return found

    @property
    def non_member_scores(self) -> np.ndarray:
        """The others' scores."""
        found: np.ndarray = self.scores[~self.members]
        return found


def write_scores(
    path: Path, attacks: Mapping[str, Scored], signals: Mapping[str, np.ndarray]
) -> None:
    """None; afterwards the whole file is there: the same arrays, the same bytes."""
    arrays: dict[str, np.ndarray] = {}
    for name, each in attacks.items():
        arrays[f"{name}/scores"] = each.scores
        arrays[f"{name}/members"] = each.members
        arrays[f"{name}/seed"] = np.array(each.seed, dtype=np.uint64)
        if each.clusters is not None:
            arrays[f"{name}/clusters"] = each.clusters
    arrays |= {f"{SIGNALS}/{name}": value for name, value in signals.items()}
    with whole(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_scores(path: Path) -> dict[str, Scored]:
    """Every attack's scores, in the order in which they were written; nothing is unpickled.

    Raises: ValueError, naming the file, for anything else than `write_scores` wrote.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [key.removesuffix("/scores") for key in file if key.endswith("/scores")]
            return {
                name: Scored(
                    file[f"{name}/scores"],
                    file[f"{name}/members"],
                    int(file[f"{name}/seed"]),
                    file.get(f"{name}/clusters"),
                )
                for name in names
            }
    except Exception as error:  # zipfile, zlib and numpy raise whatever a damaged file makes them
        raise ValueError(f"expected scores of attacks, got {path}: {error}") from None


def read_signals(path: Path) -> dict[str, np.ndarray]:
    """The arrays from which the attacks made their scores; ValueError as `read_scores`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            start = f"{SIGNALS}/"
            return {key.removeprefix(start): file[key] for key in file if key.startswith(start)}
    except Exception as error:  # as above
        raise ValueError(f"expected signals of attacks, got {path}: {error}") from None
