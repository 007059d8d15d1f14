"""Trade-off curves as records hold them: the most that a claim allows an attack."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

from reports import checks
from reports.leak import Leak

KEYS = ("tradeoff", "advantage", "tradeoff_basis")
GROUP = "the curve of one, passed through itself"
POINTS = 400
"""Of the grid on which a group's advantage is looked for; it is never below the curve's own."""
FURTHER = ("mu", "mu_delta")
"""Of a curve that is no harder to tell than two Gaussians, down to that delta; earlier: absent."""


@dataclass(frozen=True)
class Allowed:
    """What the claim about one view and one unit allows whoever tells neighbours apart.

    points: (false-positive rate, largest true-positive rate), both rising. basis: what the curve
    rests on. mu: of two Gaussians no harder to tell, for deltas down to `mu_delta`; None without.
    """

    view: str
    unit: str
    points: tuple[tuple[float, float], ...]
    advantage: float
    basis: str = ""
    mu: float | None = None
    mu_delta: float = 0.0

    def tpr_at(self, fpr: float) -> float:
        """The largest true-positive rate at a stored rate; between two, that of the next."""
        return next((tpr for at, tpr in self.points if at >= fpr), 1.0)

    def most(self, metric: str) -> float | None:
        """The most that a membership metric can be; None for one that no claim bounds.

        The AUC follows from the advantage: no curve above chance plus that has more area.
        """
        area = 0.5 + self.advantage - self.advantage**2 / 2
        return {
            "tpr_at_1pct_fpr": self.tpr_at(0.01),
            "tpr_at_01pct_fpr": self.tpr_at(0.001),
            "balanced_accuracy": (1 + self.advantage) / 2,
            "auc": area,
            "client_auc": area,
        }.get(metric)

    def bound_at(self, fpr: float) -> float:
        """The largest true-positive rate at any rate, by what the stored ones leave.

        A concave curve from (0, 0) up to (1, 1): its chords to either end fall as it goes on.
        """
        below = [tpr * fpr / at for at, tpr in self.points if 0 < at <= fpr]
        beyond = [1 - (1 - fpr) * (1 - tpr) / (1 - at) for at, tpr in self.points if fpr <= at < 1]
        return min([1.0, fpr + self.advantage, *below, *beyond])

    def of_group(self, count: int) -> "Allowed":
        """What is left of so many units of one person, each of which it is a claim about.

        Whoever tells data sets apart that differ in `count` units has a chain of neighbours between
        them: the largest rate of one step is the false alarms of the next.

        Reference: Dong, Roth, Su (2022), "Gaussian differential privacy", theorem 2.14.

        >>> one = Allowed("release", "record", ((0.01, 0.05), (1.0, 1.0)), 0.2)
        >>> round(one.of_group(2).tpr_at(0.01), 6)
        0.25
        """

        def at(fpr: float) -> float:
            return reduce(lambda rate, _: self.bound_at(rate), range(count), fpr)

        grid = [step / POINTS for step in range(POINTS + 1)]
        gain = max(at(right) - left for left, right in pairwise(grid))
        most = min(1.0, count * self.advantage, gain)
        points = tuple((fpr, at(fpr)) for fpr, _ in self.points)
        return Allowed(self.view, self.unit, points, most, f"{count} {self.unit}s: {GROUP}")

    @property
    def words(self) -> str:
        """The curve in short, rounded up."""
        both = self.tpr_at(0.01), self.advantage
        tpr, advantage = (math.ceil(1e3 * x - 1e-9) / 1e3 for x in both)
        return f"TPR at 1 % FPR at most {tpr:.3f}, advantage at most {advantage:.3f}"

    @property
    def further_words(self) -> str:
        """The curve elsewhere, and its mu where it has one, rounded up."""
        low, high = (math.ceil(1e4 * self.tpr_at(x) - 1e-9) / 1e4 for x in (0.001, 0.1))
        told = f"TPR at 0.1 % FPR at most {low:.4f} and at 10 % at most {high:.4f}"
        if self.mu is None:
            return told
        mu = math.ceil(1e3 * self.mu - 1e-9) / 1e3
        return f"{told}, mu {mu:.3f} for deltas down to {self.mu_delta:g}"


def allowed_of(entry: Mapping[str, Any]) -> Allowed | None:
    """What a guarantee of a record allows; None where it holds no curve, as older ones do."""
    if "tradeoff" not in entry:
        return None
    points = tuple((float(fpr), float(tpr)) for fpr, tpr in entry["tradeoff"])
    basis = str(entry.get("tradeoff_basis", ""))
    mu = None if "mu" not in entry else float(entry["mu"])
    advantage, floor = float(entry["advantage"]), float(entry.get("mu_delta", 0.0))
    return Allowed(entry["view"], entry["unit"], points, advantage, basis, mu, floor)


def allowed(guarantees: Iterable[Sequence[Mapping[str, Any]]]) -> tuple[Allowed, ...]:
    """What the claims of several seeds allow: of each view and unit the most over all seeds.

    A claim that not every seed makes, or whose curve one lacks, allows anything and is left out.
    """
    seeds = [[each for entry in own if (each := allowed_of(entry))] for own in guarantees]
    found: dict[tuple[str, str], list[Allowed]] = {}
    for own in seeds:
        for each in own:
            found.setdefault((each.view, each.unit), []).append(each)
    return tuple(_most(each) for each in found.values() if len(each) == len(seeds))


def beside_leak(leak: Leak | None, claims: Iterable[Allowed]) -> Allowed | None:
    """The claim that bounds a leak: of its own view and of what is counted; None without one.

    A claim about tokens, sequences, labels or clients says nothing of who tells records apart.
    """
    if leak is None or leak.family != "membership":
        return None
    same = (each for each in claims if (each.view, each.unit) == (leak.view, leak.unit))
    return next(same, None)


def above(leak: Leak, claims: Iterable[Allowed]) -> bool:
    """Whether a leak's whole interval lies above what the claim that bounds it allows."""
    claim = beside_leak(leak, claims)
    most = None if claim is None else claim.most(leak.metric)
    return most is not None and leak.estimate.low > most


