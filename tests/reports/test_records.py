import json
import math
import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.records import (
    RECORDS,
    CellResult,
    Estimate,
    append_record,
    encode,
    read_records,
    without_times,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    spec=st.dictionaries(st.text(), JSON, max_size=3),
    task=st.text(),
    numbers=st.lists(FINITE, min_size=3, max_size=3),
)
def test_round_trip_through_one_line(examples, spec, task, numbers):
    low, value, high = sorted(numbers)
    base = examples.done()
    record = replace(
        base,
        spec=spec,
        labels={**base.labels, "task": task},
        utility={"f1": Estimate(value, low, high, n=3), "accuracy": Estimate(0.5, 0.4, 0.6, n=3)},
    )
    line = encode(record)
    again = CellResult.from_json(json.loads(line))
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert again == record
    assert list(again.utility) == ["f1", "accuracy"]
    assert list(json.loads(line)) == sorted(json.loads(line))


def test_all_statuses_round_trip_through_a_file(examples, tmp_path):
    records = examples.grid()
    for record in records:
        append_record(tmp_path / "new" / "records.jsonl", record)
    assert read_records(tmp_path / "new" / "records.jsonl") == records


def test_last_of_a_cell_wins_and_keeps_its_place(examples, tmp_path):
    path = tmp_path / "records.jsonl"
    first, second = examples.done(seed=0), examples.done(seed=1)
    newer = replace(first, bytes={"SmashedData": 7})
    for record in (first, second, newer):
        append_record(path, record)
    assert read_records(path) == [newer, second]


@pytest.mark.parametrize("kept", [1, 40, -1, -2])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(examples, tmp_path, kept):
    path = tmp_path / "records.jsonl"
    first, second = examples.done(seed=0), examples.done(seed=1)
    append_record(path, first)
    whole = encode(second)
    torn = whole[:kept]
    path.write_bytes(path.read_bytes() + torn)
    expected = [first, second] if torn == whole[:-1] else [first]
    assert read_records(path) == expected
    append_record(path, second)
    assert read_records(path) == [first, second]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


DEEP = b"[" * 100_000 + b"\n"


@pytest.mark.parametrize("bad", [b"{}\n", b"\n", b'{"cell": \n', b"[1]\n", b"\xff\n", DEEP])
def test_any_other_damage_names_file_line_and_remedy(examples, tmp_path, bad):
    path = tmp_path / "records.jsonl"
    path.write_bytes(encode(examples.done()) + bad + encode(examples.done(seed=1)))
    with pytest.raises(ValueError, match=r"records\.jsonl:2: .*; take this line out and run") as e:
        read_records(path)
    assert "\n" not in str(e.value)
    path.write_bytes(path.read_bytes().replace(bad, b"", 1) if len(bad) > 1 else b"")
    assert len(read_records(path)) == (2 if len(bad) > 1 else 0)


