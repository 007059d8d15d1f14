"""Tutorial: its commands parse, its files are read, its numbers are those of the run beside it."""

import re
import shutil
from pathlib import Path

import pytest

from evaluation.cli.grid_commands import show
from evaluation.grid.parse import read_grid
from evaluation.run.frontier import read_frontier
from evaluation.run.training_file import read_training
from tests.evaluation.cli.test_help import parse

PAGE = Path("docs/tutorial.md")
RUN = Path("docs/tutorial/first")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_commands_parse_and_files_are_made_before_they_are_named() -> None:
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    assert len(lines) == 12
    for line in lines:
        name, *words = line.split()
        assert name == "fedbert-eval"
        parse(words)


def test_grid_search_and_training_are_read_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, wish, train = blocks("toml")
    assert first == (RUN / "grid.toml").read_text(encoding="utf-8")
    head = first.split("[[defences]]")[0].replace("seeds = [0]", "seeds = [0, 1, 2]")
    monkeypatch.chdir(tmp_path)
    for name, text in (("first", first), ("wish", head + wish), ("train", train)):
        Path(f"{name}.toml").write_text(text)
    (code,) = blocks("python")
    exec(compile(code, "tutorial", "exec"), {"__name__": "tutorial"})
    assert len(Path("reviews.csv").read_text().splitlines()) == 1201
    assert len(read_grid(Path("first.toml"), False).cells) == 3
    assert read_frontier(Path("wish.toml"), False).wish.adversary == "release"
    assert read_training(Path("train.toml"), False).config.data.hold_out == 0.5


def test_what_the_page_shows_is_what_the_run_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RUN, tmp_path / "first")
    show(tmp_path / "first")
    printed = " ".join(capsys.readouterr().out.split())
    for text in blocks("text"):
        for line in text.splitlines():
            assert " ".join(line.split()) in printed, line
    prose = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "at most 21.5 % of members at epsilon 8, 2.0 % at epsilon 1" in prose
    for allowed in ("0.215", "0.020"):
        assert f"TPR at 1 % FPR at most {allowed}" in (tmp_path / "first" / "table.md").read_text()
