"""Candidates of a membership adversary, and those that it knows to have been left out."""

from dataclasses import dataclass, replace

import numpy as np

from evaluation.adversary.shadow_models import seen_by
from evaluation.grid.spec import Cell
from fedbert.config import Config
from fedbert.data.repeats import one_of_each
from fedbert.prepare import Prepared
from fedbert.receiving import Receipts
from fedbert.seeding import numpy_rng


@dataclass(frozen=True)
class Candidates:
    """Examples of the pool, by position: candidates, and which of them were trained on; and others
    that the adversary knows were not.
    """

    candidates: np.ndarray
    members: np.ndarray
    population: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """The candidates, then the population."""
        return np.concatenate((self.candidates, self.population))


def choose(cell: Cell, prepared: Prepared) -> Candidates:
    """Return a cell's candidates, in the pool's order: their place says nothing of membership."""
    members, others = members_and_non_members(cell.config, prepared)
    rng, limit = numpy_rng(cell.config.seed, "candidates"), cell.attacks.candidates
    members, others = rng.permutation(members)[:limit], rng.permutation(others)
    known = others[len(others) - known_of(cell, len(others)) :]
    non_members = others[: len(others) - len(known)][:limit]
    candidates = np.sort(np.concatenate((members, non_members)))
    return Candidates(candidates, np.isin(candidates, members), np.sort(known))


def settled_by(
    chosen: Candidates, config: Config, prepared: Prepared, receipts: Receipts
) -> Candidates:
    """Return who of the candidates ended in the model, by what became of the updates.

    Those whose client's updates were refused or lost are no members: they are in no average.
    """
    if receipts == Receipts():
        return chosen
    seen = seen_by(config, prepared, receipts)[chosen.candidates]
    return replace(chosen, members=chosen.members & seen)


def known_of(cell: Cell, others: int) -> int:
    """Return how many of so many that were left out the adversary knows: at most half."""
    return min(cell.attacks.population, others // 2)


def members_and_non_members(
    config: Config, prepared: Prepared, receipts: Receipts | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pool positions of the examples that were trained on, and of those left out.

    An example that the coin chose but no batch reached is neither. Of those that went by one coin
    (twins, or the blocks of a document) one is taken: they were in or out together.
    """
    seen = seen_by(config, prepared, receipts)
    members = np.ones_like(seen) if prepared.members is None else prepared.members
    groups = prepared.coin_groups
    sides = np.flatnonzero(seen & members), np.flatnonzero(~members)
    trained, left_out = (part[one_of_each(groups[part])] for part in sides)
    return trained, left_out
