"""Figures that are there already are kept; what shows something else is drawn again."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from reports import drawn
from reports.drawn import INDEX, Drawn
from reports.records import append_record
from reports.render import render

DRAW = "scatter:draw_trade"


@dataclass(frozen=True)
class Data:
    values: tuple[float, ...]
    curve: np.ndarray


DATA = Data((0.1, 0.2), np.arange(3000.0))


@pytest.fixture
def calls(monkeypatch):
    """What was drawn, by a pen that is quick."""
    found = []

    def pen(data, by, *rest, width):
        if by == DRAW:
            found.append((data, rest))
        return f"{data} {by} {rest}".encode()

    monkeypatch.setattr("reports.drawing.screen.png", pen)
    return found


def _drawn(folder, data=DATA, *rest, note=""):
    drawings = Drawn(folder, note=note)
    png = drawings.png("a", data, DRAW, "in words", *rest)
    (folder / "a.png").write_bytes(png)
    (folder / INDEX).write_bytes(drawings.index())
    return png


def test_the_same_data_are_drawn_once(calls, tmp_path):
    assert _drawn(tmp_path) == _drawn(tmp_path) and len(calls) == 1


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (replace(DATA, values=(0.1, 0.3)), ()),
        (replace(DATA, values=(0.1,)), ()),
        (replace(DATA, curve=np.arange(3000.0)[::-1]), ()),
        (replace(DATA, curve=DATA.curve.astype(np.float32)), ()),
        (DATA, ("a title",)),
    ],
)
def test_other_data_are_drawn_again(calls, tmp_path, data, rest):
    _drawn(tmp_path)
    again = _drawn(tmp_path, data, *rest)
    assert len(calls) == 2 and (tmp_path / "a.png").read_bytes() == again


def test_a_note_goes_into_the_file_beside_its_words(calls, tmp_path):
    _drawn(tmp_path)
    assert b"in words Noise can be made again." in _drawn(tmp_path, note="Noise can be made again.")
    assert len(calls) == 2


def test_other_code_or_a_file_of_another_hand_is_drawn_again(calls, tmp_path, monkeypatch):
    first = _drawn(tmp_path)
    (tmp_path / "a.png").write_bytes(b"other")
    assert _drawn(tmp_path) == first and len(calls) == 2
    for broken in ("[]", "{", '{"a": 1}', '{"a": {"shows": "", "sha256": ""}}'):
        (tmp_path / INDEX).write_text(broken)
        assert _drawn(tmp_path) == first
    assert len(calls) == 6
    monkeypatch.setattr(drawn, "_code", lambda: "other")
    assert _drawn(tmp_path) == first and len(calls) == 7


def test_a_report_made_again_draws_nothing_and_is_the_same(calls, examples, tmp_path):
    for record in examples.grid(("sst2",)):
        append_record(tmp_path / "records.jsonl", record)
    first = {path.name: path.read_bytes() for path in render(tmp_path).paths}
    assert len(calls) == 2
    assert {path.name: path.read_bytes() for path in render(tmp_path).paths} == first
    assert len(calls) == 2
    append_record(tmp_path / "records.jsonl", examples.done("mlm"))
    render(tmp_path)
    assert len(calls) == 4  # those of the new task alone
