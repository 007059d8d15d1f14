"""Fuzzed command lines: options out of range, unknown, without a value, and odd paths."""

import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.evaluation.conftest import SMALL
from tests.fuzz.checkpoints import template
from tests.fuzz.records import record
from tests.fuzz.trial import EITHER, Trial, Verdict, command

NO_NUMBER = ("nan", "inf", "-inf", "abc", "", "--", "1,5", "0x10", "1..2", "--epsilon", "[1]")
NO_WHOLE = (*NO_NUMBER, "1.5", "1e3", "-1", "1/2")
EXTREME = (
    "1e308",
    "1e-320",
    "9" * 30,
    "1e-17",
    " 1 ",
    "1_0",
    "\u0661",
    "0.0000001",
    "999999999",
    "1e18",
)
PATHS = ("missing", "", ".", "folder", "empty", "x" * 5000, "/dev/null", "missing/below",
         "empty/below", "grid.toml\n", "~nobody/x", "\udcff", "records")  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command, what it needs, and for each option values that are right and wrong.

    dear: it trains or draws where nothing is wrong, so it is only ever called wrongly.
    files: what stands for each of its arguments.
    """

    words: tuple[str, ...]
    good: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bad: dict[str, tuple[str, ...]] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    dear: bool = False


DELTA = ("0", "1", "1.5", "-1e-5", *NO_NUMBER)
POSITIVE = ("0", "-1", *NO_NUMBER)
COMMANDS = (
    Command(("list",)),
    Command(("schema", "grid")),
    Command(
        ("budget", "noise"),
        {"--epsilon": ("1", "8.0", "1e-1"), "--delta": ("1e-5", "0.01"), "--releases": ("1", "30"),
         "--clip-norm": ("1", "0.5"), "--relation": ("replace-one", "add-or-remove-one")},
        {"--epsilon": POSITIVE, "--delta": DELTA, "--releases": ("0", *NO_WHOLE),
         "--clip-norm": POSITIVE, "--relation": ("Replace", "", "none"),
         "--records": ("0", *NO_WHOLE), "--accountant": ("rdp2", ""), "--steps": ("5",),
         "--sample-rate": ("0.1",), "--advantage": ("0.1", "0", "1", *NO_NUMBER),
         "--tpr-at-1pct": ("0.05", "0.01", "1", *NO_NUMBER)},
        ("--epsilon", "--delta"),
    ),
    Command(
        ("budget", "epsilon"),
        {"--noise-multiplier": ("1", "4.5"), "--delta": ("1e-5",), "--releases": ("2",)},
        {"--noise-multiplier": POSITIVE, "--delta": DELTA, "--releases": ("0", *NO_WHOLE),
         "--accountant": ("PLD", "x"), "--records": ("-5", "0", *NO_WHOLE),
         "--records-per-user": ("-5", "0", "10001", *NO_WHOLE)},
        ("--noise-multiplier", "--delta"),
    ),
    Command(
        ("audit", "plan"),
        {"--epsilon": ("1", "8"), "--delta": ("1e-5",), "--canaries": ("100", "1000")},
        {"--epsilon": POSITIVE, "--delta": DELTA, "--canaries": ("0", "3", *NO_WHOLE),
         "--steps": ("5",), "--sample-rate": ("0.1",)},
        ("--epsilon", "--delta"),
    ),
    Command(("audit", "self-test"), {}, {"--repeats": ("9", "0", *NO_WHOLE)}, dear=True),
    Command(
        ("data",), {}, {"--max-length": ("7", "513", *NO_WHOLE), "--task": ("sst3", "", "own2"),
        "--text": ("nope",), "--label": ("nope",), "--labels": ("a", "a,a", "")},
        files=("data.csv",), dear=True,
    ),
    Command(("report",), files=("run",), dear=True),
    Command(
        ("plot",), {}, {"--figure": ("rock", "", "roc,"), "--format": ("jpeg", "", "svg;pdf"),
        "--style": ("dark", ""), "--width": ("84", ""), "--table": ("word", "")},
        files=("run",), dear=True,
    ),
    Command(("compare",), files=("run",), dear=True),
    Command(
        ("privacy-utility",), {}, {"--workers": ("0", *NO_WHOLE), "--out": ("empty", "empty/x")},
        files=("grid.toml",), dear=True,
    ),
    Command(("budget", "views"), files=("grid.toml",), dear=True),
    Command(("finetune",), {"--out": ("new",)}, {"--out": ("empty",), "--every": ("0", *NO_WHOLE)},
            ("--out",), ("grid.toml",), dear=True),
    Command(("pretrain",), {"--out": ("new",)}, {"--out": ("empty",), "--every": ("0", *NO_WHOLE)},
            ("--out",), ("grid.toml",), dear=True),
    Command(
        ("audit", "run"), {},
        {"--claim": ("", "8", "8,1e-5,1", "nan,1e-5", "-1,1e-5", "8,2", "a,b", "inf,nan", "8;1e-5"),
         "--max-auc": ("abc", "", "1.5", "-1", "nan"), "--shadows": ("-2", *NO_WHOLE),
         "--task": ("sst3",)},
        files=("checkpoint",), dear=True,
    ),
)  # fmt: skip


def make(rng: random.Random, folder: Path) -> Trial:
    """Return a command line that is right, or wrong in one way."""
    for name in ("folder", "run"):
        (folder / name).mkdir()
    (folder / "empty").write_text("")
    (folder / "grid.toml").write_text(SMALL)
    (folder / "data.csv").write_text("review,stars\ngood,1\nbad,0\nfine,1\npoor,0\n")
    (folder / "run" / "records.jsonl").write_text(json.dumps(record(rng, "done", 0)) + "\n")
    chosen = rng.choice(COMMANDS)
    if "checkpoint" in chosen.files:
        shutil.copytree(template(), folder / "checkpoint")
    options = {name: rng.choice(values) for name, values in chosen.good.items()
               if name in chosen.needed or rng.random() < 0.5}  # fmt: skip
    files = [str(folder / name) for name in chosen.files]
    ways = ("bad", "bad", "unknown", "missing", "more", "value", "extreme", "path", "good")
    how = rng.choice(ways)
    line, verdict, told = _line(rng, folder, chosen, options, files, how)
    if verdict.accepted is not False and chosen.dear:
        line, verdict, told = (
            [*chosen.words, *files, "--nope"],
            Verdict(False, why="--nope"),
            "nope",
        )
    return Trial(f"{' '.join(chosen.words)}: {told}", lambda: _run(line), verdict, folder)


def _run(line: list[str]) -> None:
    command(*line)


def _line(
    rng: random.Random, folder: Path, chosen: Command, options: dict[str, str], files: list[str],
    how: str,
) -> tuple[list[str], Verdict, str]:  # fmt: skip
    """Return the arguments, whether they are right, and what was done to them."""
    good, more = Verdict(True), []
    if how == "bad" and chosen.bad:
        name = rng.choice(list(chosen.bad))
        options = {**options, name: rng.choice(chosen.bad[name])}
        good, how = Verdict(False, why=f"{name} {options[name]!r}"), f"{name}={options[name]!r}"
    elif how == "unknown":
        flags = ("--nope", "-x", "--epsilonn=1", "--allow_code", "-", "---", "--=", "--é")
        more = [rng.choice(flags)]
        good = Verdict(False, why=f"{more}")
        if more == ["-"]:
            good = EITHER if files or not chosen.good else good
    elif how == "missing" and (chosen.needed or files):
        if chosen.needed:
            options.pop(rng.choice(chosen.needed))
        optional = chosen.words[0] in ("privacy-utility", "finetune", "pretrain")
        good = EITHER if optional else Verdict(False, why="something is missing")
        files = []
    elif how == "more":
        more = ["one", "two"]
        good = Verdict(False, why="arguments too many")
    elif how == "value" and options:
        more = [rng.choice(list(options))]
        good = Verdict(False, why="an option without a value")
    elif how == "extreme" and options:
        name = rng.choice(list(options))
        options[name], good = rng.choice(EXTREME), EITHER
        how = f"{name}={options[name]!r}"
    elif how == "path" and files:
        odd = rng.choice(PATHS)
        files = [odd if odd in ("", ".", "/dev/null") or odd[0] == "~" else str(folder / odd)]
        good, how = Verdict(False, why=f"path {odd[:30]!r}"), f"path {odd[:30]!r}"
    if "--out" in options:
        options["--out"] = str(folder / options["--out"])
    pairs = [part for name, value in options.items() for part in _pair(name, value, rng)]
    arguments = [*files, *pairs] if rng.random() < 0.5 else [*pairs, *files]
    return [*chosen.words, *arguments, *more], good, f"{how} {more or ''}"


def _pair(name: str, value: str, rng: random.Random) -> list[str]:
    return [f"{name}={value}"] if rng.random() < 0.3 else [name, value]
