"""Provenance of a result: commit, versions, threads."""

import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("fedbert-privacy", "torch", "transformers", "opacus", "dp-accounting", "numpy")


def provenance() -> dict[str, Any]:
    """Return commit, whether the tree was dirty (None outside a checkout), versions and threads."""
    import torch

    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(status),
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in PACKAGES},
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache  # a process runs the code that it began with, and asks for every cell and checkpoint
def _git(*arguments: str) -> str | None:
    """Return git's answer about the checkout that this file is part of, or None."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
