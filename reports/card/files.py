"""Card files: an audit as terminal tables, JSON, JUnit XML and one HTML page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.table import Table

from fedbert.disk.writer import sweep, write_whole
from reports.card.content import COMMAND, FAILED, FILE, SCHEMA, WEAK, Card, figure, note
from reports.card.summary import SPEAKS, UNCLAIMED, answers, in_short
from reports.html import html
from reports.layout import with_heads
from reports.metrics import title
from reports.page import Picture
from reports.plain import WHO
from reports.terminal import cell, harmless
from reports.wording import beside


def write(card: Card, directory: Path) -> list[Path]:
    """Write audit.json, audit.xml and audit.html into a directory and return where they are."""
    made: dict[str, Callable[[Card], str]] = {
        FILE: as_json,
        "audit.xml": as_junit,
        "audit.html": as_html,
    }
    sweep(directory)
    files = {directory / name: make(card).encode() for name, make in made.items()}
    return [write_whole(path, each, shared=True) for path, each in files.items()]


def content(card: Card) -> dict[str, Any]:
    """The card as plain JSON, with its answer in short."""
    return {"in_short": list(in_short(card)), **card.to_json()}


def as_json(card: Card) -> str:
    """The card as JSON, in the form in which the command prints it."""
    return json.dumps(told(card), indent=1, allow_nan=False) + "\n"


def told(card: Card) -> dict[str, Any]:
    """What audit.json holds: the form, the command, the card."""
    return {"schema": SCHEMA, "command": COMMAND, **content(card)}


def as_junit(card: Card) -> str:
    """The card as JUnit XML: a test case per check; too weak or not measured counts as skipped.

    What is known of the model stands in the suite's properties.
    """
    failed = sum(check.verdict in FAILED for check in card.checks)
    skipped = sum(check.verdict in WEAK for check in card.checks)
    counts = {"tests": len(card.checks), "failures": failed, "errors": 0, "skipped": skipped}
    suite = ElementTree.Element(
        "testsuite", {"name": "fedbert-eval audit"} | {k: str(v) for k, v in counts.items()}
    )
    about = ElementTree.SubElement(suite, "properties")
    for name, value in card.subject.items():
        ElementTree.SubElement(about, "property", {"name": name, "value": harmless(value)})
    for check in card.checks:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": "audit", "name": harmless(check.what)}
        )
        if check.verdict in FAILED:
            inner = ElementTree.SubElement(case, "failure", {"message": check.verdict})
            inner.text = harmless(check.detail)
        elif check.verdict in WEAK:
            message = harmless(f"{check.verdict}: {check.detail}")
            ElementTree.SubElement(case, "skipped", {"message": message})
        else:
            ElementTree.SubElement(case, "system-out").text = harmless(check.detail)
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def as_html(card: Card) -> str:
    """The card as one page: everything escaped, no script, nothing fetched."""
    return html(
        "card",
        {"figure": figure, "note": note, "metric_title": title, "beside": beside, "known": known},
        card=card,
        verdict=in_short(card)[0],
        speaks=SPEAKS if card.claims else f"{SPEAKS} {UNCLAIMED}",
        answers=answers(card),
        kind="failed" if card.code == 1 else "weak" if card.code else "good",
        who=WHO,
        failed=FAILED,
        weak=WEAK,
        picture=_picture(card),
    )


def known(text: str) -> str:
    """A text with a tokenizer's mark for unknown words in words.

    >>> known("3 of 9 words are [UNK] to the tokenizer")
    '3 of 9 words are unknown to the tokenizer'
    """
    return text.replace("[UNK]", "unknown").replace("<unk>", "unknown")


def _picture(card: Card) -> Picture | None:
    """What a live audit of the training saw, drawn; None without one."""
    if card.live is None:
        return None
    from reports.drawing.screen import png
    from reports.figures.live import describe_live, live_data

    data = live_data(card.live)
    words = describe_live(data)
    return Picture(data.title, png(data, "curves:draw_live", words), words, data.notice)


def tables(card: Card) -> list[Table]:
    """The card as tables for the terminal: the verdicts, and what was recovered."""
    checks = _table("Verdicts", "what", "verdict", "behind it")
    for check in card.checks:
        checks.add_row(*map(cell, (check.what, check.verdict, check.detail)))
    heads = ("view", "attack", "metric", "value [interval]", "beside", "note")
    measured = _table("Who recovers what", *heads)
    for each in card.leaks:
        view = f"{each.view}: {WHO.get(each.view, '')}"
        told = (view, each.name, title(each.metric), figure(each), beside(each), note(each))
        measured.add_row(*map(cell, told))
    unmeasured = _table("Not measured", "view", "attacks", "why")
    for view, why, names in card.not_measured:
        unmeasured.add_row(*map(cell, (view, names, why)))
    return [table for table in (checks, measured, unmeasured) if table.row_count]


def _table(name: str, *heads: str) -> Table:
    """An empty table."""
    return with_heads(Table(title=name, title_justify="left", header_style="bold"), heads)
