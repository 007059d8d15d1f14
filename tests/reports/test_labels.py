"""Further labels of a record: a column of every table, and settings of their own."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from evaluation.grid.file import SWEPT
from reports.compact import compact_table
from reports.csv_table import csv_table
from reports.figures.depth import CUT, depth_data
from reports.page import Shown, page
from reports.rows import cell_rows, setting_rows
from reports.samples import samples
from reports.tables import markdown

CLIENTS, LAYER = "data.clients", "cut"


def swept(examples, seed, **further):
    """One record of a sweep; its specification says nothing of it."""
    record = examples.done("sst2", "parallel", 3, seed)
    own = {name.replace("_", "."): value for name, value in further.items()}
    cell = examples.cell({"seed": seed, **own})
    return replace(record, cell=cell, labels={**record.labels, **own})


@pytest.fixture
def records(examples):
    return [
        swept(examples, 0, data_clients="8", cut="2"),
        swept(examples, 1, data_clients="8", cut="2"),
        swept(examples, 0, data_clients="64", cut="2"),
        swept(examples, 0, cut="4"),
    ]


def test_settings_that_differ_in_a_further_label_are_rows_of_their_own(records):
    rows = setting_rows(records)
    assert [row.seeds for row in rows] == [("0", "1"), ("0",), ("0",)]
    assert [row.further for row in rows] == [
        ((CLIENTS, "8"), (LAYER, "2")), ((CLIENTS, "64"), (LAYER, "2")), ((LAYER, "4"),),
    ]  # fmt: skip
    assert rows[1].name == "gaussian token, eps 8, data.clients = 64, cut = 2"
    assert setting_rows(records[:1])[0].setting == "gaussian token, eps 8"


def test_every_further_label_is_a_column_of_every_markdown_table(records):
    text = markdown(records)
    heads = [line for line in text.splitlines() if line.startswith("| ") and "defence" in line]
    assert len(heads) == 3
    for head in heads:
        assert f"| level | {CLIENTS} | {LAYER} | " in head
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(line.replace(r"\\|", "").split("|")) for line in lines} == {18, 15, 13}
    for values in ("| 8 | 2 |", "| 64 | 2 |", "| - | 4 |"):
        assert text.count(f"| eps 8 {values}") == 3, values
    assert "data.clients = 64, cut = 2** (sst2)" in text


def test_every_further_label_is_a_column_of_the_csv_table(records, examples):
    lines = list(csv.DictReader(io.StringIO(csv_table(records))))
    assert [line[CLIENTS] for line in lines] == ["8", "8", "64", ""]
    assert [line[LAYER] for line in lines] == ["2", "2", "2", "4"]
    bare = csv_table([examples.done()]).splitlines()[0].split(",")
    head = csv_table(records).splitlines()[0].split(",")
    place = bare.index("level") + 1
    assert head == [*bare[:place], CLIENTS, LAYER, *bare[place:]]


def test_every_further_label_is_a_column_of_the_terminals_table(records):
    console = Console(width=100, file=io.StringIO(), record=True)
    table = compact_table(records)
    console.print(table)
    heads = [str(column.header).replace("\n", "") for column in table.columns]
    place = heads.index(CLIENTS)
    assert heads[place : place + 2] == [CLIENTS, LAYER]
    shown = [list(map(str, column.cells)) for column in table.columns[place : place + 2]]
    assert list(zip(*shown, strict=True)) == [("8", "2"), ("64", "2"), ("-", "4")]
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100 and "…" not in text


def test_every_further_label_is_a_column_of_the_pages_tables(records):
    html = page(records, "t")
    words = CLIENTS.replace(".", " ")
    for name in (words, LAYER):
        assert html.count(f'<th scope="col">{name}</th>') == 2  # every number, mechanisms
        assert html.count(f'<th scope="col" rowspan="2" data-sort="text">{name}</th>') == 1
    assert f'<td data-label="{words}">64</td><td data-label="{LAYER}">2</td>' in html
    assert f'<td data-label="{words}">-</td><td data-label="{LAYER}">4</td>' in html
    assert "gaussian token, eps 8, data.clients = 64, cut = 2" in html
    marked = replace(records[0], labels={**records[0].labels, "<b>": "<i>"})
    html = page([marked], "t")
    assert "<b>" not in html.replace("<b>eps", "").replace("<b>none", "") and "<i>" not in html


def test_without_further_labels_nothing_is_added(examples):
    record = examples.done()
    (row,) = cell_rows([record])
    assert row.further == () and row.name == row.setting
    assert LAYER not in csv_table([record]).splitlines()[0].split(",")


def test_the_depth_figure_keeps_swept_settings_apart_and_its_own_axis_in_one(examples):
    def at(cut, clients):
        record = swept(examples, 0, data_clients=clients)
        labels = {**record.labels, CUT: str(cut)}
        return replace(record, labels=labels, spec={"model": {"cut_layer": cut}})

    assert CUT in SWEPT  # the label of a sweep over the depth
    data = depth_data([at(cut, clients) for cut in (0, 1) for clients in ("8", "64")], "sst2")
    assert data is not None
    assert [panel.setting for panel in data.panels] == [
        "gaussian token, eps 8, data.clients = 8", "gaussian token, eps 8, data.clients = 64",
    ]  # fmt: skip
    assert all(line.cuts == (0, 1) for panel in data.panels for line in panel.lines)


def test_sample_sentences_of_swept_settings_stand_apart(records):
    one = {"words": [["a", 1, 1]], "best": {"attack": "x", "words": ["a"]}}
    stored = {record.cell: [one] for record in records}
    assert len(samples(records, stored, "samples.json")) == 3
    html = page(records, "t", (), Shown(sentences=samples(records, stored, "samples.json")))
    assert "eps 8, data.clients = 64, cut = 2</summary>" in html
