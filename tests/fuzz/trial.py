"""Trials: one input each, what a strict reader says of it, and what the product did."""

import io
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from evaluation.cli.main import main
from fedbert.errors import InputError

LIMIT = 20.0
"""Seconds after which a call counts as hung."""


class WrongError(Exception):
    """What a strict reader raises: the input is none, and why."""


class HungError(BaseException):
    """The call took longer than `LIMIT`; no handler of the product's catches it."""


@dataclass(frozen=True)
class Verdict:
    """What a strict reader says. accepted: None where either answer is right, but no fault.

    rows: what an accepted input holds; None where that is not compared.
    """

    accepted: bool | None
    rows: Any = None
    why: str = ""


EITHER = Verdict(None)


@dataclass(frozen=True)
class Trial:
    """One input: what was done to a valid one, the call that reads it, and the verdict.

    folder: where the input lies; after a refusal nothing else may lie there.
    """

    told: str
    call: Callable[[], Any]
    verdict: Verdict
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: accepted or refused, and what is wrong with that, if anything."""

    accepted: bool
    fault: str = ""


def verdict_of(read: Callable[[], Any]) -> Verdict:
    """Return the verdict of a strict reader."""
    try:
        return Verdict(True, read())
    except WrongError as error:
        return Verdict(False, why=str(error))


def judged(trial: Trial, limit: float = LIMIT) -> Outcome:
    """Return what the product did with a trial, held against the verdict."""
    before = _listing(trial.folder)
    try:
        with _limited(limit):
            rows = trial.call()
    except InputError as error:
        return _refused(trial, str(error), before)
    except HungError:
        return Outcome(False, f"hung: over {limit:g} s")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        lines = traceback.format_exc().strip().splitlines()
        place = next((x.strip() for x in reversed(lines) if x.strip().startswith("File")), "")
        return Outcome(False, f"traceback: {type(error).__name__}: {error} at {place}"[:500])
    if trial.verdict.accepted is False:
        return Outcome(True, f"silently accepted, though {trial.verdict.why}"[:500])
    if trial.verdict.rows is not None and rows != trial.verdict.rows:
        return Outcome(True, f"other rows: {rows!r}, not {trial.verdict.rows!r}"[:800])
    return Outcome(True)


def _refused(trial: Trial, told: str, before: set[Path]) -> Outcome:
    """Return what is wrong with a refusal: of a good input, without a word, or with litter."""
    if trial.verdict.accepted:
        return Outcome(False, f"refused, though it is right: {told}"[:500])
    if not told.strip():
        return Outcome(False, "a refusal without a word")
    left = sorted(_listing(trial.folder) - before)
    if left:
        return Outcome(False, f"left behind: {', '.join(path.name for path in left)}")
    return Outcome(False)


def _listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `HungError` where the block takes longer; another's alarm goes on afterwards."""

    def hung(*_: Any) -> None:
        raise HungError

    earlier = signal.signal(signal.SIGALRM, hung)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        spent = seconds - signal.setitimer(signal.ITIMER_REAL, 0)[0]
        signal.signal(signal.SIGALRM, earlier)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - spent, 0.01))


def command(*arguments: object) -> str:
    """Return what a command prints, run in this process as `fedbert-eval` would be.

    Raises:
        InputError: for an exit code of 2 with exactly one line of error.
        RuntimeError: for any other end but 0.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = ["fedbert-eval", *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
    errors = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    if code == 2 and len(errors) == 1 and err.getvalue().splitlines()[-1] == errors[0]:
        raise InputError(errors[0])
    if code != 0:
        raise RuntimeError(f"exit {code}, {len(errors)} errors: {err.getvalue()[-300:]!r}")
    return out.getvalue()
