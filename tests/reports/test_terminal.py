"""Terminal output: control characters in foreign text are shown, never sent; markup stays text."""

import io
import logging
import multiprocessing
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from reports import terminal
from reports.card.content import CONSISTENT, Card, Check
from reports.card.files import as_junit, tables
from reports.terminal import console, guard, harmless, hush, one_line, say, working

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


def terminals(monkeypatch: pytest.MonkeyPatch) -> tuple[io.StringIO, io.StringIO]:
    """Standard output and error under the guard, as terminals."""
    raw = io.StringIO(), io.StringIO()
    for name, stream in zip(("stdout", "stderr"), raw, strict=True):
        monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    guard()
    guard()  # once is enough
    return raw


def test_under_the_guard_nothing_reaches_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    output, error = terminals(monkeypatch)
    print(HOSTILE)
    print(HOSTILE, file=sys.stderr)
    sys.stderr.writelines([HOSTILE, "\n"])
    say(f"name: {HOSTILE}\nverdict: consistent")
    say(HOSTILE, err=True)
    logging.StreamHandler(sys.stderr).emit(
        logging.LogRecord("n", logging.WARNING, "p", 1, HOSTILE, None, None)
    )
    told, errors = output.getvalue(), error.getvalue()
    assert not SENT.search(told + errors), SENT.findall(told + errors)
    assert "[red]:skull:[/x]" in told and "\\x1b]0;owned" in errors
    assert "\nverdict" not in told


def test_a_console_of_rich_keeps_its_own_colours_under_the_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, error = terminals(monkeypatch)
    table = Table("head", title=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold red"))
    with Progress(console=console(stderr=True)) as progress:
        progress.add_task("ours", total=1)
        print(HOSTILE, file=sys.stderr)
    shown = console(width=100)
    for each in (table, HOSTILE):
        shown.print(each)
    told, errors = output.getvalue(), error.getvalue()
    assert "\x1b[1;31m" in told and "[red]:skull:[/x]" in told
    own = re.compile(r"\x1b\[(\?25[lh]|[\d;]*[mAK]|2K)|\r")  # colours, and a bar drawn again
    assert not SENT.search(own.sub("", told)), SENT.findall(own.sub("", told))
    assert "\x1b]" not in errors and "\x1b[2J" not in errors and "\x07" not in errors


def test_an_audit_card_takes_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = terminals(monkeypatch)
    card = Card({"name": HOSTILE}, (), (Check(HOSTILE, CONSISTENT, HOSTILE),), ())
    for table in tables(card):
        console(width=120).print(table)
    told = re.sub(r"\x1b\[[\d;]*m", "", output.getvalue())
    assert not SENT.search(told)
    words = re.sub(r"[\s\u2500-\u257f]", "", told)
    assert words.count("[/x]") == 2  # nothing is lost where a cell is folded
    assert not SENT.search(as_junit(card))


def test_workers_are_guarded_as_their_parent_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.run.workers import _work

    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    left = threading.Event()
    monkeypatch.setattr("os._exit", lambda _: left.set())
    ours, theirs = multiprocessing.Pipe()
    threading.Thread(target=_work, args=(theirs,), daemon=True).start()
    ours.send((str, 1))
    assert ours.recv().value() == "1"  # it has begun, and so has said how it writes
    ours.close()
    assert left.wait(10)
    print("\x1b[2J", file=sys.stderr)
    assert error.getvalue() == "\\x1b[2J\n"


def test_the_product_prints_through_this_module_alone() -> None:
    direct = re.compile(r"\bclick\.s?echo\(|(?<![\w.])print\(|\bConsole\(|std(?:out|err)\.write")
    for path in (each for name in PRODUCT for each in Path(name).rglob("*.py")):
        if path.as_posix() == "reports/terminal.py":
            continue
        lines = [line for line in path.read_text().splitlines() if direct.search(line)]
        assert not [line for line in lines if "shown.print(" not in line], path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_being_done_is_shown_on_a_terminal_alone_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(ValueError), working("loading\x1b[2J"):
            shown = stream.getvalue()
            raise ValueError
        if isinstance(stream, Terminal):
            assert shown == "loading\\x1b[2J ...\r" and stream.getvalue() == shown + "\x1b[K"
        else:
            assert stream.getvalue() == ""


def test_what_takes_long_says_for_how_long_it_has_and_will(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, error = terminals(monkeypatch)
    monkeypatch.setattr(terminal, "TICK", 0.01)
    threads = threading.active_count()
    with working("loading", 60.0):
        for _ in range(500):
            if "left" in error.getvalue():
                break
            time.sleep(0.01)
    assert re.search(r"loading \.\.\. 0 s, about (60|59) s left\x1b\[K\r", error.getvalue())
    assert error.getvalue().endswith("\x1b[K") and threading.active_count() == threads
    hush()
    try:
        before = error.getvalue()
        with working("quiet"):
            say("nothing", err=True)
            console(stderr=True).print("nothing")
        say("but this", err=True, always=True)
        assert error.getvalue().removeprefix(before) == "but this\n"
    finally:
        hush(False)


def test_without_colour_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    for asked in (None, "1"):
        output, _ = terminals(monkeypatch)
        if asked:
            monkeypatch.setenv("NO_COLOR", asked)
        console().print(Text("red", style="red"))
        shown.append(output.getvalue())
    assert "\x1b[31m" in shown[0] and shown[1].strip() == "red"
