"""HTML page that holds a whole run: nothing fetched, everything escaped, one script of our own."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports import checks, faults, glossary, metrics, story
from reports.claims import claims
from reports.decision import first_screen
from reports.decision.answers import of_answer
from reports.decision.choice import DEFAULT, Decision, Setting, by_task, decide
from reports.fates import reason
from reports.frontier import words as searched
from reports.frontier.answer import Answer
from reports.frontier.leakage import count
from reports.html import html
from reports.labels import columns, further_labels, phrase
from reports.noise_mode import noise_note
from reports.plain import WHO, in_words, key_words
from reports.records import CellResult
from reports.rows import Row
from reports.samples import LEVELS, Sampled
from reports.settings import columns_shown, lines
from reports.tables import confidence
from reports.unfinished import left, missing
from reports.wording import beside, claim, decimal, duration, few, interval, size, sortable

TERMS = (
    "view", "forward view", "backward view", "aggregator view", "peer view", "release view",
    "smashed data", "guarantee", "unit of privacy", "neighbouring relation", "epsilon", "delta",
    "metric guarantee", "utility", "estimate", "inversion", "membership", "chance",
    "baseline attack", "reference attack",
    "reconstruction bound", "trade-off curve", "advantage", "worst attack",
    "not measured", "interval", "majority class", "majority baseline", "void comparison",
    "signal to noise", "decision", "share of the gain", "above chance",
)  # fmt: skip
"""The terms of the glossary that every page explains."""


HINTS = (
    "guarantee", "epsilon", "delta", "chance", "interval", "utility", "worst attack", "inversion",
    "membership", "unit of privacy", "neighbouring relation", "share of the gain", "above chance",
)  # fmt: skip
"""The terms that are explained where they stand, too."""
EVERY = 300
"""Up to how many settings a page holds every number of each; of more, `table.json` does."""
SECONDS = 20
"""How often a page looks for news while its run goes on."""


FILTERS: dict[str, Callable[..., Any]] = {
    "interval": interval,
    "decimal": decimal,
    "size": size,
    "duration": duration,
    "beside": beside,
    "few": few,
    "metric_title": metrics.title,
    "further": further_labels,
    "phrase": phrase,
    "words": in_words,
    "claim": claim,
    "value": sortable,
    "key": key_words,
}
"""What the template calls."""


@dataclass(frozen=True)
class Picture:
    """A figure for the page: its heading, its PNG bytes, the same in words, and what is wrong.

    task: beside whose decision it stands; "" for one of its own place.
    """

    title: str
    png: bytes
    alt: str
    notice: str = ""
    task: str = ""

    @property
    def address(self) -> str:
        """The picture itself as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Shown:
    """What a page is made of besides its records.

    grid: what `grid.json` holds. sentences: the run's private text, the only one on the page.
    found: the answer of a frontier, with which the page begins. going: the run goes on, and the
    page looks for news. decisions: those on its tasks, where they are made already.
    """

    grid: Any = None
    sentences: Sequence[Sampled] = ()
    found: Answer | None = None
    going: bool = False
    decisions: Sequence[Decision] | None = None


def decisions(records: Sequence[CellResult], found: Answer | None = None) -> list[Decision]:
    """The decision on each task; that of a frontier's answer, where there is one."""
    settings = by_task(records)
    if found is not None:
        return [of_answer(found, [each for own in settings.values() for each in own])]
    numbers = count(records)
    return [decide(own, numbers) for own in settings.values()]


def page(
    records: Sequence[CellResult],
    title: str,
    pictures: Sequence[Picture] = (),
    shown: Shown = Shown(),
) -> str:
    """The report as one self-contained HTML document."""
    settings = by_task(records)
    rows = [row for own in settings.values() for row, _ in own]
    made = shown.decisions or decisions(records, shown.found)
    distinct, referred = claims(rows)
    gone = missing(records, shown.grid)
    return html(
        "page",
        FILTERS,
        title=title,
        pictures=pictures,
        verdicts=_verdicts(made, settings, gone, shown.found),
        several={
            "tasks": len(settings) > 1,
            "models": len({row.model for row in rows}) > 1,
        },
        lines=lines(rows, referred, made),
        claims=distinct,
        gone_on=gone,
        **_asked(shown),
        **_of_rows(rows),
        **_of_records(records),
    )


def _asked(shown: Shown) -> dict[str, Any]:
    """What the page holds besides its records."""
    return {
        "seconds": SECONDS if shown.going else 0,
        "told": () if shown.found is None else searched.sentences(shown.found)[1:],
        "tried": None if shown.found is None else searched.tried_table(shown.found),
        "sentences": shown.sentences,
        "grid": _written(shown.grid),
        "levels": LEVELS,
        "rules": first_screen.RULES,
        "who": WHO,
    }


