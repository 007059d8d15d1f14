"""Durations of attacks and cells, about: for the list of attacks and the time left of a grid.

An attack's `seconds` in the catalogue are for 1,000 tokens of text at hidden size 384 and 30,522
words, on one core (on updates: for one update of a table of that size; on pooled vectors: for one
kind of vector and 2,000 auxiliary texts; on membership: for 1,000 tokens of candidates, which is
the target's answers: a cell computes them once for all, scores take next to nothing, and shadows
take their trainings besides; an aggregator looks at candidates after every round, while it trains).
`first` comes on top once, where an attack begins by learning; `most` is in place of `seconds` where
batches hold more than two sequences. `python -m benchmarks --only attack-costs` measures all but
the answers. They are estimates of one machine's: another machine, other shapes and a busy one
differ, twofold and more; a grid learns from its own cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluation.grid.catalogue import FAMILIES, UPDATES, Entry

if TYPE_CHECKING:
    from evaluation.grid.spec import Cell

MESSAGES, BATCH, LENGTH = 16, 16, 32  # of the cell that `fedbert-eval list` speaks of
CANDIDATES = 2000  # members and others together
UNKNOWN = 1.0  # seconds for 1,000 tokens of an attack that nobody measured
BESIDE = 0.1  # seconds of a family's judging, whatever is asked
WATCHING = ("loss_over_rounds", "update_cosine", "gradient_difference")
PRICED = {name: entry for entries in FAMILIES.values() for name, entry in entries.items()}
UPDATES_SENT = 2
POOLINGS = 2
THOUSANDS = {
    "inversion": MESSAGES * BATCH * LENGTH / 1000,
    "backward": MESSAGES * BATCH * LENGTH / 1000,
    "updates": UPDATES_SENT,
    "pooled": POOLINGS,
    "attributes": 1 + POOLINGS,
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
    most = "" if entry.most is None else f" to {entry.most * THOUSANDS[family]:.0f}"
    return f"about {seconds:.0f}{most} s" if seconds >= 1 else "under 1 s"


PREPARE = 1.0
"""Seconds of loading, shared by the cells that draw on the same data."""


def units(cell: "Cell") -> dict[str, float]:
    """Return the work of each phase of a cell, each in a unit of its own.

    prepare and evaluate: examples; train: tokens of all steps, and a third of those of candidates
    that an aggregator looks at after every round, twice; a family of attacks: their estimated
    seconds at the reference shapes, those alone that have something to look at. What a unit takes
    is learnt from the cells that ended.
    """
    data, training, attacks = cell.config.data, cell.config.training, cell.attacks
    tokens = training.batch_size * data.max_length
    senders = training.clients_per_round or data.clients
    work: float = training.rounds * training.local_steps * senders * tokens
    if any(name in WATCHING for name in asked(cell)["membership"]):
        work += (training.rounds + 1) * 2 * attacks.candidates * data.max_length * 2 / 3
    found = {
        "prepare": 1.0 + (data.pool_size or 0),
        "train": 1.0 + work,
        "evaluate": 1.0 + (data.evaluation or 0) * data.max_length,
    }
    longest = training.batch_size * data.max_length
    return found | {
        family: attacked(cell, family, longest) for family in FAMILIES if family != "backward"
    }


def attacked(cell: "Cell", family: str, tokens: float) -> float:
    """Return the estimated seconds of a family's attacks, those on the backward view with A's.

    tokens: of a message.
    """
    data, attacks = cell.config.data, cell.attacks
    thousands = attacks.messages * tokens / 1000
    amounts = {
        "inversion": thousands,
        "updates": UPDATES_SENT,
        "pooled": POOLINGS,
        "attributes": 1 + POOLINGS,
        "membership": 2 * attacks.candidates * data.max_length / 1000,
    }
    found, shared = BESIDE, 0.0
    for name in asked(cell)[family]:
        entry = PRICED.get(name)
        seconds = UNKNOWN if entry is None or entry.seconds is None else entry.seconds
        if entry is not None and cell.config.training.batch_size > 2:
            seconds = entry.most or seconds
        found += 0.0 if entry is None else entry.first
        if family == "membership" and name != "message_matching":
            shared = max(shared, seconds)  # the target answers once for all of them
        else:
            found += amounts[family] * seconds
    return found + shared * amounts[family]


def asked(cell: "Cell") -> dict[str, tuple[str, ...]]:
    """Return by family which attacks of a cell have something to look at, as far as settings say.

    Attacks on the backward view are counted with those on the forward one: they are timed together.
    """
    training, attacks = cell.config.training, cell.attacks
    sent = training.strategy in ("parallel", "sequential")
    one_step = training.strategy == "fedavg" and training.local_steps == 1
    words = cell.config.data.task == "mlm"
    found: dict[str, tuple[str, ...]] = {}
    for family in FAMILIES:
        names = [spec.name for spec in getattr(attacks, family)]
        if family == "inversion":
            unfit = "label_from_gradient" if words else "masked_tokens"
            names += [spec.name for spec in attacks.backward if spec.name != unfit]
            names = names if sent else []
        elif family == "updates":
            fits = [one_step or not (n in UPDATES and UPDATES[n].one_step) for n in names]
            names = [name for name, fit in zip(names, fits, strict=True) if fit]
            names = names if training.strategy != "centralised" else []
        elif family == "attributes":
            names = names if cell.config.data.attribute is not None else []
        elif family == "membership":
            names = [name for name in names if sent or name != "message_matching"]
        found[family] = tuple(names)
    return found


@dataclass
class Remaining:
    """The time that the cells of a grid will still take, from those that ended.

    Each phase of a cell that ended says what a unit of its work takes. A cell to come is priced by
    those of its own task, strategy and defence where any ended, else by those of its task and
    strategy, its strategy, or all; a family of attacks by cells that were asked the same ones, and
    as the catalogue has it where there is none. Cells like those that were skipped are taken to be
    skipped. Until one was measured, foretold counts: seconds by id, of a dry run.
    """

    todo: dict[str, "Cell"]
    foretold: Mapping[str, float] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], list[tuple["Cell", Mapping[str, float]]]] = field(
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
                self._seen.setdefault(kind, []).append((gone, seconds))

    def seconds(self, workers: int) -> float | None:
        """Return the seconds left for so many workers; None where nobody knows.

        Where not every cell was foretold, nobody does before one was measured.
        """
        if not self.todo:
            return 0.0
        known = [self.price(cell) for cell in self.todo.values()]
        priced = [price for price in known if price is not None]
        if not priced or (not self._seen and len(priced) < len(known)):
            return None
        return sum(priced) / min(workers, len(priced))

    def price(self, cell: "Cell") -> float | None:
        """Return the seconds that a cell will take; None before any cell was measured."""
        kinds = _kinds(cell)
        if kinds[0] in self._skipped and kinds[0] not in self._seen:
            return 0.0
        if not self._seen:
            return self.foretold.get(cell.id)
        wanted, total = asked(cell), 0.0
        for phase, amount in units(cell).items():
            alike = (
                [pair for pair in self._seen.get(kind, []) if _alike(pair[0], phase, wanted)]
                for kind in kinds
            )
            ended = next(filter(None, alike), [])
            work = sum(units(each)[phase] for each, _ in ended)
            rate = sum(spent.get(phase, 0.0) for _, spent in ended) / work if ended else 1.0
            total += amount * rate
        return total


def _alike(other: "Cell", phase: str, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a phase of another cell tells of one that asks these attacks."""
    return phase not in FAMILIES or asked(other)[phase] == wanted[phase]


def _kinds(cell: "Cell") -> list[tuple[str, ...]]:
    """Return what a cell has in common with others, the closest first."""
    labels = cell.labels
    names = ("task", "strategy", "defence")
    own = tuple(labels[name] for name in names)
    return [own, own[:2], ("", own[1]), ()]
