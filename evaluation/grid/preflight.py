"""Preflight check: whatever can be known to be wrong is known before the first cell is trained."""

from dataclasses import replace

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import BACKWARD, INVERSION, MEMBERSHIP, POOLED, UPDATES
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.spec import Grid
from fedbert.prepare import Prepared, circumstances, prepare
from fedbert.trainer import check
from privacy.defence import refuse


def preflight(grid: Grid) -> None:
    """Build every defence and attack of a grid, and load every model and data set once.

    Raises:
        InputError: one line for the first thing that is wrong.
    """
    for cell in grid.cells:
        for family, names, verb in (
            (INVERSION, cell.attacks.inversion, "reconstruct"),
            (BACKWARD, cell.attacks.backward, "missing"),
            (UPDATES, cell.attacks.updates, "missing"),
            (POOLED, cell.attacks.pooled, "invert"),
            (MEMBERSHIP, cell.attacks.membership, "score"),
        ):
            for name in names:
                make_attack(name, family, verb)
    seen: dict[object, Prepared] = {}
    for cell in grid.cells:
        inputs = (cell.config.model, replace(cell.config.data, partition="iid"))
        if inputs not in seen:
            seen[inputs] = prepare(cell.config, coin=True)
        facts = facts_of(cell.config, seen[inputs], cell.defence, cell.delta)
        defence = make_defence(cell.defence, facts)
        if refuse(defence, cell.config.training.strategy, circumstances(cell.config)) is None:
            check(cell.config, defence)
