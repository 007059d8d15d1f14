"""Run key: known to a run folder alone, so that a hash kept there settles nothing for others.

A plain hash of the data tells whoever has two data sets which of them it was. A keyed one (HMAC)
tells only whoever has the key as well. It stays in the run folder, in a file of its own: a manifest
that is passed on settles nothing.
"""

import hashlib
import hmac
import secrets
from pathlib import Path

from fedbert.disk.writer import write_whole
from fedbert.errors import InputError

FILE = "run.secret"
BYTES = 32


def run_key(folder: Path) -> bytes:
    """Return the key of a run folder, made where there is none.

    Raises:
        InputError: for a file that is no key.
    """
    found = key_of(folder)
    if found is None:
        found = secrets.token_bytes(BYTES)
        write_whole(folder / FILE, found)
    return found


def key_of(folder: Path) -> bytes | None:
    """Return the key of a run folder; None where there is none.

    Raises:
        InputError: for a file that is no key.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found = path.read_bytes()
    if len(found) != BYTES:
        raise InputError(f"expected a key of {BYTES} bytes, got {len(found)} in {path}")
    return found


def keyed(key: bytes, text: str) -> str:
    """Return the keyed hash of a text, 64 hexadecimal digits.

    >>> keyed(bytes(32), "data") == keyed(bytes(32), "data") != keyed(bytes([1] * 32), "data")
    True
    """
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
