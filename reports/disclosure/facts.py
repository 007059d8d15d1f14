"""Facts of a disclosure: who is promised what about whom, what was measured, and what nobody said.

The fields are those that public guidance asks for: NIST SP 800-226 (unit, neighbours, parameters,
trust model, randomness and floating point), EDPB Opinion 28/2024 (means that an attacker is likely
to have; membership and extraction measured), the ICO's motivated intruder (knowledge, time, cost),
OWASP AISVS 11.2 (accounting over all releases, attacks repeated).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reports.averages import mean
from reports.checks import VIEWS
from reports.disclosure.readers import OPTIONS
from reports.fates import why
from reports.leak import Leak
from reports.leaks import worst, worst_reading
from reports.metrics import SEES
from reports.noise_mode import noise_note
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows
from reports.tradeoff import Allowed

NOT_STATED = "not stated"
NOT_MEASURED = "not measured"
NO_GUARANTEE = "no guarantee"
NOTHING_SENT = "nothing sent"
WORDS = {
    "name": "what is released",
    "curators": "who releases it",
    "description": "what it is",
    "intended_use": "what it is for",
    "region": "whose law applies",
    "sector": "field",
    "published": "released on",
    "person": "how many records a person may have",
    "preprocessing": "what was done to the data before",
    "tuning": "how the settings were chosen",
    "refresh": "whether the same data will be used again",
    "justification": "why this protection",
    "test_again": "to be tested again on",
    "authors": "who wrote this",
}
"""What only the user can say, by the keys of a grid's [deployment]."""
FLOATING_POINT = (
    "noise is drawn in float64, its tails do not thin out; clip norms are bounds that rounding "
    "cannot pass; attacks on the finite precision of the noise are not covered"
)
COUNTED = re.compile(r"n=\d+ records")
"""How a claim whose delta is large counts the records of the smallest client."""
RATES = (0.001, 0.01, 0.1)
"""False-alarm rates at which what a claim allows is told."""


@dataclass(frozen=True)
class Promise:
    """One entry of one view, the seed that promises least: a claim about a unit, or none.

    allows: None where there is no claim that a curve goes with.
    """

    entry: Mapping[str, Any]
    allows: Allowed | None

    @property
    def claimed(self) -> bool:
        """Whether an epsilon is claimed."""
        return self.entry.get("kind") == "guarantee"

    @property
    def sentence(self) -> str:
        """The entry as it says itself."""
        return str(self.entry.get("sentence", "Nothing is known of this view."))


@dataclass(frozen=True)
class Actor:
    """What one view is promised, and the worst that was measured.

    promises: the view's own first; others, about labels or users, after it. members, text: the
    worst attack on membership and on the text of all that this adversary may run; none where
    nothing is sent: whoever is there has the released model alone, and stands there.
    """

    view: str
    promises: tuple[Promise, ...]
    members: Leak | None
    text: Leak | None

    @property
    def first(self) -> Promise:
        """The view's own promise."""
        return self.promises[0]

    @property
    def claimed(self) -> bool:
        """Whether the view's own promise has an epsilon."""
        return self.first.claimed


