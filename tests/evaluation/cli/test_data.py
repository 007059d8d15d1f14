"""`fedbert-eval data`: what it shows, and that what it prints can be trained on."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.parse import grid_from
from fedbert.config import Config, DataConfig
from fedbert.data.survey import label_counts
from fedbert.prepare import examples_of

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--tokenizer", "generated", "--max-length", "8")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    lines = [f"good film {'now ' * (i % 9)},{i % 3 + 1},{i}" for i in range(30)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["review,stars,id", *lines]))
    return path


def section(out: str) -> dict[str, Any]:
    """Return what the command prints to be copied into a grid."""
    return tomllib.loads(out[out.index("tasks = ") :])


def test_what_lies_in_a_file_is_shown_and_can_be_copied(here: Run, reviews: Path) -> None:
    done = here("data", reviews.name, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "'1' 10, '2' 10, '3' 10" in done.stdout and "numbers" in done.stdout
    assert "(there is one split: the seed keeps 20% of its texts to judge on)" in done.stdout
    assert "max_length 8 cuts 40.0% of the texts" in done.stdout
    copied = section(done.stdout)
    assert copied == {
        "tasks": ["own"],
        "data": {
            "source": "reviews.csv",
            "text": "review",
            "label": "stars",
            "labels": ["1", "2", "3"],
            "max_length": 8,
        },
    }
    assert len(grid_from(copied, "FILE", "g").cells) == 1


def test_columns_and_labels_by_name(here: Run, reviews: Path) -> None:
    named = ("--text", "review", "--label", "id")
    done = here("data", reviews.name, *SMALL, *named, "--labels", ",".join(map(str, range(30))))
    assert section(done.stdout)["data"]["labels"] == [str(i) for i in range(30)]
    wrong = here("data", reviews.name, *SMALL, "--label", "star")
    assert wrong.returncode == 2 and wrong.stderr == (
        "error: expected a column of review, stars, id, got 'star': did you mean 'stars'?\n"
    )
    wrong = here("data", reviews.name, *SMALL, "--labels", "1,2")
    told = "expected label 1 or 2, got stars='3' in reviews.csv, column 'stars', row 3, line 4"
    told += "; so are 10 of 30 rows: 3, 6, 9, 12, 15 and 5 more"
    assert wrong.returncode == 2 and wrong.stderr == f"error: {told}\n"
    reviews.write_text(reviews.read_text() + "\n,1,30\n")
    wrong = here("data", reviews.name, *SMALL)
    told = "expected text, got review='' in reviews.csv, column 'review', row 31, line 32"
    assert wrong.returncode == 2 and wrong.stderr == f"error: {told}\n"
    reviews.write_text(reviews.read_text() + "good,1,31\n \t,2,32\n")
    wrong = here("data", reviews.name, *SMALL)
    assert wrong.returncode == 2 and wrong.stderr == f"error: {told}; so are 2 of 33 rows: 31, 33\n"
    (line,) = (line for line in wrong.stdout.splitlines() if line.split()[:2] == ["review", "text"])
    assert line.split()[3] == "2"  # missing


def test_persons_are_shown_and_their_column_can_be_copied(here: Run, tmp_path: Path) -> None:
    rows = [f"good film {'now ' * (i % 9)}{i},{i % 11},author {i // 3}" for i in range(30)]
    (tmp_path / "x.csv").write_text("\n".join(["review,kind,author", *rows]))
    done = here("data", "x.csv", *SMALL, "--group", "author")
    assert "persons: 8 in train with 3 rows (median), 3 at most; 2 in validation" in done.stdout
    assert "the seed keeps 20% of its persons to judge on" in done.stdout
    copied = section(done.stdout)
    assert copied["data"]["group"] == "author" and copied["data"]["label"] == "kind"
    (cell,) = grid_from(copied, "FILE", "g").cells
    assert cell.config.data.group == "author"
    wrong = here("data", "x.csv", *SMALL, "--group", "autor")
    assert wrong.returncode == 2 and "got 'autor': did you mean 'author'?" in wrong.stderr
    wrong = here("data", "x.csv", *SMALL, "--group", "author", "--task", "sst2")
    assert wrong.returncode == 2 and "group with task own alone" in wrong.stderr


def test_fractions_are_scores_and_glue_is_read_as_such(here: Run, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        "".join(f'{{"text": "good film {i}", "score": {i / 4}}}\n' for i in range(8))
    )
    done = here("data", "x.jsonl", *SMALL)
    assert section(done.stdout)["data"]["metric"] == "pearson"
    assert "labels of train: scores from 0" in done.stdout
    (tmp_path / "x.csv").write_text("sentence,label\na,1\nb,0\n")
    done = here("data", "x.csv", "--task", "sst2", *SMALL)
    assert "negative" in done.stdout and section(done.stdout)["tasks"] == ["sst2"]
    wrong = here("data", "nowhere.csv", *SMALL)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


@pytest.mark.parametrize("group", [(), ("--group", "id")])
def test_the_split_is_that_of_a_run_of_the_seed(
    here: Run, reviews: Path, group: tuple[str, ...]
) -> None:
    """Also of persons, where rows are theirs: label counts are those that a run has."""
    for seed in (0, 5):
        done = here("data", reviews.name, *SMALL, *group, "--seed", seed)
        assert done.returncode == 0, done.stderr
        assert f"split as a run of seed {seed} splits it" in done.stdout
        copied = section(done.stdout)
        data = copied["data"] | {"source": str(reviews), "labels": tuple(copied["data"]["labels"])}
        found, _ = examples_of(Config(data=DataConfig(task="own", **data), seed=seed))
        counts = {split: label_counts(each) for split, each in found.items()}
        for name in data["labels"]:
            told = " ".join([name, *(str(each[name]) for each in counts.values())])
            assert told in [" ".join(line.split()) for line in done.stdout.splitlines()], told
    first, second = (here("data", reviews.name, *SMALL, "--seed", s).stdout for s in (0, 5))
    assert first.splitlines()[:4] == second.splitlines()[:4] and first != second
