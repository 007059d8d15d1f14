"""Disclosure files of a run: for an officer, and for a registry."""

import json
from collections.abc import Mapping
from pathlib import Path

from fedbert.disk.writer import sweep, write_whole
from reports.disclosure.facts import disclosure
from reports.disclosure.readers import Reader
from reports.disclosure.registry import as_yaml, check_entry, registry_entry
from reports.disclosure.told import as_json, as_markdown
from reports.frontier.claims import unclaimed
from reports.frontier.wish import PRIVATE, wish_of
from reports.records import RECORDS, read_records


def disclose(
    run: Path, reader: Reader, chosen: Mapping[str, str], schema: Path | None
) -> list[Path]:
    """Write what a reader needs of one setting of a run into its directory; return where it is.

    chosen: the labels of the setting. schema: the registry's own, that the entry is held against
    before it is written.

    Raises: ValueError where there are no records, no such setting, or words are missing.
    """
    records = read_records(run / RECORDS)
    place = run / "grid.json"
    try:
        grid = json.loads(place.read_text("utf-8")) if place.is_file() else None
    except ValueError as error:
        raise ValueError(f"expected JSON, got {error} in {place}") from None
    wish = wish_of(grid)
    if wish is not None and wish.data == PRIVATE:
        records = unclaimed(records)
    found = disclosure(records, grid, chosen)
    sweep(run)
    if reader == "officer":
        content = {"disclosure.md": as_markdown(found), "disclosure.json": as_json(found)}
    else:
        entry = registry_entry(found)
        if schema is not None:
            check_entry(entry, schema)
        content = {"registry.yaml": as_yaml(entry)}
    return [
        write_whole(run / name, text.encode("utf-8"), shared=True) for name, text in content.items()
    ]
