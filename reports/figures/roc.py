"""ROC curves of the membership attacks, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.comparison import sentence
from reports.estimate import Estimate
from reports.labels import further_labels, phrase
from reports.leak import Leak
from reports.records import CellResult
from reports.scores import Scored
from reports.tradeoff import Allowed, allowed

AT = "tpr_at_1pct_fpr"
WHERE = 0.01
RATES = {"tpr_at_01pct_fpr": 0.001, AT: WHERE}
"""The false-positive rates at which records state what was found."""


@dataclass(frozen=True)
class Curve:
    """One attack: the share of members found while at most so many of the others are accused.

    fpr, tpr: the corners of the step curve from the first false alarm on. `at`: what the record
    says of the share found at 1 % false alarms, with its interval; `area`: the AUC. stated: the
    same at every rate of `RATES`; where no scores are kept, all that is known.
    """

    attack: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    at: Estimate | None
    area: Estimate | None
    stated: tuple[tuple[float, Estimate], ...] = ()


@dataclass(frozen=True)
class RocPanel:
    """One setting, its curves from the strongest at 1 % false alarms to the weakest.

    allows: what the claims about records allow on the views that are attacked here.
    """

    title: str
    curves: tuple[Curve, ...]
    allows: tuple[Allowed, ...] = ()


@dataclass(frozen=True)
class RocFigure:
    """The settings of one task and strategy; `attacks` are those of all panels, a colour each.

    seed: that of all panels. notice: as for utility against leakage.
    """

    task: str
    panels: tuple[RocPanel, ...]
    attacks: tuple[str, ...]
    seed: str = ""
    notice: str = ""

    @property
    def heading(self) -> str:
        """What is drawn, of which of the seeds."""
        return f"{self.task}: members found against false alarms, seed {self.seed}"


def roc_data(
    records: Sequence[CellResult], scores: Mapping[str, Mapping[str, Scored | None]]
) -> RocFigure:
    """The curves of records of one task, one panel each; `scores` by cell and attack.

    Of an attack without scores (None) there is no curve.
    """
    panels = tuple(_panel(record, scores[record.cell]) for record in records)
    names = dict.fromkeys(curve.attack for panel in panels for curve in panel.curves)
    return RocFigure(records[0].labels["task"], panels, tuple(names), records[0].labels["seed"])


def rates_data(records: Sequence[CellResult], task: str) -> RocFigure | None:
    """What records of one task state at the rates of `RATES`, a panel per setting; no curves.

    Of the first seed that has any. None where nothing is stated.
    """
    own = [each for each in records if each.labels["task"] == task and _stated(each)]
    if not own:
        return None
    first = min(int(each.labels["seed"]) for each in own)
    chosen = [each for each in own if int(each.labels["seed"]) == first]
    return roc_data(chosen, {each.cell: dict.fromkeys(_stated(each)) for each in chosen})


def _stated(record: CellResult) -> list[str]:
    """The attacks of which a record states a rate."""
    leaks = (each for each in record.leakage if isinstance(each, Leak) and each.metric in RATES)
    return list(dict.fromkeys(each.attack for each in leaks))


def corners(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at k / n false alarms, k = 1 to n, of n non-members.

    As `tpr_at_fpr` has it: at most k are accused, so only scores above the k + 1st are.
    """
    non_members = np.sort(scored.non_member_scores)[::-1]
    members = np.sort(scored.member_scores)
    above = len(members) - np.searchsorted(members, non_members[1:], side="right")
    tpr = np.append(above, len(members)) / len(members)
    return np.arange(1, len(non_members) + 1) / len(non_members), tpr


def describe_roc(data: RocFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Logarithmic ROC curves of membership attacks on {data.task}, seed {data.seed}.")
    for panel in data.panels:
        each = "; ".join(
            f"{c.attack}: AUC {_told(c.area)}, at 1 % false alarms {_told(c.at)}"
            for c in panel.curves
        )
        parts.append(f"Panel {panel.title}: {each}.")
        parts += [f"The claim allows ({a.view}, each {a.unit}) {a.words}." for a in panel.allows]
    return " ".join(parts)


def _panel(record: CellResult, attacks: Mapping[str, Scored | None]) -> RocPanel:
    """The panel of one record."""
    curves, views = [], set()
    for name, scored in attacks.items():
        leaks = [each for each in record.leakage if isinstance(each, Leak)]
        own = [each for each in leaks if each.attack == name]
        stated = {each.metric: each.estimate for each in own}
        views |= {(each.view, each.unit) for each in own if each.metric == "auc"}
        shown = own[0].name if own else name
        points = ((), ()) if scored is None else _rising(scored)
        rates = tuple((rate, stated[each]) for each, rate in RATES.items() if each in stated)
        curves.append(Curve(shown, *points, stated.get(AT), stated.get("auc"), rates))
    curves.sort(key=lambda curve: -(curve.at.value if curve.at else 0.0))
    labels = record.labels
    level = "" if labels["level"] in ("-", "") else f", {labels['level']}"
    setting = f"{labels['defence']}{level}{phrase(further_labels(labels))}"
    claims = [each for each in allowed([record.guarantees]) if (each.view, each.unit) in views]
    return RocPanel(f"{setting} ({labels['strategy']})", tuple(curves), tuple(claims))


def _rising(scored: Scored) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The corners at which the curve rises."""
    fpr, tpr = corners(scored)
    kept = np.flatnonzero(np.diff(tpr, prepend=-1.0) != 0)
    return tuple(fpr[kept].tolist()), tuple(tpr[kept].tolist())


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
