"""Places of data: which of them can be seen not to be there, without anything being opened."""

from pathlib import Path

from fedbert.errors import InputError, nearest, nearest_place

FORMS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".txt")
"""Endings of files of data."""
GENERATED, PERSONAL = "generated", "generated:personal"
OURS = ("embedded", GENERATED, PERSONAL)


def refuse_task(task: str) -> None:
    """Raise InputError for a task that the embedded sentences are not of."""
    if task not in ("sst2", "mlm"):
        raise InputError(f"expected task sst2 or mlm for source 'embedded', got {task=}")


def is_path(source: str) -> bool:
    """Return whether a name can be a place on this machine alone, and no name on the hub.

    >>> is_path("./bert"), is_path("a/b/c"), is_path("prajjwal1/bert-tiny")
    (True, True, False)
    """
    absolute = Path(source).is_absolute() or source.startswith((".", "~"))
    return absolute or source.count("/") > 1 or not source


def refuse_missing(source: str, own: bool = False) -> None:
    """Raise InputError for a source that is none of ours, no folder or file, and no hub name.

    own: it is read as somebody's own columns, which nothing generates.
    """
    if source in OURS and not (own and source == GENERATED):
        return
    folder = Path(source).expanduser()
    above, _, inside = source.rpartition(":")
    if folder.is_dir() or folder.is_file():
        return
    if above and inside and Path(above).expanduser().is_dir():  # never handed to `datasets`
        if (Path(above).expanduser() / inside).is_dir():
            return
        raise InputError(f"expected a directory {inside} in {above}, got {source=}")
    if source == GENERATED or folder.suffix.lower() in FORMS:
        near = nearest_place(folder)
        raise InputError(f"expected a directory or file that exists, got {source=}{near}")
    if folder.is_absolute() or is_path(source):
        near = nearest_place(folder)
        raise InputError(f"expected a directory that exists, got {source=}{near}")
    here = [] if "/" in source else [path.name for path in Path().iterdir() if path.is_dir()]
    near = nearest(source, [*here, *OURS])
    if near:  # a slip of the pen rather than a data set of the hub
        raise InputError(f"expected a directory that exists, got {source=}{near}")
