"""Figures of a page, as PNG bytes: the same data, the same bytes."""

import importlib
from typing import Any

from reports.drawing.style import style_of, written

DOTS = {"page": 130, "column": 200}
"""An inch, by width: about 1,100 dots are as wide as a page's text, 800 as a column of two."""


def png(data: Any, by: str, words: str, *rest: str, width: str = "page") -> bytes:
    """A PNG of some data.

    by: what draws it, "module:function" of this folder; words: the same for those who cannot see
    it. width: "column" for a figure that stands beside text.
    """
    module, _, name = by.partition(":")
    style = style_of("screen", width)
    draw = getattr(importlib.import_module(f"reports.drawing.{module}"), name)
    return written(draw(data, *rest, style), style, "png", words, DOTS[width])
