import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.cli.main import main

SMALL = """
name = "small"
tasks = ["sst2"]
seeds = [0, 1]
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 60
evaluation = 20
max_length = 16
clients = 2
[training]
rounds = 2
local_steps = 1
batch_size = 8
[attacks]
messages = 2
candidates = 20
[[defences]]
name = "none"
[[defences]]
name = "gaussian"
smashed = { mechanism = "gaussian", clip_norm = 8.0 }
level = { "smashed.target_epsilon" = [1.0] }
"""


@pytest.fixture
def small_grid(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def small_text() -> str:
    return SMALL


@pytest.fixture
def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.getcwd()}


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, run in this process: torch is imported already."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["fedbert-eval", *map(str, arguments)]
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(sys, "argv", command)
            patch.chdir(tmp_path)
            main()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return subprocess.CompletedProcess(command, code or 0, *capsys.readouterr())

    return run
