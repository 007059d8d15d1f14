"""Records at risk through the real command: listed for their owner, or refused in one line."""

import csv
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.auditing.record_list import COLUMNS, HEADER, check_place, write_list
from evaluation.cli.main import main
from evaluation.run.training import read_training, run_training
from fedbert.checkpoint import read
from fedbert.data.sources import load
from fedbert.errors import InputError
from fedbert.seeding import derive

TRAINING = """
seed = 3
[model]
source = "tiny"
tokenizer = "generated"
dropout = 0.0
[data]
task = "sst2"
source = "{source}"
pool_size = 60
evaluation = 20
max_length = 24
clients = 2
hold_out = 0.4
[training]
rounds = 3
local_steps = 3
batch_size = 8
loss_traces = {traces}
"""

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    def make(traces: bool, source: str = "generated") -> Path:
        folder = tmp_path_factory.mktemp("records")
        told = TRAINING.format(traces=str(traces).lower(), source=source)
        (folder / "training.toml").write_text(told)
        settings = read_training(folder / "training.toml", pretraining=False)
        run_training(settings, folder / "out", 3, lambda *_: None)
        return folder / "out" / "checkpoint"

    return make


@pytest.fixture(scope="module")
def traced(made: Made) -> Path:
    return made(traces=True)


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        """Run the audit, the forward view left out."""
        monkeypatch.setattr("evaluation.auditing.card._read_off", lambda *_: [])
        monkeypatch.setattr(sys, "argv", ["fedbert-eval", "audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return int(end.value.code or 0), " ".join(told.out.split()), told.err.strip()

    return call


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_members_are_listed_by_their_traces_for_their_owner_alone(
    traced: Path, tmp_path: Path, audit: Any
) -> None:
    path = tmp_path / "risk.csv"
    path.write_text(HEADER + "\n")  # an earlier list, open to all
    path.chmod(0o644)
    code, said, _ = audit(traced, "--records", path, "--out", tmp_path / "card")
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found, checkpoint = rows_of(path), read(traced)
    assert len(found) == len(checkpoint.manifest["members"])
    assert [int(each["rank"]) for each in found] == list(range(1, len(found) + 1))
    assert {int(each["row"]) - 1 for each in found} == set(checkpoint.manifest["members"])
    spreads = [float(each["loss_iqr"]) for each in found if each["loss_iqr"]]
    assert spreads == sorted(spreads, reverse=True) and max(spreads) > 0
    assert all(float(each["leverage"]) > 0 for each in found)
    assert not any(each["lira"] for each in found)
    assert f"{len(found)} listed by the spread of their losses (LT-IQR)" in said
    assert "how right is not measured: it takes --shadows 16" in said
    for card in (tmp_path / "card").iterdir():
        assert "risk.csv" not in card.read_text() and found[0]["loss_iqr"] not in card.read_text()


def test_without_traces_leverage_goes_on(made: Made, tmp_path: Path, audit: Any) -> None:
    path = tmp_path / "risk.csv"
    _, said, _ = audit(made(traces=False), "--records", path)
    found = rows_of(path)
    levers = [float(each["leverage"]) for each in found]
    assert levers == sorted(levers, reverse=True)
    assert not any(each["loss_iqr"] or each["visits"] for each in found)
    assert "LT-IQR not measured: the training kept no traces" in said


def test_rows_are_those_of_the_source_though_the_pool_is_a_choice_of_them(
    made: Made, tmp_path: Path, audit: Any
) -> None:
    """Of a file with more rows than the pool takes, each row listed is the text of its record."""
    words = load("sst2", "generated", 150, 10, seed=1)["train"]
    lines = ["sentence,label"]
    lines += [f"{t},{y}" for (t,), y in zip(words.texts, words.labels, strict=True)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    checkpoint = made(True, str(tmp_path / "own.csv"))
    path = tmp_path / "risk.csv"
    audit(checkpoint, "--data", tmp_path / "own.csv", "--records", path)
    seed = derive(3, "pool")
    pool = load("sst2", str(tmp_path / "own.csv"), 60, 20, seed)["train"]
    members = read(checkpoint).manifest["members"]
    told = {words.texts[int(each["row"]) - 1] for each in rows_of(path)}
    assert told == {pool.texts[position] for position in members}
    assert [words.texts[row - 1] for row in pool.rows] == list(pool.texts)


def test_shadows_add_lira(traced: Path, tmp_path: Path, audit: Any) -> None:
    path = tmp_path / "risk.csv"
    _, said, _ = audit(traced, "--shadows", 4, "--records", path)
    found = rows_of(path)
    assert 0 < sum(bool(each["lira"]) for each in found) < len(found)  # a quarter is told
    assert "how right is not measured: expected 100 non-members" in said


@pytest.mark.parametrize("where", ["folder", "other", "inside", "link", "below"])
def test_another_place_is_refused_in_one_line_and_left_as_it_is(
    traced: Path, tmp_path: Path, where: str, audit: Any
) -> None:
    path = {
        "folder": tmp_path / "folder",
        "other": tmp_path / "notes.csv",
        "inside": traced / "risk.csv",
        "link": tmp_path / "link.csv",
        "below": tmp_path / "notes.csv" / "risk.csv",
    }[where]
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.csv").write_text("a,b\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "notes.csv")
    code, _, said = audit(traced, "--records", path)
    assert code == 2
    assert "--records" in said and len(said.splitlines()) == 1
    assert (tmp_path / "notes.csv").read_text() == "a,b\n"
    assert not (traced / "risk.csv").exists()


def test_a_list_beside_the_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which may be handed on"):
        check_place(tmp_path / "card" / "risk.csv", (tmp_path / "card",))


def test_a_list_that_is_written_can_be_replaced(tmp_path: Path) -> None:
    columns = {name: np.array([0.5, np.nan]) for name in COLUMNS[1:]} | {"row": np.array([7, 9])}
    path = write_list(tmp_path / "risk.csv", np.array([1, 0]), columns)
    assert path.read_text().splitlines() == [HEADER, "1,9,,,,", "2,7,0.5,0.5,0.5,0.5"]
    check_place(path, ())
