"""Readers of a disclosure."""

from typing import Literal

Reader = Literal["officer", "registry"]
READERS: tuple[Reader, ...] = ("officer", "registry")
