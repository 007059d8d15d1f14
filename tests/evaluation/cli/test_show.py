"""One cell of a run in full, by number or id; nothing is claimed that its report does not claim."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reports.leak import Leak, NotMeasured
from reports.records import CellResult, append_record, read_records

ROOT = Path("docs/results").resolve()
RUN = ROOT / "one-message-sst2"


def test_a_cell_is_shown_with_all_that_its_record_holds(here) -> None:
    record = read_records(RUN / "records.jsonl")[20]
    done = here("show", RUN, 21)
    assert done.returncode == 0, done.stderr
    assert here("show", RUN, record.cell[:5]).stdout == done.stdout
    text = " ".join(done.stdout.split())
    for claim in record.guarantees:
        assert f"epsilon {claim['epsilon']:g} and delta 1e-05" in text
    for each in record.leakage:
        if isinstance(each, Leak):
            e = each.estimate
            assert f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}] {e.n} ({each.unit})" in text
        elif isinstance(each, NotMeasured):
            assert " ".join(each.reason.split()) in text
    assert "Noise is repeatable" in text and "data.hold_out = 0.03" in text
    assert "n = 872; without the text 0.509" in text


def test_a_cell_is_json_with_units_and_views(here) -> None:
    found = json.loads(here("show", RUN, 21, "--json").stdout)
    assert (found["schema"], found["number"], found["of"]) == (1, 21, 50)
    claim = found["record"]["guarantees"][0]
    assert {"view", "unit", "relation", "epsilon", "delta"} <= claim.keys()
    listed = json.loads(here("show", RUN, "--json").stdout)["cells"]
    assert len(listed) == 50 and listed[20]["id"] == found["record"]["cell"]
    assert listed[20]["number"] == 21 and "target_epsilon=4.0" in here("show", RUN).stdout


@pytest.mark.parametrize(
    ("run", "cell", "words"),
    [
        (RUN, "101edb66", "did you mean 101edb55f21881fe?"),
        (RUN, "0", "by its number, 1 to 50, or the first 4 digits of its id, got '0'"),
        (RUN, "51", "1 to 50"),
        (RUN, "a23", "first 4 digits of its id, got 'a23': did you mean a23303df5887179a?"),
        (ROOT / "one-message-sst", "1", "one-message-sst2?"),
    ],
)
def test_a_typo_is_answered_with_what_is_near(here, run: Path, cell: str, words: str) -> None:
    done = here("show", run, cell)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_nothing_is_claimed_of_a_search_on_private_data(here, tmp_path: Path) -> None:
    record = read_records(RUN / "records.jsonl")[20]
    append_record(tmp_path / "records.jsonl", record)
    wish = {"frontier": {"data": "private", "adversary": "all", "least_share": 0.9}}
    (tmp_path / "grid.json").write_text(json.dumps(wish))
    for form in ((), ("--json",)):
        told = here("show", tmp_path, 1, *form).stdout
        assert "there is no guarantee" in told and "with epsilon" not in told


def test_a_failed_cell_is_told_in_a_line_and_its_traceback_where_it_is_asked_for(
    here, tmp_path: Path
) -> None:
    record = read_records(RUN / "records.jsonl")[0]
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\n'
    for kind, said in (
        ("fedbert.errors.InputError", "expected 5 updates, got 3"),
        ("torch.AcceleratorError", "torch.AcceleratorError: expected 5 updates, got 3"),
    ):
        told = f"{trace}{kind}: expected 5 updates, got 3\n"
        (tmp_path / "records.jsonl").unlink(missing_ok=True)
        failed = CellResult(record.cell, "failed", record.spec, record.labels, traceback=told)
        append_record(tmp_path / "records.jsonl", failed)
        lines = here("show", tmp_path, 1).stdout.splitlines()
        assert f"why: {said}" in lines and "Traceback" not in "".join(lines)
        assert f"by `fedbert-eval show {tmp_path} 1 --traceback`" in "".join(lines)
        assert here("show", tmp_path, 1, "--traceback").stdout == told
    assert "with a CELL" in here("show", tmp_path, "--traceback").stderr


def test_a_default_that_a_grid_reads_otherwise_is_told(here, tmp_path: Path) -> None:
    record = read_records(RUN / "records.jsonl")[0]
    spec = record.spec | {"data": record.spec["data"] | {"hold_out": 0.0}}
    append_record(tmp_path / "records.jsonl", replace(record, spec=spec))
    assert (
        "data.hold_out = 0.0 (none was set: a grid's fair coin" in here("show", tmp_path, 1).stdout
    )
