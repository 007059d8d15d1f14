"""Parts that commands share: threads that wait without spinning."""

import os
import subprocess
import sys

import pytest

from evaluation.cli import main as module
from evaluation.cli.shared import patient

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_wait_patiently_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str]
) -> None:
    others = {name: value for name, value in os.environ.items() if name not in NAMES}
    monkeypatch.setattr("os.environ", others | own)
    patient()

    found = {name: os.environ[name] for name in NAMES if name in os.environ}
    assert found == (own or {"OMP_WAIT_POLICY": "passive"})


def test_the_command_line_says_so_before_torch_is_there() -> None:
    """In a process of its own, and before any command runs; torch reads it once, when it loads."""
    code = (
        "import os, sys, evaluation.cli.main as c\n"
        "c.cli.main = lambda **_: print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])\n"
        "c.main()"
    )
    others = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=others)
    assert done.stdout.split() == ["False", "passive"], done.stderr
    assert module.patient is patient
