"""Readers of a disclosure, and the labels by which its setting is chosen."""

from typing import Literal

Reader = Literal["officer", "registry"]
READERS: tuple[Reader, ...] = ("officer", "registry")
OPTIONS = ("task", "model", "strategy", "defence", "level")
