"""Spreadsheet cells: what would be run is quoted, numbers stay numbers."""

import csv
import io
from dataclasses import replace

import pytest

from reports.csv_table import csv_table
from reports.spreadsheet import quoted

RUN = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r\nx", "\nx", " =1", "=", "+", "--1", "-x",
       "-0.5; =1", "\uff1d1+1", "+1 (555)", "-1e5|cmd")  # fmt: skip
KEPT = ("", "-", "sst2", "-0.5", "+3", "-1e-05", "-.5", "1=1", "a-b", "x@y", "epsilon = 8", "'=1")


@pytest.mark.parametrize("text", RUN)
def test_formulas_are_quoted(text: str) -> None:
    assert quoted([text]) == ["'" + text]


@pytest.mark.parametrize("value", [*KEPT, -0.5, -3, None, 1e-05, True])
def test_everything_else_stays(value: object) -> None:
    assert quoted([value]) == [value]


def test_control_characters_are_shown() -> None:
    assert quoted(["a\x1b[2J", "\rx"]) == ["a\\x1b[2J", "\\rx"]


def test_no_cell_of_a_table_is_run(examples) -> None:
    records = examples.grid(("sst2",))
    plain = list(csv.reader(io.StringIO(csv_table(records))))
    hostile = [
        replace(each, labels={**each.labels, "defence": "=HYPERLINK(0)", "@sweep": "-2+3"})
        for each in records
    ]
    for row in list(csv.reader(io.StringIO(csv_table(hostile)))):
        assert "'@sweep" in row or ("'=HYPERLINK(0)" in row and "'-2+3" in row)
        assert quoted(row) == row
    assert not any(cell.startswith("'") for row in plain for cell in row)