def check(entry: Mapping[str, Any], where: str) -> None:
    """None, once the curve of a guarantee, where it has one, is known to be such."""
    if not any(key in entry for key in KEYS):
        return
    checks.has_keys(entry, KEYS, where)
    checks.text(entry["tradeoff_basis"], f"{where}.tradeoff_basis")
    if any(key in entry for key in FURTHER):
        checks.has_keys(entry, FURTHER, where)
        for key in FURTHER:
            if checks.number(entry[key], f"{where}.{key}") < 0:
                raise ValueError(f"expected {key} >= 0, got {where}.{key}={entry[key]!r}")
    points = entry["tradeoff"]
    pairs = isinstance(points, list) and all(isinstance(x, list) and len(x) == 2 for x in points)
    if not pairs or not points:
        raise ValueError(f"expected pairs of rates, got {where}.tradeoff={points!r}")
    rates = [*points, [entry["advantage"], 1.0]]
    for fpr, tpr in rates:
        for rate in (fpr, tpr):
            if not 0 <= checks.number(rate, f"{where}.tradeoff") <= 1:
                raise ValueError(f"expected rates within [0, 1], got {where}.tradeoff={rate!r}")
    if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(points)):
        raise ValueError(f"expected rates that rise, got {where}.tradeoff={points!r}")


def _most(seeds: Sequence[Allowed]) -> Allowed:
    """One claim over seeds: at every rate the most that any seed allows."""
    rates = sorted({fpr for each in seeds for fpr, _ in each.points})
    points = tuple((fpr, max(each.tpr_at(fpr) for each in seeds)) for fpr in rates)
    advantage = max(each.advantage for each in seeds)
    basis = " and ".join(dict.fromkeys(each.basis for each in seeds))
    mus = [each.mu for each in seeds if each.mu is not None]
    mu = max(mus) if len(mus) == len(seeds) else None
    floor = max(each.mu_delta for each in seeds)
    return Allowed(seeds[0].view, seeds[0].unit, points, advantage, basis, mu, floor)
