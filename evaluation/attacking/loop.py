"""The loop over attacks, of grids and audits: make each, ask it, and have its answer judged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import Entry
from reports.estimate import Estimate
from reports.leak import Leak, LeakageEntry, NotMeasured

T = TypeVar("T")


@dataclass(frozen=True)
class Head:
    """Whose entries: the attack's view, its name in reports, its family; whether a baseline's."""

    view: str
    attack: str
    family: str
    baseline: bool = False

    def leak(self, metric: str, estimate: Estimate, unit: str, chance: float | None = None) -> Leak:
        """Return what the attack reached by a metric."""
        head = self.view, self.attack, self.family
        return Leak(*head, metric, estimate, unit, chance, baseline=self.baseline)

    def not_measured(self, reason: str, metric: str | None = None) -> NotMeasured:
        """Return why the attack did not run, or was not judged by a metric."""
        return NotMeasured(self.view, self.attack, self.family, reason, metric)


@dataclass(frozen=True)
class Named:
    """An attack that was asked for, with its catalogue entry (None for a "module:Class")."""

    attack: Any
    head: Head
    entry: Entry | None


def named(
    names: Iterable[str], catalogue: dict[str, Entry], verb: str, family: str, of: str = ""
) -> tuple[Named, ...]:
    """Return the attacks of these names; `of`: what it is that they attack, where reports say so.

    Raises:
        InputError: for a name that is no attack's with such a verb.
    """
    found = []
    for name in names:
        attack = make_attack(name, catalogue, verb)
        shown = f"{attack.name} ({of})" if of else attack.name
        entry = catalogue.get(name)
        head = Head(attack.view, shown, family, getattr(entry, "baseline", False))
        found.append(Named(attack, head, entry))
    return tuple(found)


def entries(
    attacks: Iterable[Named],
    ask: Callable[[Named], T | str],
    judge: Callable[[Named, T], Iterable[LeakageEntry]],
) -> Iterator[LeakageEntry]:
    """Yield what became of every attack, in their order.

    ask: returns an attack's answer, or in words why there is none. judge: yields what the answer
    is worth against the truth, which no attack sees.
    """
    for each in attacks:
        answer = ask(each)
        if isinstance(answer, str):
            yield each.head.not_measured(answer)
        else:
            yield from judge(each, answer)


def in_words(lacking: Any) -> str | None:
    """Return in words what an attack's `missing` says; None where it lacks nothing."""
    found: str | None = getattr(lacking, "words", lacking)
    return found
