"""What may be asked of an audit."""

from pathlib import Path
from typing import Any

import pytest

from evaluation.auditing.adversary import Means
from evaluation.auditing.request import Request
from evaluation.auditing.run_folder import checkpoint_of
from evaluation.auditing.subject import open_subject
from fedbert.errors import InputError


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        (Request, {"claim": (0.0, 1e-5)}, "expected epsilon > 0, got claim=(0.0, 1e-05)"),
        (Request, {"claim": (1.0, 1.0)}, "expected 0 < delta < 1, got claim=(1.0, 1.0)"),
        (Request, {"claim": (float("inf"), 1e-5)}, "claim: expected a finite number, got inf"),
        (Request, {"claim": ("1", 1e-5)}, "claim: expected a number, got '1'"),
        (Request, {"max_auc": 2}, "expected 0 <= max_auc <= 1, got max_auc=2"),
        (Request, {"max_tpr_at_1pct": True}, "expected a number, got max_tpr_at_1pct=true"),
        (Request, {"max_token_recovery": -0.1}, "expected 0 <= max_token_recovery <= 1, got max_"),
        (Request, {"fair_coin": 1}, "expected true or false, got fair_coin=1"),
        (Request, {"memebers": Path("x")}, "unknown key 'memebers': did you mean 'members'?"),
        (Means, {"shadows": 3}, "expected shadows in pairs: 2, 4, ..., got shadows=3"),
        (Means, {"shadows": -2}, "expected shadows >= 0, got shadows=-2"),
        (Means, {"shadows": 1_000_000}, "expected shadows <= 10000, got shadows=1000000"),
        (Means, {"shadows": 2, "references": (Path("x"),)}, "expected --shadows or --reference"),
    ],
)
def test_what_an_audit_cannot_mean_is_refused(kind: Any, asked: Any, expected: str) -> None:
    with pytest.raises(InputError) as error:
        kind(**asked)
    assert str(error.value).startswith(expected) and "\n" not in str(error.value)


def test_edges_of_a_request() -> None:
    asked = Request(claim=(8, 1e-5), max_auc=1, max_token_recovery=0, means=Means(10_000))
    assert asked.claim == (8.0, 1e-5) and asked.means.shadows == 10_000
    assert Means(references=(Path("x"),), cache=Path("y")).references == (Path("x"),)


def test_a_run_and_the_folder_of_a_training_are_told_from_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").touch()
    (tmp_path / "scores.npz").write_bytes(b"PK\x03\x04")  # what else lies there is not the point
    with pytest.raises(
        InputError, match=r"got a run, .*: it keeps records and no model; .*OUT/che"
    ):
        open_subject(tmp_path, None)
    inside = tmp_path / "checkpoint"
    inside.mkdir()
    (inside / "manifest.json").touch()
    assert checkpoint_of(tmp_path) == inside == checkpoint_of(inside)
    (tmp_path / "manifest.json").touch()
    assert checkpoint_of(tmp_path) == tmp_path  # a manifest of its own comes first
