"""Damaged files beside the records, and arrays of another kind, are refused by name."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.grid.launches import Launches
from evaluation.run.files import note
from evaluation.run.journal import Journal
from fedbert.errors import InputError
from reports.run_folder import json_of
from reports.scores import read_scores, read_signals

GOOD: dict[str, Any] = {
    "a/scores": np.linspace(0, 1, 400), "a/members": np.arange(400) < 200, "a/seed": np.array(3),
    "signals/losses": np.random.default_rng(0).random(400),
}  # fmt: skip


def packed(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "cell.npz", packed(GOOD)
    refused = 0
    for place in range(0, len(whole), 17):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        for reader in (read_scores, read_signals):
            try:
                reader(path)
            except ValueError as error:
                refused += 1
                assert "cell.npz" in str(error)
    assert refused > 20


@pytest.mark.parametrize("seed", [np.zeros(3), np.array("x"), np.array(1e300 * 1e300)], ids=str)
def test_a_seed_that_is_none_is_refused(tmp_path: Path, seed: Any) -> None:
    path = tmp_path / "cell.npz"
    path.write_bytes(packed({**GOOD, "a/seed": seed}))
    with pytest.raises(ValueError, match=r"expected scores of attacks, got .*cell.npz"):
        read_scores(path)


DEEP, DIGITS = "[" * 100_000, '{"of": ' + "9" * 5000 + "}"


@pytest.mark.parametrize("text", [DEEP, DIGITS, "", "[]"], ids=["deep", "digits", "none", "list"])
def test_launches_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "launches.json"
    path.write_text(text)
    with pytest.raises(InputError, match="expected launches"):
        Journal(path, "x").read()
    Journal(path, "x").write(Launches())
    assert Journal(path, "x").read() == Launches()


@pytest.mark.parametrize("text", [DEEP, DIGITS, "{"], ids=["deep", "digits", "cut"])
def test_a_file_beside_the_records_that_is_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "partition.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"expected JSON, got .*partition.json"):
        json_of(path)
    note(path, "sst2", {"0": {"negative": 3}})  # what cannot be read is begun anew
    assert json.loads(path.read_text()) == {"sst2": {"0": {"negative": 3}}}
