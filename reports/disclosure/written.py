"""Disclosure files of a run: for an officer, and for a registry."""

from collections.abc import Mapping
from pathlib import Path

from fedbert.disk.writer import sweep, write_whole
from reports.disclosure.facts import Disclosure, disclosure
from reports.disclosure.numbers import as_json
from reports.disclosure.readers import Reader
from reports.disclosure.registry import as_yaml, check_entry, registry_entry
from reports.disclosure.told import as_markdown
from reports.frontier.claims import unclaimed
from reports.frontier.wish import PRIVATE, wish_of
from reports.run_folder import json_of, records_of


def disclosed(run: Path, chosen: Mapping[str, str]) -> Disclosure:
    """The disclosure of one setting of a run; chosen: its labels.

    Raises: ValueError where there are no records, or no such setting.
    """
    records = records_of(run)
    grid = json_of(run / "grid.json")
    wish = wish_of(grid)
    if wish is not None and wish.data == PRIVATE:
        records = unclaimed(records)
    return disclosure(records, grid, chosen)


def write(
    found: Disclosure, reader: Reader, directory: Path, schema: Path | None = None
) -> list[Path]:
    """Write what a reader needs of a disclosure into a directory; return where it is.

    schema: the registry's own, that the entry is held against before it is written.

    Raises: ValueError where words are missing, or the entry does not fit.
    """
    if reader == "officer":
        content = {"disclosure.md": as_markdown(found), "disclosure.json": as_json(found)}
    else:
        entry = registry_entry(found)
        if schema is not None:
            check_entry(entry, schema)
        content = {"registry.yaml": as_yaml(entry)}
    sweep(directory)
    return [
        write_whole(directory / name, text.encode("utf-8"), shared=True)
        for name, text in content.items()
    ]
