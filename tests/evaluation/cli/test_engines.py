"""Engines as the command line names them: what is refused, and what is chosen."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.cli import main as command
from evaluation.run.on_ray import engine


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end:
        sys.argv = ["fedbert-eval", *arguments]
        command.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize("name", ["privacy-utility", "frontier"])
def test_without_ray_there_is_one_line(
    small_grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    code, line = told([name, str(small_grid), "--engine", "ray"], capsys)
    assert code == 2 and line.count("\n") == 1 and engine.HOW in line


def test_settings_of_ray_without_it_are_refused(
    small_grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--address=auto", "--cpus-per-cell=2", "--gpus-per-cell=0.25"):
        code, line = told(["privacy-utility", str(small_grid), option], capsys)
        named = option.partition("=")[0]
        assert (code, line) == (2, f"error: expected {named} with --engine ray, got it without\n")


def test_no_command_imports_ray_unasked() -> None:
    text = "import sys, evaluation.cli.grid_commands, evaluation.run.on_ray.engine as e; "
    text += "print([m for m in ('ray', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
