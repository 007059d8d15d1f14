"""Everything that can be known to be wrong is known before the first cell is trained."""

from dataclasses import replace

from evaluation.catalogue import INVERSION, MEMBERSHIP, make_attack
from evaluation.defences import make_defence
from evaluation.grid import Grid
from fedbert.prepare import prepare
from fedbert.trainer import check
from privacy.defence import refuse


def preflight(grid: Grid) -> None:
    """Build every defence and attack of a grid, and load every model and data set once.

    Raises:
        InputError: one line for the first thing that is wrong.
    """
    for cell in grid.cells:
        defence = make_defence(cell.defence, cell.delta, 1, 1)
        if refuse(defence, cell.config.training.strategy) is None:
            check(cell.config, defence)
        for family, names, verb in (
            (INVERSION, cell.attacks.inversion, "reconstruct"),
            (MEMBERSHIP, cell.attacks.membership, "score"),
        ):
            for name in names:
                make_attack(name, family, verb)
    seen = set()
    for cell in grid.cells:
        inputs = (cell.config.model, replace(cell.config.data, partition="iid"))
        if inputs not in seen:
            seen.add(inputs)
            prepare(cell.config, coin=True)
