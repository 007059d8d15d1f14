"""Leaks: what an attack recovered by one metric, or why that was not measured; and their JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports import checks
from reports.estimate import Estimate
from reports.metrics import FLAGS

WHY = "not_measured"  # the reason's key in JSON, by which the two kinds are told apart
ESTIMATES = ("reference_attack", "informed")  # what may stand beside a leak's own


@dataclass(frozen=True)
class Leak:
    """One attack's success by one metric, or its mean over seeds.

    unit: what is counted. chance: what a guess without the message reaches (None: unknown).
    reference_attack: what a plain look-up should reach. reconstruction_bound: the most that the
    guarantee lets any attack recover; where there is none, `bound_basis` says why; prior: of a
    guess before the message, on which the bound rests. flags: of `reports.metrics.FLAGS`, what
    is wrong with it. baseline: it stands for comparison and is no attack on the message.
    informed: what the same attack reaches where it is told what this one had to estimate;
    informed_basis: what that was, and the estimate.

    Raises: ValueError for a field that the readers could not use.
    """

    view: str
    attack: str
    family: str
    metric: str
    estimate: Estimate
    unit: str
    chance: float | None
    reference_attack: Estimate | None = None
    reference_basis: str = ""
    reconstruction_bound: float | None = None
    bound_basis: str = ""
    prior: float | None = None
    flags: tuple[str, ...] = ()
    baseline: bool = False
    informed: Estimate | None = None
    informed_basis: str = ""

    def __post_init__(self) -> None:
        """Refuses what is no leak."""
        _check_head(self.view, self.attack, self.family)
        for name in ("metric", "reference_basis", "bound_basis", "informed_basis"):
            checks.text(getattr(self, name), name, empty=name != "metric")
        checks.one_of(self.unit, checks.UNITS, "unit")
        if not isinstance(self.estimate, Estimate):
            raise ValueError(f"expected an Estimate, got estimate={self.estimate!r}")
        for name in ESTIMATES:
            value = getattr(self, name)
            if not isinstance(value, Estimate | None):
                raise ValueError(f"expected an Estimate, got {name}={value}")
        for name in ("chance", "reconstruction_bound", "prior"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else checks.number(value, name))
        if not isinstance(self.baseline, bool):
            raise ValueError(f"expected true or false, got baseline={self.baseline!r}")
        for flag in self.flags:
            checks.one_of(flag, FLAGS, "flags")
        object.__setattr__(self, "flags", tuple(self.flags))

    @property
    def name(self) -> str:
        """The attack's name as reports show it: a baseline is called one."""
        return f"{self.attack} (baseline)" if self.baseline else self.attack

    def to_json(self) -> dict[str, Any]:
        """The leak as plain JSON, less what it does not have."""
        values = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if getattr(self, each.name) != each.default
        }
        values["estimate"] = self.estimate.to_json()
        values |= {name: values[name].to_json() for name in ESTIMATES if name in values}
        if self.flags:
            values["flags"] = list(self.flags)
        return values

    @classmethod
    def from_json(cls, values: Any) -> "Leak":
        """The leak that `to_json` wrote; ValueError for anything else."""
        names = [each.name for each in dataclasses.fields(cls)]
        _check_keys(values, names, names[: names.index("reference_attack")], "a leak")
        read = dict(values)
        for name in ("estimate", *ESTIMATES):
            if read.get(name) is not None:
                read[name] = Estimate.from_json(read[name])
        flags = read.get("flags", [])
        if not isinstance(flags, list):
            raise ValueError(f"expected a list, got flags={flags!r}")
        return cls(**{**read, "flags": tuple(flags)})


@dataclass(frozen=True)
class NotMeasured:
    """An attack that was not run, or by `metric` not judged, and why.

    Raises: ValueError for a field that the readers could not use.
    """

    view: str
    attack: str
    family: str
    reason: str
    metric: str | None = None

    def __post_init__(self) -> None:
        """Refuses an entry that does not say what and why."""
        _check_head(self.view, self.attack, self.family)
        checks.text(self.reason, "reason")
        if self.metric is not None:
            checks.text(self.metric, "metric")

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON; its reason stands under `not_measured`."""
        values = {"view": self.view, "attack": self.attack, "family": self.family}
        return values | ({"metric": self.metric} if self.metric else {}) | {WHY: self.reason}

    @classmethod
    def from_json(cls, values: Any) -> "NotMeasured":
        """The entry that `to_json` wrote; ValueError for anything else."""
        needed = ("view", "attack", "family", WHY)
        _check_keys(values, (*needed, "metric"), needed, "what was not measured")
        rest = {key: item for key, item in values.items() if key != WHY}
        return cls(**rest, reason=values[WHY])


LeakageEntry = Leak | NotMeasured


def entry_from_json(values: Any, where: str) -> LeakageEntry:
    """The one or the other, as it was written; ValueError, beginning with `where`, for neither."""
    try:
        if isinstance(values, Mapping) and WHY in values:
            return NotMeasured.from_json(values)
        return Leak.from_json(values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_head(view: Any, attack: Any, family: Any) -> None:
    """None, once view, attack and family are known to be such."""
    checks.one_of(view, checks.VIEWS, "view")
    checks.one_of(family, checks.FAMILIES, "family")
    checks.text(attack, "attack")


def _check_keys(values: Any, known: Any, needed: Any, what: str) -> None:
    """None, once an object is known to hold what is needed and nothing that is not known."""
    if not isinstance(values, Mapping):
        raise ValueError(f"expected {what}, got {values!r}")
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"expected {what} with {', '.join(known)}, got unknown={unknown}")
    checks.has_keys(values, needed, what)
