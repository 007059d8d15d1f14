"""Loop over attacks: make each, say what it lacks or hear its answer, have it judged."""

from dataclasses import dataclass
from typing import Any

from reports.estimate import Estimate
from reports.leak import Leak, NotMeasured


@dataclass(frozen=True)
class Head:
    """Whose entries: the attack's view, its name in reports, and its family."""

    view: str
    attack: str
    family: str

    def leak(self, metric: str, estimate: Estimate, unit: str, chance: float | None = None) -> Leak:
        """Return what the attack reached by a metric."""
        return Leak(self.view, self.attack, self.family, metric, estimate, unit, chance)

    def not_measured(self, reason: Any, metric: str | None = None) -> NotMeasured:
        """Return why the attack did not run, or was not judged by a metric."""
        return NotMeasured(self.view, self.attack, self.family, reason, metric)
