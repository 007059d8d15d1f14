"""Recovery by class of token as plain data: numbers, rare words, function words and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports import metrics
from reports.averages import mean_estimate
from reports.comparison import sentence
from reports.estimate import Estimate
from reports.faults import fault
from reports.figures.settings import Setting, settings_of
from reports.leak import Leak
from reports.leaks import worst
from reports.records import CellResult

CLASSES = (
    "token_accuracy", "content_token_accuracy", "rare_word_accuracy", "number_accuracy",
    "function_word_accuracy",
)  # fmt: skip
SPANS = ("name_spans", "number_spans", "date_spans")


@dataclass(frozen=True)
class ClassLine:
    """What one attack, the worst by all tokens, recovered of each class in one setting."""

    series: str
    level: str
    attack: str
    shares: tuple[tuple[str, Estimate], ...]


@dataclass(frozen=True)
class ClassesFigure:
    """One task and view; classes: the metrics of which any setting has one."""

    task: str
    view: str
    lines: tuple[ClassLine, ...]
    classes: tuple[str, ...]
    notice: str = ""

    @property
    def titles(self) -> tuple[str, ...]:
        """The classes in words.

        >>> ClassesFigure("sst2", "forward", (), ("token_accuracy", "number_accuracy")).titles
        ('all tokens', 'numbers')
        """
        own = {"token_accuracy": "all tokens", "content_token_accuracy": "content tokens"}
        return tuple(
            own.get(each, metrics.title(each).removesuffix(" recovered")) for each in self.classes
        )


def classes_data(records: Sequence[CellResult], task: str) -> ClassesFigure | None:
    """Recovery by class from smashed data, of the worst attack by all tokens, setting by setting.

    None where no attack was judged by any class beside all tokens.
    """
    settings = settings_of(records, task)
    lines = [line for each in settings if (line := _line(each)) is not None]
    every = (*CLASSES, *SPANS)
    found = tuple(name for name in every if any(name in dict(line.shares) for line in lines))
    if len(found) < 2:
        return None
    notice = fault([each.row for each in settings])
    return ClassesFigure(task, "forward", tuple(lines), found, notice)


def describe_classes(data: ClassesFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Share of each class of token recovered for {data.task}, {data.view} view.")
    for line in data.lines:
        shares = ", ".join(f"{metrics.title(name)} {x.value:.3g}" for name, x in line.shares)
        name = ", ".join(part for part in (line.series, line.level) if part)
        parts.append(f"{name} ({line.attack}): {shares}.")
    return " ".join(parts)


def _line(each: Setting) -> ClassLine | None:
    forward = [leak for leak in each.row.leaks if leak.view == "forward"]
    chosen = worst(forward, "inversion")
    if chosen is None:
        return None
    found: dict[str, list[Estimate]] = {}
    for cell in each.cells:
        for leak in cell.leakage:
            if isinstance(leak, Leak) and (leak.view, leak.attack) == ("forward", chosen.attack):
                found.setdefault(leak.metric, []).append(leak.estimate)
    shares = tuple(
        (name, mean_estimate(found[name], name)) for name in (*CLASSES, *SPANS) if name in found
    )
    return ClassLine(each.series, each.level, chosen.attack, shares)
