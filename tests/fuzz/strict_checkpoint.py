"""Strict reader of checkpoints: manifest, hashes and the header of the tensors, by hand."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from tests.fuzz.strict_records import every, filled, number, shape, some, table, text
from tests.fuzz.trial import WrongError

SIZES = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _hash(value: Any) -> bool:
    return text(value) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _round(value: Any) -> bool:
    return whole(value) and value <= 1_000_000


def _launch(value: Any) -> bool:
    return some(whole)(value) and len(value) == 3


def _defence(value: Any) -> bool:
    delta = value.get("delta", 1e-5) if table(value) else None
    return type(delta) is float and 0 < delta < 1


MANIFEST = shape(
    {"format": lambda value: value == "fedbert-privacy checkpoint", "config": table,
     "version": lambda value: type(value) is int and value == 1, "round": _round,
     "sha256": every(_hash), "plain": table, "bytes": every(whole), "losses": some(number),
     "members": some(whole), "defence": _defence, "costs": some(table),
     "manifest_sha256": _hash},
    {"guarantees": some(table), "launches": some(_launch), "pool": whole,
     "coin": lambda value: value in ("text", "row") if text(value) else False,
     "data_hmac": _hash, "data_sha256": _hash, "provenance": table},
    closed=False,
)  # fmt: skip


def content_hash(manifest: dict[str, Any]) -> str:
    """Return the hash of a manifest's content, its own apart."""
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    packed = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(packed.encode()).hexdigest()


def essence(directory: Path) -> tuple[Any, ...]:
    """Return round, losses, members and the names and shapes of a checkpoint's tensors."""
    manifest = _manifest(directory / "manifest.json")
    files = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    if files != {*manifest["sha256"], "manifest.json"}:
        raise WrongError("other files than those of the manifest")
    for name, expected in manifest["sha256"].items():
        path = directory / name
        if path.resolve() != directory.resolve() / name:
            raise WrongError(f"{name} leads elsewhere")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise WrongError(f"{name} has another hash")
    shapes = tensors((directory / "state.safetensors").read_bytes())
    losses = [float(each) for each in manifest["losses"]]
    return manifest["round"], losses, manifest["members"], shapes


def _manifest(path: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    try:
        found = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        raise WrongError(f"no manifest: {error}") from None
    told = table(found) and {"data_hmac", "data_sha256"} & found.keys()
    if not MANIFEST(found) or not _finite(found) or not told:
        raise WrongError("a manifest of other types")
    if found["manifest_sha256"] != content_hash(found):
        raise WrongError("a manifest of another hash")
    return dict(found)


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_finite, inside))


def tensors(data: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise WrongError("no safetensors: the header is cut")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError):
        raise WrongError("no safetensors: the header is no JSON") from None
    if not table(header):
        raise WrongError("no safetensors: the header is no object")
    header.pop("__metadata__", None)
    spans = []
    for name, each in header.items():
        one = shape(
            {"dtype": filled, "shape": some(whole), "data_offsets": some(whole)}, {}, closed=False
        )
        if not one(each) or each["dtype"] not in SIZES or len(each["data_offsets"]) != 2:
            raise WrongError(f"no safetensors: {name}")
        start, end = each["data_offsets"]
        if end - start != math.prod(each["shape"]) * SIZES[each["dtype"]]:
            raise WrongError(f"no safetensors: {name} of another size")
        spans.append((start, end))
    spans.sort()
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or ends[-1] != len(data) - 8 - length:
        raise WrongError("no safetensors: holes or overlaps")
    return {name: tuple(each["shape"]) for name, each in header.items()}