def test_a_torn_line_nested_too_deep_is_cut_off_as_any_other(examples, tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(encode(examples.done()) + DEEP[:-1])
    assert read_records(path) == [examples.done()]
    append_record(path, examples.done(seed=1))
    assert read_records(path) == [examples.done(), examples.done(seed=1)]


SPOILT = (None, True, -1, 1e308, 10**400, "", [], {}, [[None]], {"a": [1]}, 3.5, "\u202e")


def test_values_of_any_other_type_are_refused_by_line_or_taken(examples, tmp_path):
    """200 records with one value in another's place, seed 5: never anything but a ValueError."""
    rng, path, refused = random.Random(5), tmp_path / "records.jsonl", 0
    for _ in range(200):
        values = json.loads(encode(examples.done()))
        holder, key = rng.choice(list(places(values)))
        holder[key] = rng.choice(SPOILT)
        path.write_text(json.dumps(values) + "\n")
        try:
            read_records(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}:1: ")
    assert refused > 100


def places(value):
    """Every place of a JSON value: what holds it, and under which key."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def test_a_whole_last_line_that_is_damaged_is_refused(examples, tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(encode(examples.done()) + b'{"cell": \n')
    with pytest.raises(ValueError, match=r"records\.jsonl:2: "):
        read_records(path)


@pytest.mark.parametrize("bad", [b"NaN", b"Infinity", b"1e999"])
def test_a_number_that_is_not_finite_is_refused_on_reading(examples, tmp_path, bad):
    path = tmp_path / "records.jsonl"
    line = encode(replace(examples.done(), seconds={"train": 123.5}))
    path.write_bytes(line.replace(b"123.5", bad))
    with pytest.raises(ValueError, match="finite"):
        read_records(path)


@pytest.mark.parametrize(
    "name", ["spec", "provenance", "seconds", "majority_baseline", "mechanisms"]
)
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_at_construction(examples, name, number):
    with pytest.raises(ValueError, match=f"finite number, got {name}"):
        replace(examples.done(), **{name: {"x": {"y": number} if name != "seconds" else number}})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.5, 0.6, 0.7, 1), "low <= value <= high"),
        ((0.5, 0.4, 0.45, 1), "low <= value <= high"),
        ((math.nan, 0.0, 1.0, 1), "finite"),
        ((0.5, 0.0, math.inf, 1), "finite"),
        ((0.5, 0.4, 0.6, 0), "n >= 1"),
        ((0.5, 0.4, 0.6, 1, 1.0), "confidence"),
    ],
)
def test_what_is_no_estimate_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Estimate(*values)


def _without(entry, key):
    return {name: item for name, item in entry.items() if name != key}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {"cell": "XYZ"}, "hex id"),
        (lambda r: {"status": "fine"}, "got status='fine'"),
        (lambda r: {"status": "skipped"}, "reason"),
        (lambda r: {"status": "failed"}, "traceback"),
        (lambda r: {"labels": _without(r.labels, "level")}, "level"),
        (lambda r: {"labels": {**r.labels, "seed": 3}}, r"labels\.seed=3"),
        (lambda r: {"utility": {"accuracy": 0.8}}, "Estimate"),
        (lambda r: {"guarantees": r.guarantees[:4]}, "one guarantee per view"),
        (lambda r: {"guarantees": [*r.guarantees[:4], r.guarantees[0]]}, "one guarantee per view"),
        (lambda r: {"guarantees": [_without(each, "sentence") for each in r.guarantees]},
         "sentence"),
        (lambda r: {"guarantees": [_without(r.guarantees[0], "unit"), *r.guarantees[1:]]}, "unit"),
        (lambda r: {"guarantees": [{**r.guarantees[0], "epsilon": -1.0}, *r.guarantees[1:]]},
         "epsilon >= 0"),
        (lambda r: {"guarantees": [*r.guarantees, r.guarantees[1]]}, r"guarantees\[5\].kind"),
        (lambda r: {"guarantees": [*r.guarantees, {**r.guarantees[0], "view": "up"}]},
         r"guarantees\[5\].view"),
        (lambda r: {"guarantees": [{**r.guarantees[0], "kind": "metric guarantee"},
                                   *r.guarantees[1:]]}, "eta"),
        (lambda r: {"leakage": [r.leakage[0].to_json()]}, r"got leakage\[0\]="),
        (lambda r: {"bytes": {"SmashedData": -1}}, "integer >= 0"),
        (lambda r: {"bytes": {"SmashedData": 1.5}}, "integer >= 0"),
        (lambda r: {"schema": 2}, "schema=2"),
        (lambda r: {"spec": {1: 2}}, "string keys"),
        (lambda r: {"spec": {"x": object()}}, "plain JSON"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(examples, change, words):
    record = examples.done(defence=3)
    with pytest.raises(ValueError, match=words):
        replace(record, **change(record))


def test_doubts_are_kept_and_older_records_have_none(examples):
    record = replace(examples.done(), doubts=["6 of 30 words (20%) are [UNK] to the tokenizer"])
    values = json.loads(encode(record))
    assert CellResult.from_json(values) == record
    del values["doubts"]
    assert CellResult.from_json(values) == replace(record, doubts=[])


def test_groups_are_kept_and_a_record_without_them_is_written_as_before(examples):
    record = examples.done()
    assert "subgroups" not in record.to_json()
    value = next(iter(record.utility.values()))
    told = replace(record, subgroups={"accuracy by class": {"negative": value}})
    assert CellResult.from_json(json.loads(encode(told))) == told


RECEIVED = {
    "expected": 9, "missing": 1, "reasons": {"late": 1}, "skipped": [2],
    "refused": [{"client": 3, "round": 1, "why": "late"}],
}  # fmt: skip


def test_what_was_received_is_kept_and_checked(examples):
    record = examples.done()
    assert "received" not in record.to_json()
    told = replace(record, received=RECEIVED)
    assert CellResult.from_json(json.loads(encode(told))) == told
    for wrong in (
        {"expected": 9}, RECEIVED | {"missing": -1}, RECEIVED | {"reasons": {"late": "1"}},
        RECEIVED | {"refused": [3]}, RECEIVED | {"refused": [{"client": 1}]},
        RECEIVED | {"skipped": [None]}, RECEIVED | {"reasons": 3}, RECEIVED | {"skipped": {}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="received"):
            replace(record, received=wrong)


def test_unknown_fields_and_schemas_are_refused_on_reading(examples):
    values = json.loads(encode(examples.done()))
    with pytest.raises(ValueError, match="colour"):
        CellResult.from_json({**values, "colour": "red"})
    with pytest.raises(ValueError, match="schema=9"):
        CellResult.from_json({**values, "schema": 9})


def test_runs_that_differ_in_time_alone_are_equal_without_times(examples):
    first = examples.done()
    second = replace(first, seconds={"train": 99.0})
    third = replace(first, bytes={"SmashedData": 1})
    assert first != second
    assert without_times(first.to_json()) == without_times(second.to_json())
    assert without_times(first.to_json()) != without_times(third.to_json())


def test_a_record_keeps_its_own_copy(examples):
    spec = {"inner": [1]}
    record = replace(examples.done(), spec=spec)
    spec["inner"].append(2)
    assert record.spec == {"inner": [1]}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("guarantees", 0, "sentence"), 5),
        (("guarantees", 0, "sentence"), ""),
        (("guarantees", 1, "reason"), ["why"]),
        (("guarantees", 0, "releases"), "three"),
        (("guarantees", 0, "releases"), 1.5),
        (("utility", "accuracy", "method"), None),
        (("utility", "accuracy", "value"), 10**400),
        (("bytes", "SmashedData"), 10**400),
        (("mechanisms", "smashed"), {}),
        (("mechanisms", "smashed", "name"), 3),
        (("cell",), 1.5),
        (("doubts",), "one"),
        (("subgroups",), [1]),
        (("subgroups",), {"accuracy by class": 3}),
        (("subgroups",), {"accuracy by class": {"negative": 0.5}}),
        (("doubts",), [""]),
        (("doubts",), [3]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_of_another_type_is_refused_with_its_line(
    tmp_path: Path, examples: ModuleType, place: tuple[Any, ...], value: Any
) -> None:
    record = examples.done(defence=2).to_json()
    holder = record
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    path = tmp_path / RECORDS
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(ValueError, match=r"records.jsonl:1: expected"):
        read_records(path)


def test_guarantees_that_are_no_list_are_refused_of_any_cell(examples: ModuleType) -> None:
    for value in (0.0, {}, ""):
        with pytest.raises(ValueError, match="expected a list, got guarantees="):
            CellResult.from_json({**examples.failed().to_json(), "guarantees": value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda line: b"\xef\xbb\xbf" + line, "Unexpected UTF-8 BOM"),
        (lambda line: line.decode().encode("utf-16-le"), "records.jsonl:1: "),
        (lambda line: b'{"cell": "ab", ' + line[1:], "expected different keys"),
        (lambda line: b"[" * 100_000, "expected a record, got one nested too deep"),
        (lambda line: b'{"spec": ' + b"9" * 5000 + b", " + line[1:], "records.jsonl:1: "),
    ],
    ids=["a mark", "UTF-16", "a key twice", "deep", "digits"],
)
def test_a_line_that_is_not_as_it_is_written_is_refused(
    tmp_path: Path, examples: ModuleType, change: Any, told: str
) -> None:
    path = tmp_path / RECORDS
    path.write_bytes(change(encode(examples.failed()).strip()) + b"\n")
    with pytest.raises(ValueError, match=told):
        read_records(path)


def test_a_torn_line_nested_deep_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / RECORDS
    path.write_bytes(b"[" * 100_000)
    assert read_records(path) == []
