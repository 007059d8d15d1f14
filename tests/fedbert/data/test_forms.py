"""One set of rows in every form of file: the same texts and labels from every reader."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedbert.data.sources import load, load_one
from fedbert.errors import InputError
from fedbert.tasks import TASKS, Task, own_task

WORDS = ("neg", "neutral", "pos")
TEXTS = ['a "quoted", naïve film', "plain", "'single' quotes", "with, commas", "plain too", "six"]
NUMBERS = [0, 1, 2, 1, 0, 2]
OWN = own_task("review", None, "stars", WORDS, None)
Columns = dict[str, list[Any]]
Writer = Callable[[Path, Columns], None]


def objects(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_csv(path: Path, columns: Columns) -> None:
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_tsv(path: Path, columns: Columns) -> None:
    every = [list(columns), *zip(*columns.values(), strict=True)]
    text = "".join("\t".join(map(str, row)) + "\n" for row in every)
    path.with_suffix(".tsv").write_text(text, encoding="utf-8")


def write_jsonl(path: Path, columns: Columns) -> None:
    text = "\n".join(json.dumps(each) for each in objects(columns))
    path.with_suffix(".jsonl").write_text(text, encoding="utf-8")


def write_array(path: Path, columns: Columns) -> None:
    text = json.dumps(objects(columns), indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text, encoding="utf-8")


def write_parquet(path: Path, columns: Columns, names: Columns | None = None) -> None:
    pq.write_table(_table(columns, names or {}), path.with_suffix(".parquet"))


def write_arrow(path: Path, columns: Columns) -> None:
    table = pa.table(columns)
    with pa.ipc.new_file(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table)


def write_stream(path: Path, columns: Columns, names: Columns | None = None) -> None:
    table = _table(columns, names or {})
    with pa.ipc.new_stream(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table)


def _table(columns: Columns, names: Columns) -> pa.Table:
    """Return a table, with label names by column as `datasets` keeps them in the schema."""
    features = {name: {"names": each, "_type": "ClassLabel"} for name, each in names.items()}
    told = json.dumps({"info": {"features": features}})
    return pa.table(columns).replace_schema_metadata({"huggingface": told} if names else None)


WRITERS: dict[str, Writer] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "json": write_array,
    "parquet": write_parquet,
    "arrow": write_arrow,
    "stream": write_stream,
}
SPELLINGS: dict[str, Callable[[int], Any]] = {
    "number": lambda y: y,
    "float": float,
    "digits": str,
    "float in digits": lambda y: f"{y}.0",
    "word": lambda y: WORDS[y],
}


def reviews(spelling: str = "number") -> Columns:
    labels = [SPELLINGS[spelling](y) for y in NUMBERS]
    return {"id": list(range(6)), "review": TEXTS, "stars": labels}


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def read(form: str, task: Task, columns: Columns, folder: Path) -> Any:
    """Return what one file of a form holds, as the audit reads it."""
    WRITERS[form](folder / "x", columns)
    (file,) = folder.glob("x.*")
    return load_one(task, file)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", WRITERS)
def test_every_form_and_spelling_gives_the_same_rows(
    form: str, spelling: str, tmp_path: Path
) -> None:
    for split in ("train", "validation"):
        WRITERS[form](tmp_path / split, reviews(spelling))
    found = load(OWN, str(tmp_path))
    (file,) = tmp_path.glob("train.*")
    members = (load_one(OWN, file), load_one(OWN, Path(f"{tmp_path}:validation")))
    for each in (*found.values(), *members):
        assert [text for (text,) in each.texts] == TEXTS
        assert each.labels.tolist() == NUMBERS


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", ["sst2", "mnli", "stsb", "cola"])
def test_tasks_of_glue_are_read_alike_by_their_own_column_names(
    name: str, form: str, tmp_path: Path
) -> None:
    task = TASKS[name]
    columns: Columns = {column: [f"{column} one", "two"] for column in task.columns}
    found = read(form, task, columns | {"label": [1.0, 0.0], "idx": [0, 1]}, tmp_path)
    assert found.texts == tuple(zip(*columns.values(), strict=True))
    assert found.labels.tolist() == [1, 0]


def test_the_official_archive_is_read_as_the_audits_file_too(tmp_path: Path) -> None:
    (tmp_path / "dev_matched.tsv").write_text(
        "index\tsentence1\tsentence2\tgold_label\n0\tone\ttwo\tneutral\n"
    )
    (tmp_path / "dev.tsv").write_text('gj04\t1\t*\tone "quoted\ngj04\t0\t\ttwo\n')
    pairs = load_one(TASKS["mnli"], tmp_path / "dev_matched.tsv")
    assert (pairs.texts, pairs.labels.tolist()) == ((("one", "two"),), [1])
    single = load_one(TASKS["cola"], tmp_path / "dev.tsv")
    assert (single.texts, single.labels.tolist()) == ((('one "quoted',), ("two",)), [1, 0])


def test_capitals_in_an_ending_count_for_nothing_and_other_endings_are_refused(
    tmp_path: Path,
) -> None:
    write_csv(tmp_path / "x", reviews())
    (tmp_path / "x.csv").rename(tmp_path / "x.CSV")
    assert load_one(OWN, tmp_path / "x.CSV").labels.tolist() == NUMBERS
    (tmp_path / "x.CSV").rename(tmp_path / "x.xlsx")
    assert complaint(lambda: load_one(OWN, tmp_path / "x.xlsx")) == (
        "expected a file that ends with one of .parquet, .arrow, .csv, .tsv, .jsonl, .json, .txt, "
        f"got {tmp_path / 'x.xlsx'}"
    )


# ---- label names


@pytest.mark.parametrize("write", [write_parquet, write_stream])
def test_a_files_own_label_names_decide_over_its_numbers(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write(tmp_path / "x", reviews(), {"stars": ["pos", "neg", "neutral"]})
    (file,) = tmp_path.iterdir()
    assert load_one(OWN, file).labels.tolist() == [[2, 0, 1][y] for y in NUMBERS]
    columns = {"sentence": ["a", "b"], "label": [0, 1]}
    write(tmp_path / "x", columns, {"label": ["positive", "negative"]})
    assert load_one(TASKS["sst2"], file).labels.tolist() == [1, 0]


def test_a_number_whose_name_is_no_label_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x", reviews(), {"stars": ["pos", "bad", "neutral"]})
    assert complaint(lambda: load_one(OWN, tmp_path / "x.parquet")) == (
        "expected label 0 (neg) or 1 (neutral) or 2 (pos), got stars=1 "
        f"in {tmp_path / 'x.parquet'}, column 'stars', row 2; so are 2 of 6 rows: 2, 4"
    )


def test_other_names_of_a_glue_task_are_read_by_number_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = {"sentence": ["a", "b"], "label": [0, 1]}
    write_parquet(tmp_path / "x", columns, {"label": ["neg", "pos"]})
    assert load_one(TASKS["sst2"], tmp_path / "x.parquet").labels.tolist() == [0, 1]
    assert "read by number: neg as negative, pos as positive" in caplog.text


@pytest.mark.parametrize("form", WRITERS)
def test_labels_that_are_numbers_are_words_and_no_places(form: str, tmp_path: Path) -> None:
    task = own_task("review", None, "stars", ("1", "2", "3"), None)
    columns = reviews() | {"stars": [1, 2, 3, 3.0, 2, 1]}
    assert read(form, task, columns, tmp_path).labels.tolist() == [0, 1, 2, 2, 1, 0]
    columns["stars"][4] = 0
    assert "expected label 1 or 2 or 3, got stars=" in complaint(
        lambda: read(form, task, columns, tmp_path)
    )


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "json", "parquet", "arrow"])
def test_true_and_false_are_words(form: str, tmp_path: Path) -> None:
    task = own_task("review", None, "stars", ("False", "True"), None)
    columns = reviews() | {"stars": [True, False, True, True, False, False]}
    assert read(form, task, columns, tmp_path).labels.tolist() == [1, 0, 1, 1, 0, 0]


# ---- nothing cut, nothing shifted


@pytest.mark.parametrize("form", WRITERS)
def test_fields_of_any_length(form: str, tmp_path: Path) -> None:
    columns = reviews() | {"review": ["x" * 300_000, *TEXTS[1:]]}
    limit = csv.field_size_limit()
    assert len(read(form, OWN, columns, tmp_path).texts[0][0]) == 300_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", 'review,stars\n"a\nb",0\nc\n', "2 fields, got fields=1 in {}, row 2, line 4"),
        ("x.csv", "review,stars\na,0,\n", "2 fields, got fields=3 in {}, row 1, line 2"),
        ("x.tsv", "review\tstars\na\t0\n\nb\n", "2 fields, got fields=1 in {}, row 3, line 4"),
        ("x.tsv", "review\tstars\na\tb\t0\n", "2 fields, got fields=3 in {}, row 1, line 2"),
        ("x.csv", "review,stars,review\na,0,b\n", "different columns, got 'review' twice in {}"),
        ("x.tsv", "stars\tx\tstars\n0\ta\t1\n", "different columns, got 'stars' twice in {}"),
        ("x.jsonl", '{"x": 1, "x": 2}', "different keys, got 'x' twice in {}, row 1"),
        ("x.json", '[{"x": 1, "x": 2}]', "different keys, got 'x' twice in {}"),
        ("x.jsonl", '{"review": ' + "[" * 99_999, "a JSON object, got '{{\"review\": [["),
        ("x.json", '[{"review": "a", "stars": 0}, 3]', "a JSON object, got 3 in {}, row 2"),
        ("x.json", '[{"review": "a", "stars": 0}', "JSON, got none in {}"),
        ("x.json", "[]", "at least one row, got rows=0 in {}"),
        ("x.json", '{"review": {"0": "a"}}', "column 'stars', got columns=review in {}"),
        ("x.csv", "reviews,stars\na,0\n", "columns=reviews, stars in {}: did you mean 'reviews'?"),
        ("x.arrow", "ARROW1 and more", "expected a readable arrow file, got "),
        ("x.arrow", "nothing", "expected a readable arrow file, got "),
    ],
)  # fmt: skip
def test_what_is_no_row_is_refused_with_its_place(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    assert told.format(tmp_path / name) in complaint(lambda: load_one(OWN, tmp_path / name))


def test_a_column_twice_in_parquet_is_refused(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], [0]], names=["review", "review", "stars"])
    pq.write_table(table, tmp_path / "x.parquet")
    assert "got 'review' twice" in complaint(lambda: load_one(OWN, tmp_path / "x.parquet"))


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_a_column_name_that_is_not_utf8_is_refused(form: str, tmp_path: Path) -> None:
    WRITERS[form](tmp_path / "x", reviews() | {"remark": [0] * 6})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"remark", b"re\xffark"))
    told = complaint(lambda: load_one(OWN, file))
    assert told.startswith(f"expected a readable {file.suffix[1:]} file, got ")


def test_a_column_of_no_interest_may_hold_what_python_cannot(tmp_path: Path) -> None:
    far = pa.array([2**60] * 6, pa.timestamp("ms"))
    write_parquet(tmp_path / "x", reviews() | {"when": far})
    assert load_one(OWN, tmp_path / "x.parquet").labels.tolist() == NUMBERS


def test_a_folders_name_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "stars=2"
    folder.mkdir()
    write_parquet(folder / "x", {"review": ["a"]})
    assert "expected column 'stars'" in complaint(lambda: load_one(OWN, folder / "x.parquet"))


def test_quotes_in_tab_separated_text_are_text_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.tsv").write_text('review\tstars\n"a ""b"" c"\t0\n"plain"\t1\n')
    found = load_one(OWN, tmp_path / "x.tsv")
    assert [text for (text,) in found.texts] == ['"a ""b"" c"', '"plain"']
    assert "the quotes around 1 fields are read as text" in caplog.text


@pytest.mark.parametrize("cell", ["9" * 200_000 + "x", '"' * 200_001 + "x", " " * 200_000 + "x"])
def test_a_long_cell_takes_no_long_time(cell: str, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(f"review\tstars\n{cell}\t{cell}\n")
    scores = own_task("review", None, "stars", (), "pearson")
    began = time.process_time()
    for task in (OWN, scores):
        assert "column 'stars', row 1, line 2" in complaint(
            lambda task=task: load_one(task, tmp_path / "x.tsv")
        )
    assert time.process_time() - began < 2


def test_what_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"re\\u001b[2Jview": "a", "\\ud83d": 1}\n')
    assert "got columns=re\\x1b[2Jview, \\ud83d in" in complaint(
        lambda: load_one(OWN, tmp_path / "x.jsonl")
    )


# ---- folders


def saved(folder: Path, columns: Columns, shards: int = 1) -> None:
    """Write one split as `save_to_disk` does."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{shards:05d}" for i in range(shards)]
    for i, name in enumerate(names):
        write_stream(folder / name, {k: each[i::shards] for k, each in columns.items()})
    files = [{"filename": f"{name}.arrow"} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": None}))
    (folder / "dataset_info.json").write_text("{}")


def test_save_to_disk(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        saved(tmp_path / split, reviews(), 2)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    found = load(OWN, str(tmp_path))
    assert list(found) == ["train", "validation"]
    assert found["train"].labels.tolist() == [*NUMBERS[::2], *NUMBERS[1::2]]
    alone = load_one(OWN, tmp_path / "validation")
    assert alone.sha256 == found["validation"].sha256
    assert complaint(lambda: load_one(OWN, tmp_path)) == (
        f"expected one split, as {tmp_path}:train, got splits=train, validation in {tmp_path}"
    )


def test_what_datasets_itself_saves(tmp_path: Path) -> None:
    import datasets

    names = datasets.ClassLabel(names=["pos", "neutral", "neg"])
    features = datasets.Features(
        {"id": datasets.Value("int64"), "review": datasets.Value("string"), "stars": names}
    )
    made = datasets.Dataset.from_dict(reviews(), features)
    datasets.DatasetDict({"train": made, "test": made.select([5, 0])}).save_to_disk(tmp_path / "s")
    found = load(OWN, str(tmp_path / "s"))
    assert found["train"].labels.tolist() == [2 - y for y in NUMBERS]
    assert found["test"].labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    "state",
    [
        '{"_data_files": [{"filename": "../../secret.arrow"}]}',
        '{"_data_files": [{"filename": "/etc/passwd"}]}',
        '{"_data_files": [{"filename": "x\\u0000.arrow"}]}',
        '{"_data_files": [{"filename": "\\ud800.arrow"}]}',
        '{"_data_files": [{"filename": "x.pkl"}]}',
        '{"_data_files": [{"filename": "gone.arrow"}]}',
        '{"_data_files": [3]}',
        '{"_data_files": 3}',
        "[]",
        '{"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}',
    ],
)
def test_a_saved_state_that_points_elsewhere_is_refused(state: str, tmp_path: Path) -> None:
    saved(tmp_path / "s", reviews())
    (tmp_path / "s" / "state.json").write_text(state)
    assert complaint(lambda: load_one(OWN, tmp_path / "s")).startswith("expected ")


@pytest.mark.parametrize("inside", [".", "data", "own", "own/data"])
def test_a_data_set_repository_with_shards_that_bear_hashes(inside: str, tmp_path: Path) -> None:
    folder = tmp_path / inside
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "README.md").write_text("---\n---\n")
    (tmp_path / "own.py").write_text("raise SystemExit('run')\n")
    (tmp_path / "dataset_infos.json").write_text("{}")
    for i in range(2):
        half = {k: each[3 * i : 3 * i + 3] for k, each in reviews().items()}
        write_parquet(folder / f"train-0000{i}-of-00002-{i}123456789abcdef.parquet", half)
    write_parquet(folder / "test-00000-of-00001-0123456789abcdef.parquet", reviews())
    found = load(OWN, str(tmp_path))
    assert list(found) == ["train", "test"]
    assert [text for (text,) in found["train"].texts] == TEXTS
    (folder / "train-00000-of-00002-0123456789abcdef.parquet").unlink()
    assert "expected one file or all shards for train" in complaint(
        lambda: load(OWN, str(tmp_path))
    )


