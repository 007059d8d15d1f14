"""Keys of noise: from the operating system, or hashed from a seed and all that makes a run."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from privacy.checks import whole

NoiseMode = Literal["secret", "repeatable"]
Label = str | int

KEY_BYTES = 32  # AES-256
LEAST_KEY_BYTES = 16
FACTS = ("data", "defence", "model", "training")
# BLAKE2 keeps what is hashed for one purpose apart from every other purpose by these names.
STREAM, REPEATABLE = b"noise stream 1", b"noise key 1"
DECISION, PUBLIC = b"noise coins 1", b"noise public 1"
PUBLIC_KEY = bytes(KEY_BYTES)


def secret_key() -> bytes:
    """Return a fresh key from the operating system, which nothing else can give again."""
    return secrets.token_bytes(KEY_BYTES)


def repeatable_key(seed: int, facts: Mapping[str, Any]) -> bytes:
    """Return the key that belongs to one seed and all that makes one run.

    Two runs that differ in any fact share no noise; a run done again has the same. The facts are
    the data's hash, the model's hash, the training's configuration and the defence: JSON values,
    whose mappings may stand in any order. Attacks, reports and paths are none of them. Whoever
    knows or guesses seed and facts has the key: it hides nothing.

    Raises:
        ValueError: a seed that is no integer >= 0, other facts than these four, or a value that
            has no JSON of its own (NaN, infinity, a set, a key that is not a string).
    """
    whole("seed", seed)
    if sorted(facts) != list(FACTS):
        raise ValueError(f"expected facts {', '.join(FACTS)}, got facts={sorted(facts)}")
    text = canonical_json({"seed": seed, "facts": dict(facts)})
    return hashlib.blake2b(text, digest_size=KEY_BYTES, person=REPEATABLE).digest()


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value, so that equal texts mean equal values.

    Raises:
        ValueError: a part of the value is not null, a Boolean, a string, a finite number, a
            sequence, or a mapping whose keys are strings.
    """
    _check_json(value, "facts")
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode()  # a lone surrogate is refused here


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise ValueError(f"expected keys that are strings, got {key!r} in {where}")
            _check_json(each, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            _check_json(each, f"{where}[{position}]")
    elif not (value is None or isinstance(value, str | int | float)):
        raise ValueError(f"expected a JSON value, got {type(value).__name__} in {where}")


def stream_key(key: bytes, labels: Sequence[Label], purpose: bytes = STREAM) -> bytes:
    """Return the AES key of one stream: a keyed hash (BLAKE2b) of its whole label.

    Two labels have two keys: each part is hashed with its type and its length, so that
    ("ab", "c"), ("a", "bc"), ("abc",) and (1,), ("1",) are all different. Keys of different
    purposes are different, too.

    Raises:
        ValueError: a key of fewer than 128 bits, no label, or a part that is no string or integer.
    """
    check_key(key)
    if not labels:
        raise ValueError("expected at least one label, got labels=()")
    pieces = [_encoded(label) for label in labels]
    made = hashlib.blake2b(key=key, digest_size=KEY_BYTES, person=purpose)
    made.update(b"".join(pieces))
    return made.digest()


def check_key(key: bytes) -> None:
    """Raises ValueError unless the key has 128 to 512 bits; the message does not show it."""
    if (
        not isinstance(key, bytes)
        or not LEAST_KEY_BYTES <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE
    ):
        size = len(key) if isinstance(key, bytes) else type(key).__name__
        raise ValueError(f"expected a key of {LEAST_KEY_BYTES} to 64 bytes, got size={size}")


def _encoded(label: Label) -> bytes:
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise ValueError(f"expected labels that are strings or integers, got label={label!r}")
    kind, text = (b"s", label) if isinstance(label, str) else (b"i", str(label))
    body = text.encode()
    return kind + len(body).to_bytes(8, "big") + body
