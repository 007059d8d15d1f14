"""Live page: written as cells end, seldom enough, and never in the way of the run."""

import importlib.util
import json
from pathlib import Path

import pytest

import reports.render
from evaluation.cli.live_page import LivePage
from reports.records import append_record
from reports.render import render

PATH = Path(__file__).parents[2] / "reports" / "examples.py"
SPEC = importlib.util.spec_from_file_location("report_examples_live", PATH)
assert SPEC is not None and SPEC.loader is not None
examples = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(examples)
CELLS = [examples.done(defence=k) for k in (0, 3, 5)]


class Clock:
    """A clock that is moved by hand; rendering takes `takes` of its seconds."""

    def __init__(self) -> None:
        self.now, self.takes, self.calls = 0.0, 1.0, []

    def __call__(self) -> float:
        return self.now

    def render(self, directory: Path, going: bool, figures: bool) -> None:
        self.now += self.takes
        self.calls.append((going, figures))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reports.render, "render", clock.render)
    return clock


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three cells of which two have ended."""
    grid = {"name": "g", "cells": [each.spec for each in CELLS]}
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    for each in CELLS[:2]:
        append_record(tmp_path / "records.jsonl", each)
    return tmp_path


def test_pages_take_a_twentieth_of_the_time_and_figures_wait(clock: Clock, tmp_path: Path) -> None:
    with LivePage(tmp_path, clock) as live:
        for _ in range(400):
            clock.now += 2
            live.record(CELLS[0])
    spent = len(clock.calls) * clock.takes
    assert spent <= 0.06 * clock.now and len(clock.calls) > 30
    assert clock.calls[0] == (True, False)  # at once, and without a figure
    assert (True, True) in clock.calls and all(going for going, _ in clock.calls)


def test_a_run_that_is_stopped_leaves_a_page_that_looks_for_no_news(
    clock: Clock, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), LivePage(tmp_path, clock) as live:
        clock.now += 2
        live.record(CELLS[0])
        raise KeyboardInterrupt
    assert clock.calls == [(True, False), (False, False)]


def test_a_page_that_cannot_be_written_stops_nothing_and_is_told_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "records.jsonl").write_text("{broken\n")
    with LivePage(tmp_path) as live:
        live.record(CELLS[0])
        live.written = live.cost = 0.0
        live.record(CELLS[0])
    assert capsys.readouterr().err.count("was not written: ") == 1


def test_the_page_of_an_unfinished_run_says_what_is_missing(run: Path) -> None:
    shown = render(run, going=True, figures=False)
    text = shown.paths[0].read_text()
    assert '<noscript><meta http-equiv="refresh" content="20"></noscript>' in text
    assert "This run goes on" in text and "Without a record yet: 1 cell." in text
    assert "Not finished: 1 of 3 cells missing. So far:" in text and "<img" not in text
    assert not (run / "figures").exists()
    stopped = render(run, figures=False).paths[0].read_text()
    assert "refresh" not in stopped.split("<style>")[0] and "Not finished" in stopped


def test_the_last_page_is_whole_and_looks_for_no_news(run: Path) -> None:
    render(run, going=True, figures=False)
    append_record(run / "records.jsonl", CELLS[2])
    text = render(run).paths[0].read_text()
    assert 'http-equiv="refresh"' not in text and 'name="going"' not in text.split("<style>")[0]
    assert "Not finished" not in text and "So far" not in text and "<img" in text
    lagging = render(run, going=True, figures=False).paths[0].read_text()
    assert "<img" in lagging and "Figures may lag behind" in lagging
