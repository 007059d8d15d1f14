"""Manifests of other types are refused in a line, however well they are hashed."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedbert.errors import InputError
from fedbert.manifest_types import SHOWN, check_types, read_json
from fedbert.paths import within

HASH = "0" * 64
MAYBE = ("guarantees", "launches", "pool", "coin", "data_sha256")
GOOD: dict[str, Any] = {
    "config": {"training": {"rounds": 4}}, "round": 4, "sha256": {"model/config.json": HASH},
    "plain": {}, "bytes": {"SmashedData": 3}, "losses": [0.5, 1, 0.25, 0.1], "data_sha256": HASH,
    "members": [0, 2, 3], "defence": {"name": "none"}, "costs": [{}], "guarantees": [{}],
    "launches": [[0, 1, 4]], "pool": 4, "coin": "text",
}  # fmt: skip


def test_what_is_written_is_taken_and_what_older_versions_lack_may_lack() -> None:
    check_types(GOOD, Path("m"))
    few = {key: value for key, value in GOOD.items() if key not in MAYBE}
    check_types(few | {"data_hmac": HASH}, Path("m"))
    check_types({key: GOOD[key] for key in SHOWN}, Path("m"), exported=True)
    with pytest.raises(InputError, match="expected key 'data_hmac'"):
        check_types(few, Path("m"))


@pytest.mark.parametrize("key", [key for key in GOOD if key not in MAYBE])
def test_a_missing_entry_is_named(key: str) -> None:
    with pytest.raises(InputError, match=f"expected key '{key}' in the manifest, got none in m"):
        check_types({name: value for name, value in GOOD.items() if name != key}, Path("m"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", []), ("round", "4"), ("round", True), ("round", -1), ("round", 1_000_001),
        ("round", 10**19), ("sha256", {"a": 5}), ("sha256", ["a"]), ("sha256", {"a": "0"}),
        ("plain", None), ("bytes", {"a": 1.5}), ("losses", 3), ("losses", ["1"]),
        ("losses", [float("nan")]), ("data_sha256", ""), ("members", {}), ("members", [-1]),
        ("members", ["1"]), ("defence", "none"), ("defence", {"delta": 1}),
        ("defence", {"delta": [0.1]}),
        ("defence", {"delta": "0.1"}), ("defence", {"delta": float("nan")}), ("costs", {}),
        ("costs", [[]]), ("guarantees", 1), ("guarantees", [1]), ("launches", [[0, 1]]),
        ("launches", [1]), ("launches", [[0, 1, "4"]]), ("pool", [4]), ("pool", -1), ("coin", 1),
    ],
    ids=str,
)  # fmt: skip
def test_another_type_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"expected .*, got {key}=.* in m"):
        check_types({**GOOD, key: value}, Path("m"))


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 50_000, b'{"round": ' + b"9" * 5000 + b"}", b'{"a": 1, "a": 2}',
     b'{"a": NaN}', '{"a": 1}'.encode("utf-16"), b"", b'{"a": "\xff"}'],
    ids=["lists", "tables", "digits", "twice", "NaN", "UTF-16", "empty", "bytes"],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected JSON, got"):
        read_json(path)


def test_strict_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(GOOD))
    assert read_json(path) == GOOD


def test_a_path_that_no_system_has_lies_nowhere(tmp_path: Path) -> None:
    assert not within(tmp_path, tmp_path / "a\x00b")
