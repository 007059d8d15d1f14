"""Terminal output: foreign text as it is, its control characters in words, no markup in it.

Names of files, labels, cells and messages of errors come from elsewhere. After `guard` whatever
is written to the standard streams passes `harmless`; `console` makes rich do the same.
"""

import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

CONTROLS = re.compile(
    r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    r"\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What moves the cursor, colours, rings, reorders a line or cannot be written."""


def harmless(text: str) -> str:
    r"""Return a text with its control characters as escapes; line ends and tabs stay.

    >>> harmless("\x1b[2Jsst2\n"), harmless("caf\xe9 \u202egnp.exe")
    ('\\x1b[2Jsst2\n', 'café \\u202egnp.exe')
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Return a harmless text that cannot pass for several lines.

    >>> one_line("a\nverdict: consistent")
    'a\\nverdict: consistent'
    """
    return harmless(text).replace("\r", "\\r").replace("\n", "\\n")


_hushed = False


def hush(on: bool = True) -> None:
    """Say nothing from now on but what is said always; or say all again."""
    global _hushed
    _hushed = on


def say(text: str, err: bool = False, always: bool = False) -> None:
    """Print one line. always: though the command was asked to be quiet."""
    if always or not _hushed:
        print(one_line(text), file=sys.stderr if err else sys.stdout, flush=True)


TICK = 1.0
"""Seconds between two looks at the clock."""


@contextmanager
def working(text: str, seconds: float | None = None) -> Iterator[None]:
    """Say on a terminal what is being done for the block's time; elsewhere nothing is written.

    The line says for how long it has been done, and with `seconds` (what it took before) how long
    it will take; it goes when the block ends, or under the next one that is written.
    """
    stream = sys.stderr
    if _hushed or not stream.isatty():
        yield
        return
    raw = stream.rich_proxied_file if isinstance(stream, Guarded) else stream
    began, done = time.monotonic(), threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            raw.write(f"{one_line(text)} ... {_clock(time.monotonic() - began, seconds)}\x1b[K\r")
            raw.flush()

    raw.write(f"{one_line(text)} ...\r")
    raw.flush()
    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()
        raw.write("\x1b[K")  # the cursor stands at the line's begin
        raw.flush()


def _clock(gone: float, seconds: float | None) -> str:
    """Return the seconds that have gone, and about how many are left where that is known.

    >>> _clock(3.2, None), _clock(3.2, 20.0), _clock(30.0, 20.0)
    ('3 s', '3 s, about 17 s left', '30 s, longer than before')
    """
    told = f"{gone:.0f} s"
    if seconds is None:
        return told
    left = seconds - gone
    return f"{told}, about {left:.0f} s left" if left > 0 else f"{told}, longer than before"


class Guarded:
    """A text stream that everything is written to in its harmless form."""

    def __init__(self, stream: TextIO) -> None:
        """Guard a stream."""
        self.rich_proxied_file = stream  # where a Console of rich writes its own colours

    def write(self, text: str) -> int:
        """Write a text in its harmless form."""
        self.rich_proxied_file.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines in their harmless form."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has."""
        return getattr(self.rich_proxied_file, name)


def guard() -> None:
    """Guard the standard streams of this process from now on, until it ends."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Guarded):
            setattr(sys, name, Guarded(stream))


def cell(text: str) -> "Text":
    """Return a text for a table of rich: harmless before it is measured, and without markup."""
    from rich.text import Text

    return Text(harmless(text))


def console(width: int | None = None, stderr: bool = False) -> "Console":
    """Return a console of rich that reads no markup in texts, and shows them in harmless form."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Harmless(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(harmless(segment.text), segment.style)

    return Harmless(
        width=width, stderr=stderr, quiet=_hushed, markup=False, emoji=False, highlight=False
    )
