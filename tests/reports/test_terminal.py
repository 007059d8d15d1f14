"""Terminal output: control characters in foreign text are shown, never sent; markup stays text."""

import io
import re
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from reports.card.content import CONSISTENT, Card, Check
from reports.card.files import as_junit, tables
from reports.terminal import Guarded, console, guarded, harmless, one_line, say

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1;31m\x9b5A\x08\x00\x7f\r\u202egpj\u2028\u2066\udc80"
    "[red]:skull:[/x]"
)
SENT = re.compile(r"[^\t\n\x20-\x7e\xa1-\u2027\u2030-\ud7ff]")
PRODUCT = ("fedbert", "privacy", "attacks", "evaluation", "reports")


def test_every_control_character_is_shown() -> None:
    for number in [*range(0x110), 0x61C, *range(0x2000, 0x2100), 0xD800, 0xDFFF, 0xFEFF, 0xE0041]:
        text = chr(number)
        shown = harmless(text)
        assert shown.isprintable() or shown in "\t\n\u00a0\u00ad\r\u200b\u200c\u200d" or (
            0x2000 <= number < 0x2100 and shown == text and number not in range(0x2028, 0x202F)
        ), hex(number)  # fmt: skip
        if number in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0xD800):
            assert shown.startswith("\\") or number == 13, hex(number)
    assert harmless("plain caf\u00e9 \u4e2d\u6587\t\n") == "plain caf\u00e9 \u4e2d\u6587\t\n"
    assert harmless("a\r\nb\rc") == "a\r\nb\\rc"
    assert "\n" not in one_line(HOSTILE + "\n\r\nverdict: consistent")


def test_within_the_guard_nothing_reaches_the_streams(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with guarded():
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        sys.stderr.writelines([HOSTILE, "\n"])
        say(f"name: {HOSTILE}\nverdict: consistent")
        say(HOSTILE, err=True)
        shown = console(width=100)
        table = Table("head", title=HOSTILE)
        table.add_row(HOSTILE)
        table.add_row(Text(HOSTILE))
        shown.print(table)
        shown.print(HOSTILE)
    assert not isinstance(sys.stdout, Guarded)
    told = capsys.readouterr()
    assert not SENT.search(told.out + told.err), SENT.findall(told.out + told.err)
    assert "[red]:skull:[/x]" in told.out and "\\x1b]0;owned" in told.err
    assert "\nverdict" not in told.out


def test_a_console_of_rich_keeps_its_own_colours_under_the_guard() -> None:
    raw = io.StringIO()
    raw.isatty = lambda: True  # type: ignore[method-assign]
    before = sys.stdout
    sys.stdout = raw
    try:
        with guarded():
            console(width=60).print(Text(HOSTILE, style="bold"))
    finally:
        sys.stdout = before
    assert "\\x1b]0;owned" in raw.getvalue() and "\x1b]" not in raw.getvalue()


def test_an_audit_card_takes_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    card = Card({"name": HOSTILE}, (), (Check(HOSTILE, CONSISTENT, HOSTILE),), ())
    with guarded():
        for table in tables(card):
            console(width=120).print(table)
    told = capsys.readouterr().out
    words = re.sub(r"[\s\u2500-\u257f]", "", told)
    assert words.count("[/x]") == 2  # nothing is lost where a cell is folded
    assert not SENT.search(re.sub("[\u2500-\u257f]", "", told))
    assert not SENT.search(as_junit(card))


def test_the_product_prints_through_this_module_alone() -> None:
    direct = re.compile(r"\bclick\.s?echo\(|(?<![\w.])print\(|\bConsole\(|std(?:out|err)\.write")
    for path in (each for name in PRODUCT for each in Path(name).rglob("*.py")):
        if path.as_posix() == "reports/terminal.py":
            continue
        lines = [line for line in path.read_text().splitlines() if direct.search(line)]
        assert not [line for line in lines if "shown.print(" not in line], path
