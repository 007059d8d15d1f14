"""Records of a run as its report shows them: in the grid's order, claims as they may be made."""

from collections.abc import Sequence
from pathlib import Path

from reports.frontier.claims import unclaimed
from reports.frontier.wish import PRIVATE, wish_of
from reports.records import CellResult
from reports.run_folder import in_order, json_of, records_of


def as_shown(directory: Path, own: Sequence[CellResult] | None = None) -> list[CellResult]:
    """The records of a run (or `own`) in its report's order, and with the claims that it shows.

    Raises: ValueError where there are none.
    """
    grid = json_of(directory / "grid.json")
    records = in_order(records_of(directory) if own is None else own, grid)
    wish = wish_of(grid)
    return unclaimed(records) if wish is not None and wish.data == PRIVATE else records
