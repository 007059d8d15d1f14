"""Facts of a disclosure: who is promised what about whom, what was measured, and what nobody said.

The fields are those that public guidance asks for: NIST SP 800-226 (unit, neighbours, parameters,
trust model, randomness and floating point), EDPB Opinion 28/2024 (means that an attacker is likely
to have; membership and extraction measured), the ICO's motivated intruder (knowledge, time, cost),
OWASP AISVS 11.2 (accounting over all releases, attacks repeated).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.averages import mean
from reports.checks import VIEWS
from reports.leak import Leak
from reports.leaks import worst
from reports.metrics import SEES
from reports.noise_mode import noise_note
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows
from reports.tradeoff import Allowed

NOT_STATED = "not stated"
NOT_MEASURED = "not measured"
NO_GUARANTEE = "no guarantee"
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
RATES = (0.001, 0.01, 0.1)
"""False-alarm rates at which what a claim allows is told."""


@dataclass(frozen=True)
class Actor:
    """What one view is promised, what its claim allows, and the worst that was measured.

    allows: None where there is no claim about records that a curve goes with. members, text: the
    worst attack on membership and on the text of all that this adversary may run.
    """

    view: str
    entry: Mapping[str, Any]
    allows: Allowed | None
    members: Leak | None
    text: Leak | None

    @property
    def claimed(self) -> bool:
        """Whether an epsilon is claimed."""
        return self.entry.get("kind") == "guarantee"


@dataclass(frozen=True)
class Disclosure:
    """One setting of a run as an officer asks about it.

    row: its table row, all seeds together. records: one of each seed. words: what the user said.
    """

    row: Row
    records: tuple[CellResult, ...]
    actors: tuple[Actor, ...]
    words: Mapping[str, Any]

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
    def noise(self) -> str:
        """How the noise was made: what a claim rests on."""
        mode = self.first.spec.get("noise", "repeatable")
        if not any(actor.claimed for actor in self.actors):
            return "no claim rests on noise"
        return "secret: its key is kept nowhere" if mode == "secret" else noise_note(self.records)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each phase, the mean over seeds: what the attacks took, too."""
        phases = dict.fromkeys(phase for record in self.records for phase in record.seconds)
        return {
            phase: value
            for phase in phases
            if (value := mean([r.seconds[phase] for r in self.records if phase in r.seconds]))
        }


def disclosure(
    records: Sequence[CellResult],
    grid: Any,
    defence: str | None = None,
    level: str | None = None,
) -> Disclosure:
    """The disclosure of the one setting that has this defence and level.

    Raises: ValueError, naming the choices, where none or several do.
    """
    every = zip(setting_rows(records), by_setting(records), strict=True)
    known = [(row, group) for row, group in every if row.status == "done"]
    found = [
        (row, group)
        for row, group in known
        if defence in (None, row.defence) and level in (None, row.level)
    ]
    if len(found) != 1:
        names = [f"--defence {row.defence!r} --level {row.level!r}" for row, _ in known]
        choices = ", ".join(dict.fromkeys(names)) or "none was trained"
        raise ValueError(f"expected one setting, got {len(found)}: choose among {choices}")
    row, group = found[0]
    done = tuple(record for record in group if record.status == "done")
    words = grid.get("deployment", {}) if isinstance(grid, Mapping) else {}
    return Disclosure(row, done, tuple(_actor(view, row, done) for view in VIEWS), words)


def _actor(view: str, row: Row, records: Sequence[CellResult]) -> Actor:
    """What a view is promised, by the seed that promises least, and the worst it found."""
    own = [next((e for e in r.guarantees if e["view"] == view), {}) for r in records]
    silent = [each for each in own if each.get("kind") != "guarantee"]
    entry = silent[0] if silent else max(own, key=lambda each: float(each["epsilon"]))
    unit = entry.get("unit")
    allows = next((each for each in row.allows if (each.view, each.unit) == (view, unit)), None)
    seen = [leak for leak in row.leaks if leak.view in SEES[view]]
    return Actor(view, entry, allows, worst(seen, "membership"), worst(seen, "inversion"))
