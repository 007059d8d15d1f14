"""Preflight check: whatever can be known to be wrong is known before the first cell is trained."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import FAMILIES, VERBS
from evaluation.grid.defence import (
    check_values,
    facts_of,
    faint_places,
    make_defence,
    refuse_drowned,
)
from evaluation.grid.spec import AttackSettings, Cell, Grid
from fedbert.config import Config
from fedbert.errors import InputError, within
from fedbert.faults.quorum import Planned, refuse_below_quorum
from fedbert.precision import in_words
from fedbert.prepare import Prepared, prepare
from fedbert.seeding import derive
from fedbert.trainer import check
from privacy.accounting import ledger
from privacy.defence import ONE_MESSAGE, Defence, refuse
from privacy.facts import TrainingFacts
from privacy.guarantee import NoGuarantee
from privacy.mechanism import Identity

logger = logging.getLogger(__name__)


Look = Callable[[Cell, Prepared, Defence], None]
"""Is shown every cell that will run, with its inputs (but for how clients share them)."""

Make = Callable[[Config], Prepared]
"""Returns the inputs of a cell, loaded afresh."""


class Found(NamedTuple):
    """What is to be known of a grid's data, a line each, the data's sha256 by cell, and warnings.

    Only cells whose data were loaded have one: those that differ in seed or defence draw on them.
    warned: in words without folders and data, for a log.
    """

    notes: list[str]
    data: dict[str, str]
    warned: tuple[str, ...] = ()


def afresh(config: Config) -> Prepared:
    """Return the inputs of a cell, of which a coin is part."""
    return prepare(config, coin=True)


def preflight(grid: Grid, look: Look = lambda *_: None, make: Make = afresh) -> Found:
    """Return what is to be known of a grid's data, once every defence and attack was built.

    Every model and data set is loaded once.

    What can work and hardly will, such as noise that drowns every message, is a warning.

    Raises:
        InputError: one line for the first thing that is wrong, with the grid's file.
    """
    seen: dict[object, Prepared] = {}
    warned: dict[str, str] = {}  # in full, and without folders and data
    notes: dict[str, None] = {}
    data: dict[str, str] = {}
    many = len({cell.config.data.task for cell in grid.cells}) > 1
    with within(grid.where):
        for attacks in dict.fromkeys(cell.attacks for cell in grid.cells):
            _check_attacks(attacks)
    for cell in grid.cells:  # before anything is loaded
        with within(": ".join([grid.where, *(f"at {key} = {value}" for key, value in cell.swept)])):
            check_values(cell.defence, cell.config.training.strategy == ONE_MESSAGE)
    with within(grid.where):
        refuse_below_quorum(each for cell in grid.cells for each in _trainings(cell))
    for cell in grid.cells:
        with within(": ".join([grid.where, *(f"at {key} = {value}" for key, value in cell.swept)])):
            inputs = (cell.config.model, replace(cell.config.data, partition="iid"))
            if inputs not in seen:
                seen[inputs] = make(cell.config)
                data[cell.id] = seen[inputs].data_sha256
                notes |= dict.fromkeys(_notes(cell.config, seen[inputs], many))
                doubts = doubts_of(cell.config, seen[inputs])
                told = f"{len(doubts)} doubts about model or data; records have them in full"
                warned |= dict.fromkeys(doubts, f"{cell.config.data.task}: {told}")
            prepared = _with_batches(seen[inputs], cell.config)
            facts = facts_of(cell.config, prepared, cell.defence, cell.delta)
            defence = make_defence(cell.defence, facts)
            if refuse(defence, facts) is None:
                check(cell.config, defence)
                refuse_drowned(defence)
                for words in faint_places(defence):
                    warned.setdefault(faint := f"defence {defence.name!r}: {words}", faint)
                warned |= {words: words for words in _unclaimed(defence, facts)}
                look(cell, prepared, defence)
    for words, public in warned.items():
        logger.warning("%s", words, extra={"public": public})
    return Found(list(notes), data, tuple(dict.fromkeys(warned.values())))


def _trainings(cell: Cell) -> Iterator[Planned]:
    """Yield the trainings of a cell, those of its shadow models included, which draw faults too."""
    config, on_sum = cell.config, cell.defence.by_answers
    name = f"seed {config.seed}"
    yield Planned(name, config, on_sum)
    for number in range(cell.attacks.shadows if cell.attacks.membership else 0):
        own = replace(config, seed=derive(config.seed, "shadow", number))
        yield Planned(f"shadow model {number} of {name}", own, on_sum)


def _unclaimed(defence: Defence, facts: TrainingFacts) -> Iterator[str]:
    """Yield why a defence of a training by one message will have no claim, though it has noise."""
    if facts.strategy != ONE_MESSAGE or isinstance(defence.smashed, Identity):
        return
    entry = ledger(defence, facts)["release"]
    if isinstance(entry, NoGuarantee):
        yield f"defence {defence.name!r}: no guarantee: {entry.reason}"


def _notes(config: Config, prepared: Prepared, many: bool) -> list[str]:
    """Return what is to be known of a cell's data; of many tasks, which one it is of."""
    task = f"{config.data.task}: " if many else ""
    chosen = in_words(config, prepared.split.whole.config)
    return [*(task + line for line in prepared.notes), *chosen]


def doubts_of(config: Config, prepared: Prepared) -> list[str]:
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
