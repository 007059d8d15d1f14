"""Durations of attacks and cells, about: for the list of attacks and the time left of a grid.

An attack's `seconds` in the catalogue are for 1,000 tokens of text at hidden size 384 and 30,522
words, on one core (on updates: for one update of a table of that size; on pooled vectors: for one
kind of vector and 2,000 auxiliary texts; on membership: for 1,000 tokens of candidates, which is
the target's answers: a cell computes them once for all, scores take next to nothing, and shadows
take their trainings besides). `first` comes on top once, where an attack begins by learning.
`python -m benchmarks --only attack-costs` measures all but membership. They are estimates of one
machine's: another machine, other shapes and a busy one differ, twofold and more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluation.grid.catalogue import FAMILIES, Entry

if TYPE_CHECKING:
    from evaluation.grid.spec import Cell

MESSAGES, BATCH, LENGTH = 16, 16, 32  # of the cell that `fedbert-eval list` speaks of
CANDIDATES = 2000  # members and others together
UNKNOWN = 1.0  # seconds for 1,000 tokens of an attack that nobody measured
UPDATES_SENT = 2
POOLINGS = 2
THOUSANDS = {
    "inversion": MESSAGES * BATCH * LENGTH / 1000,
    "backward": MESSAGES * BATCH * LENGTH / 1000,
    "updates": UPDATES_SENT,
    "pooled": POOLINGS,
    "membership": CANDIDATES * LENGTH / 1000,
}
"""How many times its `seconds` an attack of each family takes for that cell."""

NOTE = (
    f"seconds: estimates for one cell of {MESSAGES} messages of {BATCH} x {LENGTH} tokens and "
    f"{CANDIDATES} candidates at hidden size 384 and 30,522 words, on one core; yours will differ"
)


def estimated(family: str, entry: Entry) -> str:
    """Return an attack's estimated time for one cell in words.

    >>> estimated("updates", Entry("m:C", "s"))
    'not measured'
    >>> estimated("updates", Entry("m:C", "s", seconds=1.0))
    'about 2 s'
    >>> estimated("updates", Entry("m:C", "s", seconds=1.0, first=60.0))
    'about 62 s'
    """
    if entry.seconds is None:
        return "not measured"
    seconds = entry.first + entry.seconds * THOUSANDS[family]
    return f"about {seconds:.0f} s" if seconds >= 1 else "under 1 s"


def units(cell: "Cell") -> dict[str, float]:
    """Return the work of each phase of a cell, each in a unit of its own.

    prepare and evaluate: examples; train: tokens of all steps; attack: estimated seconds of all
    attacks at the reference shapes. What a unit takes is learnt from the cells that ended.
    """
    data, training, attacks = cell.config.data, cell.config.training, cell.attacks
    tokens = training.batch_size * data.max_length
    senders = training.clients_per_round or data.clients
    steps = training.rounds * training.local_steps * senders
    thousands = attacks.messages * tokens / 1000
    amounts = {
        "inversion": thousands,
        "backward": thousands,
        "updates": UPDATES_SENT,
        "pooled": POOLINGS,
        "membership": 2 * attacks.candidates * data.max_length / 1000,
    }
    attack = 0.0
    for family, amount in amounts.items():
        each = []
        for spec in getattr(attacks, family, ()):
            entry = FAMILIES[family].get(spec.name)
            each.append(UNKNOWN if entry is None or entry.seconds is None else entry.seconds)
            attack += 0.0 if entry is None else entry.first
        shared = family == "membership"  # the target answers once for all of them
        attack += amount * (max(each, default=0.0) if shared else sum(each))
    return {
        "prepare": 1.0 + (data.pool_size or 0),
        "train": 1.0 + steps * tokens,
        "evaluate": 1.0 + (data.evaluation or 0) * data.max_length,
        "attack": 1.0 + attack,
    }


@dataclass
class Remaining:
    """The time that the cells of a grid will still take, from those that ended.

    Each phase of a cell that ended says what a unit of its work takes. A cell to come is priced by
    those of its own task, strategy and defence where any ended, else by those of its task and
    strategy, its strategy, or all. Cells like those that were skipped are taken to be skipped.
    """

    todo: dict[str, "Cell"]
    _seen: dict[tuple[str, ...], list[tuple[Mapping[str, float], Mapping[str, float]]]] = field(
        default_factory=dict
    )
    _skipped: set[tuple[str, ...]] = field(default_factory=set)

    def ended(self, cell: str, seconds: Mapping[str, float], skipped: bool) -> None:
        """Hear that a cell ended, and what its phases took."""
        gone = self.todo.pop(cell, None)
        if gone is None:
            return
        if skipped:
            self._skipped.add(_kinds(gone)[0])
        elif seconds:
            for kind in _kinds(gone):
                self._seen.setdefault(kind, []).append((units(gone), seconds))

    def seconds(self, workers: int) -> float | None:
        """Return the seconds left for so many workers; None before any cell was measured."""
        if not self.todo:
            return 0.0
        known = [self._price(cell) for cell in self.todo.values()]
        priced = [price for price in known if price is not None]
        if not priced:
            return None
        return sum(priced) / min(workers, len(priced))

    def _price(self, cell: "Cell") -> float | None:
        kinds = _kinds(cell)
        if kinds[0] in self._skipped and kinds[0] not in self._seen:
            return 0.0
        ended = next((self._seen[kind] for kind in kinds if kind in self._seen), None)
        if ended is None:
            return None
        total = 0.0
        for phase, amount in units(cell).items():
            work = sum(each[phase] for each, _ in ended)
            total += amount * sum(spent.get(phase, 0.0) for _, spent in ended) / work
        return total


def _kinds(cell: "Cell") -> list[tuple[str, ...]]:
    """Return what a cell has in common with others, the closest first."""
    labels = cell.labels
    names = ("task", "strategy", "defence")
    own = tuple(labels[name] for name in names)
    return [own, own[:2], ("", own[1]), ()]
