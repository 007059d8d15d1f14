"""HTML page that holds a whole run: no script, nothing fetched, everything escaped."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reports import checks, faults, glossary, metrics, story
from reports.frontier import words
from reports.frontier.answer import Answer
from reports.html import html
from reports.labels import columns, further_labels, phrase
from reports.noise_mode import noise_note
from reports.records import CellResult
from reports.rows import Row, reason, setting_rows
from reports.samples import LEVELS, Sampled
from reports.tables import by_guarantee, by_short, confidence, together
from reports.wording import beside, decimal, duration, interval, size, source, what_is_allowed

TERMS = (
    "view", "forward view", "backward view", "aggregator view", "peer view", "release view",
    "smashed data", "guarantee", "unit of privacy", "neighbouring relation", "epsilon", "delta",
    "metric guarantee", "utility", "estimate", "inversion", "membership", "chance",
    "baseline attack", "reference attack",
    "reconstruction bound", "trade-off curve", "advantage", "worst attack",
    "not measured", "interval", "majority class", "majority baseline", "void comparison",
    "signal to noise",
)  # fmt: skip
"""The terms of the glossary that every page explains."""


@dataclass(frozen=True)
class Picture:
    """A figure for the page: its heading, its PNG bytes, the same in words, and what is wrong."""

    title: str
    png: bytes
    alt: str
    notice: str = ""

    @property
    def address(self) -> str:
        """The picture itself as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def page(
    records: Sequence[CellResult],
    title: str,
    pictures: Sequence[Picture] = (),
    grid: Any = None,
    sentences: Sequence[Sampled] = (),
    found: Answer | None = None,
) -> str:
    """The report as one self-contained HTML document; its private text is `sentences` alone.

    found: the answer of a frontier, with which the page begins.
    """
    rows = setting_rows(records)
    tasks = dict.fromkeys(row.task for row in rows)
    filters: dict[str, Callable[..., Any]] = {
        "interval": interval,
        "decimal": decimal,
        "size": size,
        "duration": duration,
        "source": source,
        "beside": beside,
        "by_short": by_short,
        "what_is_allowed": what_is_allowed,
        "together": together,
        "metric_title": metrics.title,
        "further": further_labels,
        "phrase": phrase,
    }
    return html(
        "page",
        filters,
        title=title,
        headline=story.headline(rows),
        answer=() if found is None else words.sentences(found),
        tried=None if found is None else words.tried_table(found),
        tally=story.tally(records),
        faults=faults.faults(rows),
        unblamed=faults.UNBLAMED,
        doubts=story.doubts(records),
        tasks=[_task([row for row in rows if row.task == task]) for task in tasks],
        confidence=confidence(rows),
        noise_note=noise_note(records),
        unnoised=story.UNNOISED,
        pictures=pictures,
        sentences=sentences,
        levels=LEVELS,
        alarms=_alarms(rows),
        views=checks.VIEWS,
        guarantees=by_guarantee(rows),
        mechanisms=_mechanisms(records),
        further=columns(rows),
        gone=[record for record in records if record.status != "done"],
        reason=reason,
        unmeasured=_unmeasured(rows),
        provenance=_provenance(records),
        grid=None if grid is None else json.dumps(grid, indent=2, ensure_ascii=False),
        definitions=_definitions(rows),
    )


def _task(rows: Sequence[Row]) -> dict[str, Any]:
    """What the page says of one task."""
    metric = next((row.metric for row in rows if row.metric), "")
    return {
        "name": rows[0].task,
        "metric": metrics.title(metric),
        "story": story.task_story(rows),
        "fault": faults.noted(rows),
        "rows": [(row, story.beats_majority(row)) for row in rows],
        "views": any(row.view_lines for row in rows),
        "models": len({row.model for row in rows}) > 1,
        "further": columns(rows),
    }


def _mechanisms(records: Iterable[CellResult]) -> list[tuple[dict[str, str], str, dict[str, Any]]]:
    """The log of every mechanism: labels, place, and what it did."""
    return [
        (record.labels, place, entry)
        for record in records
        for place, entry in record.mechanisms.items()
    ]


def _alarms(rows: Iterable[Row]) -> list[tuple[str, list[str]]]:
    """Every rate beyond its reference attack or its bound, with the settings in which it is."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in row.alarms:
            found.setdefault(text, []).append(f"{row.task}, {row.strategy}, {row.name}")
    return list(found.items())


def _unmeasured(rows: Iterable[Row]) -> list[tuple[str, list[str]]]:
    """Every attack that was not run, with the settings for which it was not."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in row.unmeasured:
            found.setdefault(text, []).append(f"{row.task}, {row.strategy}, {row.name}")
    return list(found.items())


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
