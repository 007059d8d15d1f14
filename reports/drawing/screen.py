"""Figures of a page, as PNG bytes: the same data, the same bytes."""

import importlib
from typing import Any

from reports.drawing.style import style_of, written

DOTS = 130
"""An inch: about 1,100 dots are as wide as a page's text."""


def png(data: Any, by: str, words: str, *rest: str) -> bytes:
    """A PNG of some data. by: what draws it, "module:function" of this folder; words: the same."""
    module, _, name = by.partition(":")
    style = style_of("screen", "page")
    draw = getattr(importlib.import_module(f"reports.drawing.{module}"), name)
    return written(draw(data, *rest, style), style, "png", words, DOTS)
