"""Loop over attacks, of grids and audits: make each, ask it, and have its answer judged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from attacks.attack import Lacks
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import FAMILIES, VERBS, Entry
from evaluation.grid.spec import Spec
from evaluation.metrics.inversion import Score
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

    def scored(self, score: Score) -> LeakageEntry:
        """Return what an attack reached by a score, or why that is not measured."""
        if score.estimate is None:
            return self.not_measured(score.why, score.metric)
        return self.leak(score.metric, score.estimate, score.unit, score.chance)

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
    names: Iterable[Spec | str], family: str, of: str = "", view: str | None = None
) -> tuple[Named, ...]:
    """Return the attacks of these names among a family of the catalogue's.

    of: what it is that they attack, where reports say so. view: whose, where not the attack's own.

    Raises:
        InputError: for a name that is no attack's of this family.
    """
    catalogue = FAMILIES[family]
    judged_as = "membership" if family == "membership" else "inversion"
    found = []
    for asked in names:
        attack = make_attack(asked, catalogue, VERBS[family])
        shown = f"{attack.name} ({of})" if of else attack.name
        entry = catalogue.get(asked if isinstance(asked, str) else asked.name)
        baseline = entry is not None and entry.baseline
        found.append(Named(attack, Head(view or attack.view, shown, judged_as, baseline), entry))
    return tuple(found)


def entries(
    attacks: Iterable[Named],
    ask: Callable[[Named], T | Lacks | str],
    judge: Callable[[Named, T], Iterable[LeakageEntry]],
) -> Iterator[LeakageEntry]:
    """Yield what became of every attack, in their order.

    ask: returns an attack's answer, or what it lacks, or in words why it is not asked.
    judge: yields what the answer is worth against the truth, which no attack sees.
    """
    for each in attacks:
        answer = ask(each)
        if isinstance(answer, Lacks | str):
            yield each.head.not_measured(answer if isinstance(answer, str) else answer.words)
        else:
            yield from judge(each, answer)