def test_no_link_out_of_the_folder_is_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for each in (inside, outside):
        each.mkdir()
    write_csv(outside / "train", reviews())
    write_csv(inside / "validation", reviews())
    (inside / "train.csv").symlink_to(outside / "train.csv")
    assert complaint(lambda: load(OWN, str(inside))) == (
        f"expected files within {inside}, got a link out of it at {inside / 'train.csv'}"
    )
    (inside / "train.csv").unlink()
    (inside / "train.csv").symlink_to(inside / "validation.csv")
    assert len(load(OWN, str(inside))["train"]) == 6
    (inside / "data").symlink_to(outside)
    assert "got a link out of it" in complaint(lambda: load(OWN, str(inside)))
    assert "got a link out of it" in complaint(lambda: load(OWN, f"{inside}:data"))
    named = tmp_path / "named"
    named.symlink_to(outside)  # whoever names a link means what it leads to
    assert len(load_one(OWN, named / "train.csv")) == 6


def test_a_folder_within_a_directory_is_never_looked_for_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "french").mkdir()
    for split in ("train", "validation"):
        write_csv(tmp_path / "french" / split, reviews())
    assert len(load(OWN, f"{tmp_path}:french")["train"]) == 6
    assert complaint(lambda: load(OWN, f"{tmp_path}:german")).startswith(
        f"expected a directory german in {tmp_path}, got source="
    )
