"""Drawings of a run that are there already: the same data and code, so the same bytes, kept."""

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

INDEX = "drawn.json"
"""The file beside the figures: by name, the hash of what it shows and that of its bytes."""


class Drawn:
    """The figures of a folder, each drawn only where it shows something else than the one there.

    What it shows is its data, the code of `reports`, and matplotlib's version. lagging: nothing is
    drawn, and what is there will do, whatever it shows; nothing is b"". note: goes into each file
    besides its words: that noise can be made again.
    """

    def __init__(self, folder: Path, lagging: bool = False, note: str = "") -> None:
        """Look at what is there; a file that was changed by another hand does not count."""
        self.folder, self.lagging, self.note = folder, lagging, note
        self.before = _index(folder / INDEX)
        self.now: dict[str, dict[str, str]] = {}

    def png(
        self, name: str, data: Any, by: str, words: str, *rest: str, width: str = "page"
    ) -> bytes:
        """Return the figure of this name: as `reports.drawing.screen.png` draws the rest."""
        if self.lagging:
            path = self.folder / f"{name}.png"
            return path.read_bytes() if name in self.before and path.is_file() else b""
        told = f"{words} {self.note}".strip()
        shown = hashlib.sha256()
        for piece in _pieces((_code(), by, data, (told, *rest), width)):
            shown.update(piece)
        found = self._kept(name, shown.hexdigest())
        if found is None:
            from reports.drawing.screen import png

            found = png(data, by, told, *rest, width=width)
        self.now[name] = {"shows": shown.hexdigest(), "sha256": _sha256(found)}
        return found

    def index(self) -> bytes:
        """Return what is to stand in the index."""
        return (json.dumps(self.now, indent=1, sort_keys=True) + "\n").encode()

    def _kept(self, name: str, shows: str) -> bytes | None:
        """Return a file's bytes where they are those of this figure."""
        told = self.before.get(name)
        path = self.folder / f"{name}.png"
        if not isinstance(told, Mapping) or told.get("shows") != shows or not path.is_file():
            return None
        content = path.read_bytes()
        return content if _sha256(content) == told.get("sha256") else None


def _index(path: Path) -> Mapping[str, Any]:
    """Return what the index says; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _version(package: str) -> bytes:
    """Return the file that says which version of a package this is, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ImportError(f"expected {package}, which draws, got none")
    return Path(found.origin).with_name("_version.py").read_bytes()


@cache
def _code() -> str:
    """Return a hash of all that a drawing depends on besides its data."""
    here = Path(__file__).parent
    every = hashlib.sha256(_version("matplotlib"))
    for path in sorted(here.rglob("*.py")):
        every.update(str(path.relative_to(here)).encode() + b"\0" + path.read_bytes())
    return every.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    """Yield a value in bytes that no other value of its kind has."""
    if dataclasses.is_dataclass(value):
        yield type(value).__qualname__.encode()
        yield from _pieces([getattr(value, each.name) for each in dataclasses.fields(value)])
    elif hasattr(value, "dtype"):  # an array: numpy is there, and nowhere else imported for it
        yield f"{value.dtype}{value.shape}:".encode() + value.tobytes()
    elif isinstance(value, Mapping):
        yield from _pieces(list(value.items()))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield f"[{len(value)}".encode()
        for each in value:
            yield from _pieces(each)
    else:
        told = repr(value).encode()
        yield f"{len(told)}:".encode() + told


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
