"""ROC curves of the membership attacks, as plain data; `reports.drawing.roc` draws them."""

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


@dataclass(frozen=True)
class Curve:
    """One attack: the share of members found while at most so many of the others are accused.

    fpr, tpr: the corners of the step curve from the first false alarm on. `at`: what the record
    says of the share found at 1 % false alarms, with its interval; `area`: the AUC.
    """

    attack: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    at: Estimate | None
    area: Estimate | None


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

    notice: as for utility against leakage.
    """

    task: str
    panels: tuple[RocPanel, ...]
    attacks: tuple[str, ...]
    notice: str = ""


def roc_data(
    records: Sequence[CellResult], scores: Mapping[str, Mapping[str, Scored]]
) -> RocFigure:
    """The curves of records of one task, one panel each; `scores` by cell and attack."""
    panels = tuple(_panel(record, scores[record.cell]) for record in records)
    names = dict.fromkeys(curve.attack for panel in panels for curve in panel.curves)
    return RocFigure(records[0].labels["task"], panels, tuple(names))


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
    parts.append(f"Logarithmic ROC curves of membership attacks on {data.task}.")
    for panel in data.panels:
        each = "; ".join(
            f"{c.attack}: AUC {_told(c.area)}, at 1 % false alarms {_told(c.at)}"
            for c in panel.curves
        )
        parts.append(f"Panel {panel.title}: {each}.")
        parts += [f"The claim allows ({a.view}, each {a.unit}) {a.words}." for a in panel.allows]
    return " ".join(parts)


def _panel(record: CellResult, attacks: Mapping[str, Scored]) -> RocPanel:
    """The panel of one record."""
    curves, views = [], set()
    for name, scored in attacks.items():
        fpr, tpr = corners(scored)
        kept = np.flatnonzero(np.diff(tpr, prepend=-1.0) != 0)  # where the curve rises
        leaks = [each for each in record.leakage if isinstance(each, Leak)]
        own = [each for each in leaks if each.attack == name]
        stated = {each.metric: each.estimate for each in own}
        views |= {(each.view, each.unit) for each in own if each.metric == "auc"}
        shown = own[0].name if own else name
        points = tuple(fpr[kept].tolist()), tuple(tpr[kept].tolist())
        curves.append(Curve(shown, *points, stated.get(AT), stated.get("auc")))
    curves.sort(key=lambda curve: -(curve.at.value if curve.at else 0.0))
    labels = record.labels
    level = "" if labels["level"] in ("-", "") else f", {labels['level']}"
    setting = f"{labels['defence']}{level}{phrase(further_labels(labels))}"
    claims = [each for each in allowed([record.guarantees]) if (each.view, each.unit) in views]
    return RocPanel(f"{setting} ({labels['strategy']})", tuple(curves), tuple(claims))


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
