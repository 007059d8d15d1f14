"""Card content: checks with verdicts, and what every adversary recovered of one model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.leak import Leak, LeakageEntry, NotMeasured
from reports.metrics import FLAGS

FILE = "audit.json"
COMMAND = "audit run"
"""Whose answer a card is, as its JSON says first."""

VIOLATES = "violates the claim"
CONSISTENT = "consistent"
TOO_WEAK = "too weak to say"
ABOVE = "above the limit"
WITHIN = "within the limit"
NOT_MEASURED = "not measured"

SCHEMA = 3
"""Version of the form of `Card.to_json`."""

FAILED = (VIOLATES, ABOVE)
WEAK = (TOO_WEAK, NOT_MEASURED)
VERDICTS = (VIOLATES, CONSISTENT, TOO_WEAK, ABOVE, WITHIN, NOT_MEASURED)


@dataclass(frozen=True)
class Check:
    """One verdict: what was checked, the verdict, and the figures behind it.

    numbers: of a bound on epsilon, the same figures as numbers, for whoever reads the JSON. tests:
    a claim or a limit was put to the test. more: of what is too weak, what could tell.

    Raises: ValueError for a verdict that is none.
    """

    what: str
    verdict: str
    detail: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    tests: bool = True
    more: str = ""

    def __post_init__(self) -> None:
        """Refuses an unknown verdict."""
        if self.verdict not in VERDICTS:
            raise ValueError(f"expected one of {VERDICTS}, got verdict={self.verdict!r}")


def figure(leak: Leak) -> str:
    """The estimate with its interval."""
    e = leak.estimate
    return f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}], n = {e.n}"


def note(leak: Leak) -> str:
    """What a leak's flags mean; nothing without any."""
    return "; ".join(FLAGS[flag] for flag in leak.flags)


@dataclass(frozen=True)
class Card:
    """An audit's whole answer. `subject` names what was audited; `claims` are its sentences.

    live: what a live audit of the training saw, by round; None without one. means: on how much the
    attacks ran. seconds: of each phase. made: the day, as YYYY-MM-DD. model_sha256: of the weights
    that were audited; "" of a foreign model. cost: utility, gains, majority_baseline and
    subgroups, as a record's JSON has them; empty where nobody measured them. allowed_tpr: of the
    members that any attack on the released model may find at 1 % of false alarms, by its claims.
    """

    subject: dict[str, str]
    claims: tuple[str, ...]
    checks: tuple[Check, ...]
    measured: tuple[LeakageEntry, ...]
    live: Mapping[str, Any] | None = None
    means: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    made: str = ""
    model_sha256: str = ""
    cost: Mapping[str, Any] = field(default_factory=dict)
    allowed_tpr: float | None = None

    @property
    def code(self) -> int:
        """The exit code: 1 for a violation or a limit passed, 3 for something too weak, or 0."""
        verdicts = {check.verdict for check in self.checks}
        if verdicts & set(FAILED):
            return 1
        return 3 if verdicts & set(WEAK) else 0

    @property
    def verdict(self) -> str:
        """The verdict over all checks, in words."""
        verdicts = [check.verdict for check in self.checks]
        for word in (VIOLATES, ABOVE, TOO_WEAK, NOT_MEASURED):
            if word in verdicts:
                return word
        tested = any(check.tests for check in self.checks)
        return CONSISTENT if tested else "no claim and no limit was given: nothing was tested"

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """What was measured."""
        return tuple(each for each in self.measured if isinstance(each, Leak))

    @property
    def not_measured(self) -> list[tuple[str, str, str]]:
        """What was not: the view, why, and the attacks that it holds for."""
        found: dict[tuple[str, str], list[str]] = {}
        for each in self.measured:
            if isinstance(each, NotMeasured):
                found.setdefault((each.view, each.reason), []).append(each.attack)
        return [(view, why, ", ".join(names)) for (view, why), names in found.items()]

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON."""
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "exit_code": self.code,
            "made": self.made,
            "model_sha256": self.model_sha256,
            "means": dict(self.means),
            "seconds": dict(self.seconds),
            "claims": list(self.claims),
            "allowed_tpr_at_1pct_fpr": self.allowed_tpr,
            "checks": [_check_json(check) for check in self.checks],
            "measured": [each.to_json() for each in self.measured],
            **({"cost": dict(self.cost)} if self.cost else {}),
            **({} if self.live is None else {"live": dict(self.live)}),
        }


def _check_json(check: Check) -> dict[str, Any]:
    """A check as plain JSON; the numbers where it has any."""
    found: dict[str, Any] = {
        "what": check.what,
        "verdict": check.verdict,
        "detail": check.detail,
    }
    found |= {"numbers": dict(check.numbers)} if check.numbers else {}
    return found | ({"more": check.more} if check.more else {})
