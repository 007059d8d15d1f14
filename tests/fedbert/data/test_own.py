"""Somebody's own data: columns and labels by name, one split made two, what is said before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import encode
from fedbert.data.columns import classes_of, columns_of, label_of, text_of
from fedbert.data.examples import Examples, from_tables
from fedbert.data.sources import HELD_OUT, halves, load, load_one
from fedbert.data.survey import essentials, texts_in_words
from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.model import generated_tokenizer
from fedbert.prepare import prepare
from fedbert.tasks import TASKS, Task, own_task, with_columns

WORDS = ("bad", "fair", "good", "great", "superb")


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def write(path: Path, rows: list[tuple[Any, ...]], header: str = "review,stars") -> str:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def own(**settings: Any) -> DataConfig:
    return DataConfig(**{"task": "own", "text": "review", "label": "stars", **settings})


# ---- the task


def test_classes_where_labels_are_named_and_scores_where_none_are() -> None:
    task = own(labels=WORDS).chosen_task
    assert (task.kind, task.num_labels, task.metrics) == ("classification", 5, ("accuracy",))
    assert (task.columns, task.label, task.label_names) == (("review",), "stars", WORDS)
    scores = own(pair="title").chosen_task
    assert (scores.kind, scores.num_labels, scores.metrics) == ("regression", 1, ("pearson",))
    assert scores.columns == ("review", "title")


@pytest.mark.parametrize(
    ("labels", "metric", "expected"),
    [
        (WORDS, "macro_f1", ("macro_f1", "accuracy")),
        (WORDS, "matthews", ("matthews", "accuracy")),
        (WORDS, "accuracy", ("accuracy",)),
        (("no", "yes"), "f1", ("f1", "accuracy")),
        ((), "spearman", ("spearman", "pearson")),
    ],
)
def test_a_metric_by_name_is_the_headline(
    labels: tuple[str, ...], metric: str, expected: tuple[str, ...]
) -> None:
    assert own(labels=labels, metric=metric).chosen_task.metrics == expected


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"text": None}, "expected text = the column of the texts for task own, got none"),
        ({"pair": "review"}, "expected different columns, got review, review, stars"),
        ({"label": "review"}, "expected different columns, got review, review"),
        ({"labels": ("one",)}, "expected labels that differ, two at least, got labels=['one']"),
        ({"labels": ("1", "1.0")}, "expected labels that differ, two at least, got labels="),
        ({"labels": WORDS, "metric": "f1"}, "expected macro_f1 for 5 labels, got metric='f1'"),
        ({"labels": WORDS, "metric": "pearson"}, "accuracy, macro_f1, f1, matthews for 5 la"),
        ({"metric": "accuracy"}, "expected one of pearson, spearman for scores (no labels are nam"),
        ({"metric": "macrof1"}, "got metric='macrof1': did you mean 'macro_f1'?"),
        ({"task": "sst2"}, "expected text with task own alone, got text='review' with task 'sst2'"),
        ({"task": "sst2", "text": None}, "expected label with task own alone, got label='stars'"),
        ({"task": "mlm"}, "expected label with task own alone, got label='stars' with task 'mlm'"),
        ({"labels": ("", "b")}, "expected a text that is not empty, got ''"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_meant(settings: dict[str, Any], told: str) -> None:
    assert told in complaint(lambda: own(**settings))


def test_labels_may_be_written_as_numbers() -> None:
    made: Any = own(labels=(1, 2.0, "3.5"))  # type: ignore[arg-type]
    assert made.labels == ("1", "2", "3.5")


def test_a_training_without_such_columns_is_written_as_before_there_were_any() -> None:
    """Ids of cells, repeatable noise and checkpoints of earlier runs stay what they were."""
    assert list(Config().to_json()["data"]) == [
        "task", "source", "pool_size", "evaluation", "max_length", "clients", "partition", "alpha",
        "hold_out",
    ]  # fmt: skip
    written = Config(data=own(labels=WORDS)).to_json()["data"]
    assert {k: written[k] for k in ("text", "label", "labels")} == {
        "text": "review",
        "label": "stars",
        "labels": list(WORDS),
    }
    assert not {"pair", "metric"} & set(written)


def test_masked_lm_reads_the_column_that_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [("one", "a"), ("two", "b")], "review,title")
    task = DataConfig(task="mlm", text="review", source=source).chosen_task
    found = load(task, source)
    assert {text for each in found.values() for (text,) in each.texts} == {"one", "two"}
    assert "did you mean 'review'?" in complaint(
        lambda: load(DataConfig(task="mlm", text="revue").chosen_task, source)
    )


# ---- labels


def test_few_whole_numbers_are_classes_or_scores_only_by_a_word(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [(f"text {i}", i % 3 + 8) for i in range(9)])
    assert complaint(lambda: load(own().chosen_task, source)) == (
        'expected labels = ["8", "9", "10"] in [data], or metric = "pearson" for scores, got '
        f"neither for the column 'stars' in {source}"
    )
    asked = load(own(metric="pearson").chosen_task, source)
    labels = np.concatenate([each.labels for each in asked.values()])
    assert labels.dtype == np.float32 and set(labels) == {8.0, 9.0, 10.0}
    write(tmp_path / "x.csv", [(f"text {i}", i / 4) for i in range(9)])
    assert len(load(own().chosen_task, source)["train"]) == 7


@pytest.mark.parametrize("cell", ["nan", "inf", "1e39", "1_0", "٣", "", "0x1"])
def test_scores_that_are_none(cell: str, tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [("one", 0.5), ("two", cell)])
    told = f"expected a finite score, got stars={cell!r} in {source}, column 'stars', row 2, line 3"
    assert complaint(lambda: load(own(metric="pearson").chosen_task, source)) == told


@pytest.mark.parametrize("blank", ["", " ", " \t\u00a0"])
def test_a_text_without_a_word_is_refused_with_its_row(blank: str, tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [("one", 1), (blank, 2), ("two", 1)])
    told = f"expected text, got review={blank!r} in {source}, column 'review', row 2, line 3"
    task = own(labels=("1", "2")).chosen_task
    assert complaint(lambda: load(task, source)) == told
    assert complaint(lambda: load_one(task, Path(source))) == told
    read = with_columns(TASKS["sst2"], "review", None, "stars")  # audit --text --label
    assert complaint(lambda: load_one(read, Path(source))) == told


def test_a_blank_second_text_and_a_blank_one_of_glue_are_texts(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [("one", " ", 1), ("two", "", 2)], "review,title,stars")
    task = own(pair="title", labels=("1", "2")).chosen_task
    assert load_one(task, Path(source)).texts == (("one", " "), ("two", ""))
    source = write(tmp_path / "y.csv", [(" ", 1), ("two", 0)], "sentence,label")
    assert load_one(TASKS["sst2"], Path(source)).texts == ((" ",), ("two",))
    same = with_columns(TASKS["sst2"], "sentence", None, None)
    assert load_one(same, Path(source)).texts == ((" ",), ("two",))


def test_words_for_scores_are_shown_as_the_labels_to_name(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [("one", "pos"), ("two", "neg")])
    assert complaint(lambda: load(own().chosen_task, source)) == (
        f"expected a finite score, got stars='pos' in {source}, column 'stars', row 1, line 2; "
        'so are 2 of 2 rows: 1, 2: for classes labels = ["neg", "pos"] in [data]'
    )


def test_own_columns_of_sources_that_have_none() -> None:
    assert "got source='generated'" in complaint(lambda: load(own().chosen_task, "generated"))
    assert "got task='own'" in complaint(lambda: load(own().chosen_task, "embedded"))
    assert complaint(lambda: load(own().chosen_task, "no_such.csv")) == (
        "expected a directory or file that exists, got source='no_such.csv'"
    )


# ---- one split


def test_one_split_is_divided_by_the_seed_with_equal_texts_on_one_side(tmp_path: Path) -> None:
    rows = [(f"text {i % 50}", i % 5) for i in range(100)]
    source = write(tmp_path / "x.csv", rows)
    task = own(labels=("0", "1", "2", "3", "4")).chosen_task
    first, again, other = (load(task, source, seed=seed) for seed in (3, 3, 4))
    assert list(first) == ["train", "validation"]
    assert {split: len(each) for split, each in first.items()} == {"train": 80, "validation": 20}
    sides = [set(each.texts) for each in first.values()]
    assert not sides[0] & sides[1] and len(sides[1]) == HELD_OUT * 50
    assert first["validation"].sha256 == again["validation"].sha256
    assert first["validation"].sha256 != other["validation"].sha256
    assert [each.held_out for each in first.values()] == [False, True]
    (tmp_path / "notes.md").write_text("")
    assert load(task, str(tmp_path), seed=3)["train"].sha256 == first["train"].sha256
    assert len(load(task, source, evaluation=5)["validation"]) == 5


def test_a_single_text_cannot_be_divided() -> None:
    twice = from_tables(own(labels=("0", "1")).chosen_task, [_table(["a", "a"], [0, 1])])
    assert complaint(lambda: halves(twice, "validation", 0)) == (
        "expected two texts to split, got 1 in x.csv"
    )


def test_a_test_split_judges_where_there_is_no_validation(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.csv", [(f"{split} {i}", i % 2) for i in range(4)])
    task = own(labels=("0", "1")).chosen_task
    assert list(load(task, str(tmp_path))) == ["train", "test"]
    write(tmp_path / "valid.csv", [("valid", 1)])
    assert list(load(task, str(tmp_path))) == ["train", "validation"]


# ---- what is said


def _table(texts: list[str], labels: list[Any], origin: str = "x.csv") -> Table:
    return Table(origin, {"review": texts, "stars": labels})


def _examples(task: Task, texts: list[str], labels: list[Any]) -> Examples:
    return from_tables(task, [_table(texts, labels)])


def test_the_essentials_count_labels_repeats_and_what_is_cut() -> None:
    task = own(labels=WORDS).chosen_task
    long = " ".join(["good"] * 10)
    examples = {
        "train": _examples(task, ["good", "good", long, "bad film"], ["good", "good", "great", 0]),
        "validation": _examples(task, ["good", "film", long + " film", "film"], [0, 1, 2, 3]),
    }
    tokenizer = generated_tokenizer()
    encoded = {name: encode(each, tokenizer, 8) for name, each in examples.items()}
    assert essentials(examples, encoded, 8) == (
        "data: train 4 rows, validation 4 rows",
        "labels of train: bad 1, fair 0, good 2, great 1, superb 0",
        "repeats: 1 of train repeat a row before them; "
        "1 of validation repeat a row before them, 1 stand in train",
        "texts: 1 text stands in several rows, up to 2: a claim about a record covers one "
        "([data] records_per_user = 2 gives one for all)",
        "max_length 8 cuts 25.0% of the texts",
    )
    assert encoded["train"].cut is not None
    assert encoded["train"].take([2, 0]).cut.tolist() == [True, False]  # type: ignore[union-attr]


def test_a_text_in_several_pairs_is_counted_once_for_each() -> None:
    rows = (("a", "b"), ("a", "c"), ("e", "a"), ("d", "d"), ("c", "f"))
    task = TASKS["rte"]
    told = texts_in_words(Examples(task, rows, np.zeros(5), ""))
    assert told.startswith("2 texts stand in several rows, up to 3: a claim about a record covers")
    owned = Examples(task, rows, np.zeros(5), "", people=("x",) * 5)
    assert "records_per_user" not in texts_in_words(owned)
    assert texts_in_words(Examples(task, rows[3:], np.zeros(2), "")) == ""
    assert texts_in_words(Examples(TASKS["mlm"], (("a",), ("a",)), np.zeros(2), "")) == ""


def test_pairs_are_cut_where_both_together_are_too_long() -> None:
    task = own_task("review", "stars", "y", ("0", "1"), None)
    table = Table("x", {"review": ["a b c", "a"], "stars": ["d e f", "d"], "y": [0, 1]})
    encoded = encode(from_tables(task, [table]), generated_tokenizer(), 8)
    assert encoded.cut is not None and encoded.cut.tolist() == [True, False]


def test_a_preparation_says_the_essentials(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [(f"good film {i}", i / 10) for i in range(20)])
    model = ModelConfig(source="tiny", tokenizer="generated")
    prepared = prepare(Config(model, own(source=source, clients=1, metric="pearson")))
    assert prepared.notes[0] == (
        "data: train 16 rows, validation 4 rows (there is one split: the seed keeps 20% of its "
        "texts to judge on)"
    )
    assert prepared.notes[1].startswith("labels of train: scores from 0")
    assert prepared.task.kind == prepared.split.head.kind == "regression"


# ---- a first look


def test_columns_of_text_and_label_are_found() -> None:
    columns = columns_of(
        [
            Table(
                "x.csv",
                {
                    "id": [str(i) for i in range(12)],
                    "title": ["short", "", "words"] * 4,
                    "body": [f"a long text, number {i}" for i in range(12)],
                    "kind": ["b", "a", "10", "9"] * 3,
                },
            )
        ]
    )
    assert [each.holds for each in columns] == ["numbers", "text", "text", "text"]
    assert (columns[1].cells, columns[1].missing, columns[1].different) == (8, 4, 2)
    assert text_of(columns, None) == "body" and text_of(columns, "title") == "title"
    assert label_of(columns, None, ["body", "title"]) == "kind"
    assert classes_of(columns, "kind") == ("9", "10", "a", "b")
    assert "did you mean 'title'?" in complaint(lambda: text_of(columns, "titel"))


def test_a_usual_name_wins_and_fractions_are_scores() -> None:
    cells = {"t": list("abcd"), "k": [1, 1, 2, 2], "Score": [0.5, 1, 2, 3]}
    columns = columns_of([Table("x", cells)])
    assert label_of(columns, None, ["t"]) == "Score"
    assert classes_of(columns, "Score") == () and classes_of(columns, "k") == ("1", "2")


def test_columns_that_hold_no_text_or_label() -> None:
    numbers = columns_of([Table("x", {"a": [1, 2], "b": [None, 3]})])
    assert complaint(lambda: text_of(numbers, None)) == (
        "expected a column of texts, got columns=a, b"
    )
    texts = columns_of([Table("x", {"t": [f"text {i}" for i in range(60)]})])
    assert "name it with --label" in complaint(lambda: label_of(texts, None, ["t"]))
    assert "got 60 different values in column 't'" in complaint(lambda: classes_of(texts, "t"))


def test_label_names_of_a_file_are_its_words() -> None:
    (column,) = columns_of([Table("x", {"y": [0, 1, 1, None]}, {"y": ("no", "yes")})])
    assert column.words == {"no": 1, "yes": 2} and column.missing == 1


def test_the_audits_files_may_call_their_columns_otherwise(tmp_path: Path) -> None:
    """What `audit --text --pair --label` asks for: the task stays, its columns are others."""
    source = Path(write(tmp_path / "x.csv", [("one", "two", 2)], "a,b,y"))
    read = with_columns(TASKS["mnli"], "a", "b", "y")
    assert load_one(read, source).texts == (("one", "two"),)
    assert load_one(read, source).labels.tolist() == [2]
    assert (read.name, read.label_names) == ("mnli", TASKS["mnli"].label_names)
    assert with_columns(TASKS["mnli"], None, None, "y").columns == ("premise", "hypothesis")
    assert "expected the column of the first text as well" in complaint(
        lambda: with_columns(TASKS["mnli"], None, "b", None)
    )
    assert "expected different columns, got a, a" in complaint(
        lambda: with_columns(TASKS["sst2"], "a", None, "a")
    )
