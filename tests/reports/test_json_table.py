"""Tables of cells: JSON and CSV say the same, and each claim's parts stand apart as numbers."""

import csv
import io
import json
from dataclasses import replace

from reports.checks import VIEWS
from reports.csv_table import csv_table, json_table

CURVE = {"tradeoff": [[0.01, 0.05], [1.0, 1.0]], "advantage": 0.2, "tradeoff_basis": "exact",
         "mu": 0.7, "mu_delta": 1e-6}  # fmt: skip


def test_each_claims_parts_stand_apart_as_numbers(examples):
    record = examples.done(defence=6)
    given = [{**each, **CURVE} if each["view"] == "release" else each for each in record.guarantees]
    (cell,) = json.loads(json_table([replace(record, guarantees=given)]))
    assert (cell["release_unit"], cell["release_epsilon"], cell["release_mu"]) == (
        "client",
        8.0,
        0.7,
    )
    assert cell["peer_epsilon"] == 8.0 and cell["peer_mu"] is None
    assert cell["forward_kind"] == "no guarantee"
    assert [cell[f"forward_{key}"] for key in ("unit", "epsilon", "delta", "mu")] == [None] * 4
    assert cell["utility"] == record.utility["accuracy"].value


def test_json_and_csv_hold_the_same(examples):
    records = examples.grid(("sst2",))
    cells = json.loads(json_table(records))
    lines = list(csv.DictReader(io.StringIO(csv_table(records))))
    assert [list(cell) for cell in cells] == [list(line) for line in lines]
    for cell, line in zip(cells, lines, strict=True):
        for key in ("utility", *(f"{view}_epsilon" for view in VIEWS)):
            assert line[key] == ("" if cell[key] is None else repr(cell[key]))
