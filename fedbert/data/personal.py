"""Records with made-up persons' names, numbers and dates, whose places are known by construction.

Every name, format and digit is from here: no record is anybody's. Each value is drawn evenly and by
itself, so that what a guess reaches without looking is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedbert.data.places import PERSONAL as PERSONAL
from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.tasks import Task

TRAIN, EVALUATION = 2000, 500  # records where the user names no number
TASK = "sst2"
KINDS = ("name", "number", "date")
SPANS = "spans"
"""The column of a record's spans, which no task reads."""


def _list(words: str) -> list[str]:
    """Return the words."""
    return words.split()


FIRST = _list(
    "Alda Benet Corin Dessa Elvar Fenja Gorm Halda Ilian Jorun Kelda Lorin Mavi Nerida Orrin Petra "
    "Quill Runa Selwyn Tamsin Ulla Viggo Wanda Yorick"
)
LAST = _list(
    "Arkwell Brenning Castvale Dornfeld Estermann Fallowby Grimsted Hollander Inverby Jansholt "
    "Kestrell Lindqvist Marlowski Northey Ostrander Penhallow Quarrington Rothwell Sandover "
    "Thistleby Underhay Varnholm Westergren Yarborough"
)
MONTHS = _list(
    "January February March April May June July August September October November December"
)
GOOD = ("was glad", "thanked us warmly", "praised the quick help", "felt well looked after")
BAD = ("was upset", "complained at length", "asked for the manager", "felt badly treated")
PLANS = (
    ("name", " called on ", "date", " from ", "phone", " about a bill of ", "amount", " and "),
    ("On ", "date", " we paid ", "amount", " to ", "name", " , reached at ", "phone", " , who "),
    ("Invoice of ", "amount", " for ", "name", " ( ", "phone", " ) due ", "date", " , who "),
)
"""What stands around the values; the last words say the mood, which is the label."""

YEARS = range(1990, 2020)
CENTS = range(1200, 100_000)


@dataclass(frozen=True)
class Span:
    """Where a value stands in a text, as characters [start, end), and the chance to guess it.

    chance: of the likeliest single guess, by the generator's own distribution.
    """

    kind: str
    start: int
    end: int
    chance: float


@dataclass
class _Draft:
    """A text as it is written, and the spans so far."""

    text: str = ""
    spans: list[Span] = field(default_factory=list)

    def write(self, part: str, rng: np.random.Generator) -> None:
        """Add a value of a kind, or plain words."""
        if part not in VALUES:
            self.text += part
            return
        value, chance = VALUES[part](rng)
        kind = "number" if part in ("phone", "amount") else part
        start = len(self.text)
        self.text += value
        self.spans.append(Span(kind, start, len(self.text), chance))


def load_personal(
    task: Task, pool_size: int | None, evaluation: int | None, rng: np.random.Generator
) -> dict[str, list[Table]]:
    """Return "train" and the evaluation splits of made-up records, no text twice among them.

    Raises:
        InputError: for another task than sentences with a mood.
    """
    if task.name != TASK:
        raise InputError(f"expected task {TASK} with {PERSONAL} records, got task={task.name!r}")
    sizes = {"train": pool_size or TRAIN} | dict.fromkeys(task.evaluation, evaluation or EVALUATION)
    seen: set[str] = set()
    return {split: [_table(task, split, n, seen, rng)] for split, n in sizes.items()}


def _table(task: Task, split: str, n: int, seen: set[str], rng: np.random.Generator) -> Table:
    """Return n records with texts not yet seen."""
    texts: list[str] = []
    labels: list[int] = []
    spans: list[tuple[Span, ...]] = []
    while len(texts) < n:
        draft, positive = _Draft(), bool(rng.random() < 0.5)
        for part in PLANS[int(rng.integers(len(PLANS)))]:
            draft.write(part, rng)
        draft.write(f"{_of(GOOD if positive else BAD, rng)} .", rng)
        if draft.text not in seen:
            seen.add(draft.text)
            texts.append(draft.text)
            labels.append(int(positive))
            spans.append(tuple(draft.spans))
    (column,) = task.columns
    return Table(f"{PERSONAL} ({split})", {column: texts, task.label: labels, SPANS: spans})


def _of(options: Sequence[str], rng: np.random.Generator) -> str:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]


def _name(rng: np.random.Generator) -> tuple[str, float]:
    return f"{_of(FIRST, rng)} {_of(LAST, rng)}", 1 / len(FIRST) / len(LAST)


def _phone(rng: np.random.Generator) -> tuple[str, float]:
    area, first, last = rng.integers(0, 1000, 3)
    return f"0{area:03d} {first:03d} {last:03d}", 1e-9


def _amount(rng: np.random.Generator) -> tuple[str, float]:
    cents = int(rng.integers(CENTS.start, CENTS.stop))
    return f"{cents // 100}.{cents % 100:02d}", 1 / len(CENTS)


def _date(rng: np.random.Generator) -> tuple[str, float]:
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(12)), int(rng.choice(YEARS))
    written = f"{day} {MONTHS[month]} {year}", f"{year}-{month + 1:02d}-{day:02d}"
    return _of(written, rng), 1 / (28 * 12 * len(YEARS) * len(written))


VALUES = {"name": _name, "phone": _phone, "amount": _amount, "date": _date}
