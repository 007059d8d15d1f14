"""Preflight check: whatever can be known to be wrong is known before the first cell is trained."""

import logging
from dataclasses import replace

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import FAMILIES, VERBS
from evaluation.grid.defence import facts_of, faint_places, make_defence, refuse_drowned
from evaluation.grid.spec import AttackSettings, Grid
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.prepare import Prepared, prepare
from fedbert.trainer import check
from privacy.defence import refuse

logger = logging.getLogger(__name__)


def preflight(grid: Grid) -> None:
    """Build every defence and attack of a grid, and load every model and data set once.

    What can work and hardly will, such as noise that drowns every message, is a warning.

    Raises:
        InputError: one line for the first thing that is wrong.
    """
    for attacks in dict.fromkeys(cell.attacks for cell in grid.cells):
        _check_attacks(attacks)
    seen: dict[object, Prepared] = {}
    warned: dict[str, None] = {}
    for cell in grid.cells:
        inputs = (cell.config.model, replace(cell.config.data, partition="iid"))
        if inputs not in seen:
            seen[inputs] = prepare(cell.config, coin=True)
            warned |= dict.fromkeys(_told(cell.config, seen[inputs]))
        prepared = _with_batches(seen[inputs], cell.config)
        facts = facts_of(cell.config, prepared, cell.defence, cell.delta)
        defence = make_defence(cell.defence, facts)
        if refuse(defence, facts) is None:
            check(cell.config, defence)
            refuse_drowned(defence)
            for words in faint_places(defence):
                warned.setdefault(f"defence {defence.name!r}: {words}")
    for words in warned:
        logger.warning("%s", words)


def _told(config: Config, prepared: Prepared) -> list[str]:
    """Return what has to be said of a model and its tokenizer; of the embedded one it is known."""
    source, data = config.model.source, config.data
    notes = () if source == "embedded" else prepared.split.notes
    return [
        *(f"model {source} for {data.task}: {note}" for note in notes),
        *(f"data {data.source} for {data.task}: {doubt}" for doubt in prepared.doubts),
    ]


def _with_batches(prepared: Prepared, config: Config) -> Prepared:
    """Return what was loaded for another cell with this one's batches, which say how often."""
    size = config.training.batch_size
    return replace(prepared, clients=tuple(replace(c, batch_size=size) for c in prepared.clients))


def _check_attacks(attacks: AttackSettings) -> None:
    """Make every attack once; refuse two that records could not tell apart."""
    for family, catalogue in FAMILIES.items():
        names: set[str] = set()
        for spec in getattr(attacks, family):
            made = make_attack(spec, catalogue, VERBS[family]).name
            if made in names:
                raise InputError(f"attacks: expected different attacks, got two named {made!r}")
            names.add(made)
