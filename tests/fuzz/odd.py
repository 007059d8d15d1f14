"""Odd values and damaged bytes: what a seeded draw puts in the place of what was right."""

import random
from collections.abc import Callable, Iterator
from typing import Any

WORDS = (
    "", " ", "1", "1.0", "-0", "true", "None", "nan", "é", "e\u0301", "\ufeff", "ß\u0130", "日本",
    "😀", "\u202e", "\x00", "\x1b[2J", "a\nb", "a\rb", 'a"b', "a,b", "a\tb", "=1+1", "../x",
    "neg", "pos", "NEG", " neg ", "x" * 5000, "%s{0}", "[bold]", "/etc/passwd", "a:b",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 8, 10**19, -(10**19), 2**63, 10**400, True, False, 0.0, -0.0, 0.5, 1.0, 1.5,
    1e-320, 1e308, -1e308,
)  # fmt: skip


def nested(depth: int, kind: type = list) -> Any:
    """Return a list or a table within another, so deep."""
    found: Any = 1
    for _ in range(depth):
        found = [found] if kind is list else {"a": found}
    return found


def value(rng: random.Random, none: bool = True) -> Any:
    """Return a value that probably does not belong where it is put."""
    which = rng.randrange(10)
    if which < 4:
        return rng.choice(NUMBERS)
    if which < 7:
        return rng.choice(WORDS)
    if which == 7:
        return rng.choice(([], {}, [1], ["a", "a"], {"a": 1}, [[]], [{}], {"": {}}))
    if which == 8:
        return nested(rng.choice((3, 100)), rng.choice((list, dict)))
    return rng.choice((float("nan"), float("inf"), float("-inf"), *([None] if none else [])))


def alike(kept: Any, rng: random.Random) -> Any:
    """Return a value of the same type, which may well be right."""
    if isinstance(kept, bool):
        return not kept
    if isinstance(kept, int | float):
        return kept * rng.choice((2, 3) if type(kept) is int else (0.5, 0.99, 1.01, 2.0))
    return rng.choice(WORDS) if isinstance(kept, str) else kept


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (holder, key) of a tree of dictionaries and lists."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from places(tree[key])


def change(tree: Any, rng: random.Random, none: bool = True) -> str:
    """Change one place of a tree in itself; return what was done, in a few words."""
    holder, key = rng.choice(list(places(tree)))
    what = rng.choice(("value", "value", "alike", "alike", "drop", "add", "wrap", "word", "number"))
    if what == "drop":
        del holder[key]
    elif what == "add":
        other = rng.choice(("x", "name", "", "key\n", str(key).upper(), f"{key}_"))
        if isinstance(holder, dict):
            holder[other] = value(rng, none)
        else:
            holder.append(rng.choice([holder[key], value(rng, none)]))
    elif what == "alike":
        holder[key] = alike(holder[key], rng)
    elif what == "wrap":
        holder[key] = [holder[key]]
    elif what == "word" and isinstance(holder[key], int | float):
        holder[key] = str(holder[key])
    elif what == "number" and type(holder[key]) is int:
        holder[key] = rng.choice((float(holder[key]), holder[key] + 1, -holder[key]))
    else:
        holder[key] = value(rng, none)
    return f"{what} at {key!r}"


def flip(data: bytes, rng: random.Random) -> bytes:
    """Return bytes of which one has another bit."""
    place = rng.randrange(len(data)) if data else 0
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Return the beginning of some bytes."""
    return data[: rng.randrange(len(data) + 1)]


def drop(data: bytes, rng: random.Random) -> bytes:
    """Return bytes without a few in their midst."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.randrange(1, 9) :]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some put in between."""
    bits = (
        b"\x00",
        b"\xff\xfe",
        b'"',
        b"\r",
        b"\n",
        b",",
        b"\t",
        b"{",
        b"]",
        b"\xef\xbb\xbf",
        b"=",
    )
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(bits) + data[place:]


def twice(data: bytes, rng: random.Random) -> bytes:
    """Return bytes of which one line stands twice."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    return b"\n".join([*lines[: place + 1], *lines[place:]])


def encoded(data: bytes, rng: random.Random) -> bytes:
    """Return a text in another encoding, or with a mark before it."""
    text = data.decode("utf-8", "replace")
    if rng.random() < 0.3:
        return b"\xef\xbb\xbf" + data
    return text.encode(rng.choice(("utf-16", "utf-16-le", "latin-1", "utf-32")), "replace")


def ends(data: bytes, rng: random.Random) -> bytes:
    """Return a text whose lines end otherwise."""
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xe2\x80\xa8")))


def emptied(data: bytes, rng: random.Random) -> bytes:
    """Return next to nothing."""
    return rng.choice((b"", b"\n", b" ", b"\xef\xbb\xbf", b"\x00", b"[]", b"{}", b"null", b"\n\n"))


DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip, cut, drop, insert, twice, encoded, ends, emptied,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return damaged bytes, and by what."""
    how = rng.choice(DAMAGE if data else (emptied,))
    return how(data, rng), how.__name__
