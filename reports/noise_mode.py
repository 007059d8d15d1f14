"""Noise mode of the reported runs: what claims mean where the noise can be made again."""

from collections.abc import Iterable

from reports.records import CellResult

REPEATABLE = (
    "Noise is repeatable: whoever has seed and settings can make it again and take it off. Each "
    "claim holds for secret noise of the same kind."
)
CLAIMS = ("guarantee", "metric guarantee")
SOME = "In part of the runs noise is repeatable" + REPEATABLE.removeprefix("Noise is repeatable")


def noise_note(records: Iterable[CellResult]) -> str:
    """Return the sentence that goes with claims of noise that can be made again; "" without any.

    A record that says nothing of its noise is older than noise of another mode.
    """
    return note_of(
        mode_of(record)
        for record in records
        if any(entry.get("kind") in CLAIMS for entry in record.guarantees)
    )


def note_of(modes: Iterable[str]) -> str:
    """Return the sentence that goes with claims of noise of these modes."""
    found = set(modes)
    if "repeatable" not in found:
        return ""
    return SOME if "secret" in found else REPEATABLE


def mode_of(record: CellResult) -> str:
    """Return whether a record's noise is secret or repeatable."""
    return str(record.spec.get("noise", "repeatable"))
