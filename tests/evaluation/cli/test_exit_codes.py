"""Exit codes by real commands: one for each that `evaluation.cli.exit_codes` names."""

import json
from pathlib import Path

import click
import pytest

from evaluation.cli import exit_codes, main
from evaluation.cli.exit_codes import (
    BAD_INPUT,
    BROKEN_PIPE,
    DEFECT,
    FAILED,
    INTERRUPTED,
    MEANINGS,
    OK,
    TOO_WEAK,
)
from fedbert.data.sources import load

BROKEN = """
from dataclasses import dataclass
from privacy.mechanism import ClipOnly

@dataclass(frozen=True)
class Broken(ClipOnly):
    def clip(self, tensor, mask=None):
        raise RuntimeError("broken on purpose")
"""

TRAINING = """
[model]
source = "tiny"
tokenizer = "generated"
[data]
task = "sst2"
source = "generated"
pool_size = 24
evaluation = 8
max_length = 16
clients = 2
[training]
rounds = 1
local_steps = 1
batch_size = 8
"""


def test_codes_are_those_that_scripts_know_and_each_says_what_it_means() -> None:
    codes = {v for k, v in vars(exit_codes).items() if isinstance(v, int) and k.isupper()}
    assert codes == set(MEANINGS) == {0, 1, 2, 3, 4, 130, 141}
    assert all(meaning and "\n" not in meaning for meaning in MEANINGS.values())


def test_a_plan_ends_with_0(here) -> None:
    done = here("audit", "plan", "--epsilon", "1", "--delta", "1e-5", "--canaries", "10")
    assert done.returncode == OK and "largest epsilon with 10" in done.stdout


def test_a_failed_cell_ends_with_1(
    tmp_path: Path, small_text: str, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_cell.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    text = small_text.replace("[0, 1]", "[0]").replace(
        'mechanism = "gaussian", clip_norm = 8.0 }\nlevel = { "smashed.target_epsilon" = [1.0] }',
        'mechanism = "broken_cell:Broken", clip_norm = 8.0 }',
    )
    (tmp_path / "grid.toml").write_text(text)
    done = here("privacy-utility", "grid.toml", "--out", "run", "--allow-code")
    assert done.returncode == FAILED, done.stderr
    assert "failed: RuntimeError: broken on purpose" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit", "nowhere"], "error: expected a checkpoint directory"),
        (["audit"], "Usage: fedbert-eval audit"),
        (["budget", "noise", "--epsilon", "1"], "Missing option '--delta'"),
        (["report", "nowhere"], "error: "),
    ],
)
def test_bad_input_ends_with_2(here, arguments: list[str], words: str) -> None:
    done = here(*arguments)
    assert done.returncode == BAD_INPUT and words in done.stderr


def test_an_audit_that_could_not_measure_ends_with_3(tmp_path: Path, here) -> None:
    (tmp_path / "training.toml").write_text(TRAINING)
    assert here("finetune", "training.toml", "--out", "out").returncode == OK
    texts = load("sst2", "generated", 24, 8, 0)["train"].texts
    rows = [json.dumps({"sentence": text, "label": 1}) for (text,) in texts]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    limits = ("--members", "in.jsonl", "--max-auc", "0.9")
    done = here("audit", "out/checkpoint/model", *limits)
    assert done.returncode == TOO_WEAK and "not measured" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (BrokenPipeError(), BROKEN_PIPE),
        (OSError(), BAD_INPUT),
        (ZeroDivisionError(), DEFECT),  # a code of its own: 1 means that a cell failed
    ],
)
def test_what_comes_from_outside_has_a_code(
    monkeypatch: pytest.MonkeyPatch, here, error: BaseException, code: int
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "commands", {"list": click.Command("list", callback=fails)})
    assert here("list").returncode == code
