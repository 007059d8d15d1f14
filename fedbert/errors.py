"""Errors of input: one line that says what was expected, what was found, and the nearest name."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """The user's input is at fault; the message is one line: expected, found, where."""


def expect(condition: bool, expected: str, name: str, value: object) -> None:
    """Raise InputError "expected ..., got name=value" unless the condition holds."""
    if not condition:
        raise InputError(f"expected {expected}, got {name}={shown(value)}")


def shown(value: object) -> str:
    """Return a value as messages print it: true and false as TOML and JSON write them.

    >>> shown(True), shown([1, False]), shown({"a": True}), shown("True")
    ('true', '[1, false]', "{'a': true}", "'True'")
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {shown(each)}" for key, each in value.items()) + "}"
    return repr(value)


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put a place, such as a file or a section of it, before what the block refuses.

    >>> with within("mine.toml"), within("data"):
    ...     raise InputError("expected clients >= 1, got clients=0")
    Traceback (most recent call last):
    fedbert.errors.InputError: mine.toml: data: expected clients >= 1, got clients=0
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def nearest(name: object, known: Iterable[str]) -> str:
    """Return ": did you mean ...?" with the known name nearest to one, or nothing.

    >>> nearest("sst-2", ["cola", "sst2"]), nearest("x", ["cola"])
    (": did you mean 'sst2'?", '')
    """
    found = difflib.get_close_matches(str(name), list(known), 1)
    return f": did you mean {found[0]!r}?" if found else ""


def nearest_place(path: Path) -> str:
    """Return the same with the nearest of what lies beside a path that is not there, or nothing."""
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except OSError:
        return ""
    found = difflib.get_close_matches(path.name, beside, 1)
    return f": did you mean {path.parent / found[0]}?" if found else ""


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return the line about a key that does not exist.

    >>> unknown_key("batchsize", ["rounds", "batch_size"])
    "unknown key 'batchsize': did you mean 'batch_size'? allowed: rounds, batch_size"
    """
    allowed = list(known)
    near = nearest(name, allowed)
    return f"unknown key {name!r}{near or ';'} allowed: {', '.join(allowed) or 'none'}"