def _of_rows(rows: Sequence[Row]) -> dict[str, Any]:
    """What the page says of its settings, besides their table."""
    views = columns_shown(rows)
    return {
        "faults": faults.faults(rows),
        "unblamed": faults.UNBLAMED,
        "views": views,
        "unseen": [view for view in checks.VIEWS if view not in views],
        "utility": _utility(rows),
        "every": len(rows) <= EVERY,
        "confidence": confidence(rows),
        "further": columns(rows),
        "alarms": _named(rows, [row.alarms for row in rows]),
        "unmeasured": _named(rows, [row.unmeasured for row in rows]),
        "definitions": _definitions(rows),
        "hints": {term: glossary.meanings()[term] for term in HINTS},
    }


def _of_records(records: Sequence[CellResult]) -> dict[str, Any]:
    """What the page says of its cells."""
    return {
        "tally": story.tally(records),
        "doubts": story.doubts(records),
        "received": story.received_lines(records),
        "noise_note": noise_note(records),
        "unnoised": story.UNNOISED,
        "mechanisms": _mechanisms(records),
        "grouped": [
            (record.labels, way, groups)
            for record in records
            for way, groups in record.subgroups.items()
        ],
        "gone": [record for record in records if record.status != "done"],
        "reason": reason,
        "provenance": _provenance(records),
    }


def decided(
    records: Sequence[CellResult], made: Sequence[Decision], grid: Any = None
) -> tuple[str, ...]:
    """What is decided of each task, a line each; made: the decisions themselves."""
    settings, gone = by_task(records), missing(records, grid)
    return tuple(
        f"{each.task}: {verdict.line}{f' {verdict.near}' if verdict.near else ''}"
        for each in made
        for verdict in [first_screen.verdict(each, (), _left(each, settings, gone))]
    )


def _verdicts(
    made: Sequence[Decision],
    settings: dict[str, list[Setting]],
    gone: Sequence[tuple[str, str]],
    found: Answer | None,
) -> list[first_screen.Verdict]:
    if found is not None:
        return [first_screen.of_frontier(made[0], searched.title(found))]
    verdicts = []
    for each in made:
        same = settings[each.task]
        alone = [
            decide(same, each.numbers, replace(DEFAULT, adversary=view)) for view in checks.VIEWS
        ]
        verdicts.append(first_screen.verdict(each, alone, _left(each, settings, gone)))
    return verdicts


def _left(
    found: Decision, settings: dict[str, list[Setting]], gone: Sequence[tuple[str, str]]
) -> str:
    """How many cells of a decision's task are missing."""
    return left(gone, found.task, sum(len(group) for _, group in settings[found.task]))


def _utility(rows: Sequence[Row]) -> str:
    """The head of the column of utilities: with the metric, where it is that of all."""
    used = dict.fromkeys(metrics.title(row.metric) for row in rows if row.metric)
    return f"Utility ({next(iter(used))})" if len(used) == 1 else "Utility"


def _written(grid: Any) -> str | None:
    """The grid as it stands in its file; None without one."""
    return None if grid is None else json.dumps(grid, indent=2, ensure_ascii=False)


def _named(rows: Sequence[Row], texts: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Every text that any row has, with the settings that have it."""
    found: dict[str, list[str]] = {}
    for row, own in zip(rows, texts, strict=True):
        for text in own:
            found.setdefault(text, []).append(f"{row.task}, {row.strategy}, {row.name}")
    return list(found.items())


def _mechanisms(records: Iterable[CellResult]) -> list[tuple[dict[str, str], str, dict[str, Any]]]:
    """The log of every mechanism: labels, place, and what it did."""
    return [
        (record.labels, place, entry)
        for record in records
        for place, entry in record.mechanisms.items()
    ]


def _provenance(records: Iterable[CellResult]) -> list[tuple[int, list[tuple[str, str]]]]:
    """Each distinct provenance as name and text, with the number of cells that have it."""
    counts: dict[str, int] = {}
    for record in records:
        if record.provenance:
            key = json.dumps(record.provenance, sort_keys=True)
            counts[key] = counts.get(key, 0) + 1
    return [(count, _flat(json.loads(text))) for text, count in counts.items()]


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Nested values as one list of names and texts."""
    items: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        items.append((name, value if isinstance(value, str) else json.dumps(value)))
    return items


def _definitions(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The terms that the page explains, then every metric that it shows, with their meanings."""
    used = [name for row in rows for name, _ in row.utilities]
    used += [leak.metric for row in rows for leak in row.leaks]
    names = [name for name in used if name in metrics.METRICS]
    shown = dict.fromkeys([*names, *metrics.WORST.values()])
    meanings = glossary.meanings()
    return [(term, meanings[term]) for term in [*TERMS, *map(metrics.title, shown)]]
