"""Names of runs: one folder below `runs/`, wherever the grid comes from."""

import re

from fedbert.errors import InputError

LONGEST = 100
OTHERS = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
"""Characters that separate folders, or that some file system does not take."""
RESERVED = frozenset(
    ("con", "prn", "aux", "nul", "plots", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10)))
)
"""Names of devices on Windows, and the folder of `fedbert-eval plot`."""


def run_name(name: str, where: str) -> str:
    """Return a grid's name if its run can have it for a folder below `runs/`.

    >>> run_name("glue, 3 seeds", "grid.toml")
    'glue, 3 seeds'

    Raises:
        InputError: for separators, "..", an absolute, hidden, reserved or too long name.
    """
    reserved = name.split(".")[0].strip().casefold() in RESERVED
    plain = not OTHERS.search(name) and name.isprintable() and name == name.strip(" .")
    short = len(name.encode("utf-8", "replace")) <= LONGEST
    if not (name and plain and short) or reserved or name.startswith(("-", "~")):
        raise InputError(
            f"{where}: expected a name for one folder below runs/ (at most {LONGEST} bytes; no "
            f"separator, no leading dot, hyphen or tilde, not reserved), got name={name!r}"
        )
    return name