@dataclass(frozen=True)
class Disclosure:
    """One setting of a run as an officer asks about it.

    row: its table row, all seeds together. records: one of each seed. words: what the user said.
    audit: the audit of it, as its JSON; None without one. watched: what a live audit planted and
    looked at; None without one. made: the day, as YYYY-MM-DD.
    """

    row: Row
    records: tuple[CellResult, ...]
    actors: tuple[Actor, ...]
    words: Mapping[str, Any]
    audit: Mapping[str, Any] | None = None
    watched: Mapping[str, Any] | None = None
    made: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def first(self) -> CellResult:
        """The record of the first seed, for what is the same in all."""
        return self.records[0]

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of the cell's specification, such as "data"; empty where a record has none."""
        found = self.first.spec.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def released(self) -> Actor:
        """What is promised about the released model."""
        return next(each for each in self.actors if each.view == "release")

    @property
    def secret(self) -> bool:
        """Whether the noise can be made again by nobody."""
        return bool(self.first.spec.get("noise", "repeatable") == "secret")

    @property
    def noise(self) -> str:
        """How the noise was made: what a claim rests on."""
        if self.secret:
            return "secret: its key is kept nowhere"
        return noise_note(self.records) or "no claim rests on noise"

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each phase, the mean over seeds: what the attacks took, too."""
        phases = dict.fromkeys(phase for record in self.records for phase in record.seconds)
        return {
            phase: value
            for phase in phases
            if (value := mean([r.seconds[phase] for r in self.records if phase in r.seconds]))
        }


def disclosure(records: Sequence[CellResult], grid: Any, chosen: Mapping[str, str]) -> Disclosure:
    """The disclosure of the one setting that has these labels, such as defence and level.

    Raises: ValueError, naming the choices, where none or several do, or where not every seed of it
    was trained to its end.
    """
    every = list(zip(setting_rows(records), by_setting(records), strict=True))
    found = [
        (row, group)
        for row, group in every
        if all(group[0].labels.get(name) == value for name, value in chosen.items())
    ]
    if len(found) != 1:
        told = f"expected one setting, got {len(found)}"
        raise ValueError(f"{told}: choose among {_choices([group[0] for _, group in every])}")
    row, group = found[0]
    for record in group:
        if record.status != "done":
            seed = f"seed {record.labels['seed']} {record.status}"
            raise ValueError(
                f"expected every seed of the setting to be done, got {seed}: {why(record)}"
            )
    said = grid.get("deployment") if isinstance(grid, Mapping) else None
    words = said if isinstance(said, Mapping) else {}
    shown = group[0].audit.get("shown")
    actors = tuple(_actor(v, row, group) for v in VIEWS)
    return Disclosure(row, tuple(group), actors, words, watched=shown)


def of_record(
    record: CellResult,
    words: Mapping[str, Any],
    audit: Mapping[str, Any] | None,
    watched: Mapping[str, Any] | None,
) -> Disclosure:
    """The disclosure of one training by itself, its record made of its manifest and its audit."""
    (row,) = setting_rows([record])
    actors = tuple(_actor(view, row, [record]) for view in VIEWS)
    return Disclosure(row, (record,), actors, words, audit, watched)


def _choices(records: Sequence[CellResult]) -> str:
    """How each setting is named: by defence and level, and by what else differs."""
    differ = [
        name
        for name in OPTIONS
        if name in ("defence", "level") or len({r.labels.get(name) for r in records}) > 1
    ]
    named = (" ".join(f"--{name} {r.labels[name]!r}" for name in differ) for r in records)
    return ", ".join(dict.fromkeys(named)) or "none was trained"


def _actor(view: str, row: Row, records: Sequence[CellResult]) -> Actor:
    """What a view is promised, by the seed that promises least, and the worst it found."""
    entries = [[e for e in record.guarantees if e["view"] == view] for record in records]
    own = [each[0] if each else {} for each in entries]
    later = [{str(e.get("unit")): e for e in each[1:]} for each in entries]
    units = dict.fromkeys(unit for each in later for unit in each)
    further = [[each.get(unit, {}) for each in later] for unit in units]
    promises = [_promise(view, row, each) for each in (own, *further)]
    silent = promises[0].entry.get("kind") == NOTHING_SENT
    seen = [] if silent else [leak for leak in row.leaks if leak.view in SEES[view]]
    return Actor(view, tuple(promises), worst(seen, "membership"), worst_reading(seen))


def _promise(view: str, row: Row, own: Sequence[Mapping[str, Any]]) -> Promise:
    """The weakest of the entries of each seed: none where one seed has none."""
    silent = [each for each in own if each.get("kind") != "guarantee"]
    entry = silent[0] if silent else max(own, key=lambda each: float(each["epsilon"]))
    unit = entry.get("unit")
    allows = next((each for each in row.allows if (each.view, each.unit) == (view, unit)), None)
    return Promise(_uncounted(entry), allows)


def _uncounted(entry: Any) -> Any:
    """An entry without the size of the smallest client, as an export has it."""
    if isinstance(entry, str):
        return COUNTED.sub("the records", entry)
    if isinstance(entry, list):
        return [_uncounted(each) for each in entry]
    if isinstance(entry, Mapping):
        return {key: _uncounted(each) for key, each in entry.items()}
    return entry


def spent(cost: Any) -> list[str]:
    """What of a mechanism's cost a claim rests on: noise, sampling, releases."""
    if not isinstance(cost, Mapping):
        return []
    event = cost.get("event", {})
    told = [
        f"{key.replace('_', ' ')} {value:.6g}"
        for key, value in event.items()
        if isinstance(value, int | float)
    ]
    return [*told, f"{cost['releases']} releases of each {cost['unit']}"]
