"""Terminal tables: whole words in heads, laid-out Markdown, a report's names of metrics."""

import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from evaluation.cli.shared import print_markdown
from reports.card.content import Card, Check
from reports.card.files import as_html, tables
from reports.estimate import Estimate
from reports.layout import from_markdown, unbroken, with_heads
from reports.leak import Leak

PLAN = [
    "To contradict [bold]a claim,",
    "ask:",
    "",
    "| method | scores_on_a_side |",
    "|---|---|",
    "| Clopper-Pearson, threshold of one half of them | 204 |",
    "",
    "The end.",
]


def shown(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_head_breaks_and_the_first_column_is_whole(width: int) -> None:
    text = shown(from_markdown(PLAN[3:6]), width)
    words = text.split()
    assert {"method", "scores_on_a_side", "Clopper-Pearson,", "204"} <= set(words)
    assert "---" not in text and "|" not in text


def test_a_column_is_as_wide_as_asked_unless_a_head_has_a_longer_word() -> None:
    table = with_heads(Table(), ["a b", "majority"], [9, 5])
    assert [column.max_width for column in table.columns] == [9, 8]
    table.add_row("target_epsilon=100.0", "x")
    assert unbroken(table).columns[0].width == 9
    assert unbroken(with_heads(Table(), ["defence, strategy"], [23])).columns[0].width == 17


def test_markdown_is_laid_out_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_markdown(PLAN)
    assert capsys.readouterr().out.splitlines() == PLAN
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    print_markdown(PLAN)
    out = capsys.readouterr().out
    assert "To contradict [bold]a claim, ask:" in out and "The end." in out
    assert "|" not in out and re.search(r"method +scores_on_a_side", re.sub("\x1b\\[.*?m", "", out))


def test_a_card_calls_metrics_what_a_report_calls_them() -> None:
    leak = Leak("release", "text alone", "membership", "blind_auc",
                Estimate(0.5, 0.4, 0.6, n=9), "record", 0.5)  # fmt: skip
    card = Card({"name": "x"}, (), (Check("hashes", "consistent", "whole"),), (leak,))
    told = " ".join(shown(table, 120) for table in tables(card))
    for text in (told, as_html(card)):
        assert "AUC without the model" in text and "blind_auc" not in text
    assert card.to_json()["measured"][0]["metric"] == "blind_auc"
