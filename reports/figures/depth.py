"""Recovery against cut depth: what the figure shows, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.comparison import sentence
from reports.estimate import Estimate
from reports.labels import further_labels, phrase
from reports.leak import Leak
from reports.records import CellResult

WORST = "worst over attacks"
METRIC = "token_accuracy"
CUT = "model.cut_layer"  # the label of a sweep over what the axis shows


@dataclass(frozen=True)
class Line:
    """One attack's recovery by cut layer, ascending: `cuts` and `points` side by side."""

    attack: str
    cuts: tuple[int, ...]
    points: tuple[Estimate, ...]


@dataclass(frozen=True)
class Depth:
    """One setting: a line for the worst over attacks, then one for each attack."""

    setting: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class DepthFigure:
    """Recovery against cut depth for one task: a panel per setting of the defence.

    notice: as for utility against leakage.
    """

    task: str
    panels: tuple[Depth, ...]
    cuts: tuple[int, ...]
    chance: float | None
    notice: str = ""

    @property
    def attacks(self) -> tuple[str, ...]:
        """All lines' names, in order of appearance: one colour each."""
        names = (line.attack for panel in self.panels for line in panel.lines)
        return tuple(dict.fromkeys(names))


def depth_data(records: Sequence[CellResult], task: str) -> DepthFigure | None:
    """The share of tokens recovered from the forward view by cut layer; None with a single cut.

    The worst at a cut is the highest of the attacks' estimates, with that attack's own interval.
    Several seeds of a setting are shown as the mean of their values within the hull of their
    intervals.
    """
    found: dict[str, dict[str, dict[int, list[Estimate]]]] = {}
    chances: list[float] = []
    baselines: set[str] = set()
    for record in records:
        cut = _cut(record)
        if record.status != "done" or record.labels.get("task") != task or cut is None:
            continue
        setting = _setting(record)
        for leak in record.leakage:
            if not isinstance(leak, Leak) or (leak.view, leak.metric) != ("forward", METRIC):
                continue
            by_attack = found.setdefault(setting, {})
            if leak.baseline:
                baselines.add(leak.name)
            by_attack.setdefault(leak.name, {}).setdefault(cut, []).append(leak.estimate)
            if leak.chance is not None:
                chances.append(leak.chance)
    cuts = sorted({cut for each in found.values() for line in each.values() for cut in line})
    if len(cuts) < 2:
        return None
    panels = tuple(Depth(setting, _lines(attacks, baselines)) for setting, attacks in found.items())
    return DepthFigure(task, panels, tuple(cuts), sum(chances) / len(chances) if chances else None)


def describe_depth(data: DepthFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Tokens recovered by cut layer for {data.task}, a panel per setting.")
    for panel in data.panels:
        lines = "; ".join(
            f"{line.attack}: "
            + ", ".join(f"{c}: {p.value:.3g}" for c, p in zip(line.cuts, line.points, strict=True))
            for line in panel.lines
        )
        parts.append(f"{panel.setting}: {lines}.")
    return " ".join(parts)


def _lines(attacks: dict[str, dict[int, list[Estimate]]], baselines: set[str]) -> tuple[Line, ...]:
    """The worst of the attacks that are no baselines, then every attack."""
    joined = {
        name: {cut: _joined(seeds) for cut, seeds in sorted(points.items())}
        for name, points in attacks.items()
    }
    worst: dict[int, Estimate] = {}
    for name, points in joined.items():
        for cut, estimate in () if name in baselines else points.items():
            if cut not in worst or estimate.value > worst[cut].value:
                worst[cut] = estimate
    everything = ({WORST: dict(sorted(worst.items()))} if worst else {}) | joined
    return tuple(
        Line(name, tuple(points), tuple(points.values())) for name, points in everything.items()
    )


def _joined(seeds: Sequence[Estimate]) -> Estimate:
    """Several seeds' estimates as one."""
    if len(seeds) == 1:
        return seeds[0]
    return Estimate(
        sum(each.value for each in seeds) / len(seeds),
        min(each.low for each in seeds),
        max(each.high for each in seeds),
        sum(each.n for each in seeds),
        seeds[0].confidence,
        "mean over seeds, hull of their intervals",
    )


def _cut(record: CellResult) -> int | None:
    model = record.spec.get("model")
    cut = model.get("cut_layer") if isinstance(model, dict) else None
    return cut if isinstance(cut, int) else None


def _setting(record: CellResult) -> str:
    labels = record.labels
    level = labels.get("level", "-")
    name = labels.get("defence", "-") + ("" if level == "-" else f", {level}")
    return name + phrase(tuple(each for each in further_labels(labels) if each[0] != CUT))
