"""Everything that can be known to be wrong is known before the first cell is trained."""

from dataclasses import replace

from evaluation.catalogue import INVERSION, MEMBERSHIP, resolve
from evaluation.defences import make_defence
from evaluation.grid import Grid
from fedbert.prepare import prepare


def preflight(grid: Grid) -> None:
    """Build every defence and attack of a grid, and load every model and data set once.

    Raises:
        InputError: one line for the first thing that is wrong.
    """
    for cell in grid.cells:
        make_defence(cell.defence, cell.delta, 1, 1)
    for name in {name for cell in grid.cells for name in cell.attacks.inversion}:
        resolve(name, INVERSION, "attacks: inversion")
    for name in {name for cell in grid.cells for name in cell.attacks.membership}:
        resolve(name, MEMBERSHIP, "attacks: membership")
    seen = set()
    for cell in grid.cells:
        inputs = (cell.config.model, replace(cell.config.data, partition="iid"))
        if inputs not in seen:
            seen.add(inputs)
            prepare(cell.config, coin=True)
