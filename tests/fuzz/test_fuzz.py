"""A sample of the fuzz finds nothing, and the fuzz itself finds what is planted."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedbert.data import delimited
from tests.fuzz import rows, strict_checkpoint, strict_grid
from tests.fuzz.__main__ import main, run, summary
from tests.fuzz.cases import KINDS, kind_of
from tests.fuzz.trial import Trial, Verdict, WrongError, command, judged

SAMPLE = 150


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_has_no_fault(kind: str) -> None:
    """Seeded, so that it is the same sample each time."""
    found = run(7, [number for number in range(SAMPLE) if kind_of(number) == kind])
    assert [(told, each.fault) for _, _, told, each in found if each.fault] == []
    assert {each.accepted for *_, each in found} == {True, False}


def test_the_same_number_is_the_same_case() -> None:
    first, again = (run(3, [11, 12]) for _ in range(2))
    assert first == again and first != run(4, [11, 12])


@pytest.mark.parametrize(
    "planted",
    [
        lambda header, row: {"review": ["x"], "stars": ["neg"]},
        lambda header, row: {}["nothing"],
        lambda header, row: [0][row],
    ],
    ids=["accepts a bad row", "KeyError", "TypeError"],
)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], planted: Callable[..., Any]
) -> None:
    """A reader that takes any rows, or falls over, is told of with the number to repeat it."""
    real = delimited.Table

    def faulty(origin: str, columns: dict[str, list[Any]], **more: Any) -> Any:
        found = planted(columns, "row")
        return real(origin, found)

    monkeypatch.setattr(delimited, "Table", faulty)
    found = run(7, range(0, 40, len(KINDS)))
    faults = [number for number, _, _, each in found if each.fault]
    assert faults
    assert summary(found).row_count == len(KINDS) + 1
    assert main(["--seed", "7", "--only", str(faults[0])]) == 1
    assert f"--seed 7 --only {faults[0]}: data" in capsys.readouterr().out


def _outcome(call: Callable[[], Any], verdict: Verdict, folder: Path) -> str:
    return judged(Trial("planted", call, verdict, folder), limit=0.2).fault


def test_each_kind_of_fault_is_told(tmp_path: Path) -> None:
    def hangs() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    def litters() -> None:
        (tmp_path / "half").write_text("")
        command("schema", "gird")

    right, wrong = Verdict(True, [1]), Verdict(False, why="it is cut")
    refuses = lambda: command("schema", "gird")  # noqa: E731
    assert _outcome(hangs, right, tmp_path).startswith("hung")
    assert _outcome(lambda: {}["a"], wrong, tmp_path).startswith("traceback: KeyError")
    assert _outcome(lambda: [1], wrong, tmp_path) == "silently accepted, though it is cut"
    assert _outcome(lambda: [2], right, tmp_path) == "other rows: [2], not [1]"
    assert _outcome(refuses, right, tmp_path).startswith("refused, though it is right")
    assert _outcome(refuses, wrong, tmp_path) == ""
    assert _outcome(litters, wrong, tmp_path) == "left behind: half"


@pytest.mark.parametrize(
    "text", ['a,b\n"x,y\n', 'a,b\n"x"y,1\n', "a,b\n1\n", "a,a\n1,2\n"], ids=repr
)
def test_the_strict_reader_refuses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(WrongError):
        rows.table(path)


def test_the_strict_reader_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n"x ""y"", z",1\r\n\r\n"two\nlines",\r')
    expected = [{"a": 'x "y", z', "b": "1"}, {"a": "two\nlines", "b": ""}]
    assert rows.table(path) == expected


def test_strict_readers_of_settings_and_tensors_refuse(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    for text in ("tasks = []", 'tasks = ["sst2", "sst2"]', 'tasks = ["sst2"]\nseeds = [true]'):
        path.write_text(text)
        with pytest.raises(WrongError):
            strict_grid.points(path)
    path.write_text('tasks = ["sst2"]')
    assert strict_grid.points(path) == [("sst2", "parallel", 0, "none", "-", 0)]
    for data in (b"", bytes(8), (2).to_bytes(8, "little") + b"{}x", random.Random(0).randbytes(40)):
        with pytest.raises(WrongError):
            strict_checkpoint.tensors(data)
