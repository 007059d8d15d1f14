"""Live audit of a training as its checkpoint or export tells of it, for the card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.auditing.live.audit import DRAWN, KEY
from evaluation.auditing.live.claims import released
from fedbert.errors import InputError
from fedbert.manifest import FAULT
from reports import live
from reports.card.content import CONSISTENT, VIOLATES, Check
from reports.live import in_words


def curve_of(manifest: Mapping[str, Any], directory: Path) -> dict[str, Any] | None:
    """Return what was spent and shown by round; None without an audit, and of an export.

    Raises:
        InputError: for what no training writes.
    """
    own = manifest.get("plain", {}).get(KEY)
    if own is None:
        return None
    try:
        curve = {
            "shown": own["shown"],
            "significance": DRAWN,
            "claimed": released(manifest.get("guarantees", [])),
            "points": own["points"],
            "fault": manifest.get(FAULT, ""),
        }
        live.check(curve, KEY)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"expected a live audit, got {error} in {directory}") from None
    return curve


def shown_of(manifest: Mapping[str, Any], directory: Path) -> Mapping[str, Any] | None:
    """Return what anybody may know of a training's live audit; None where there was none.

    Raises:
        InputError: for what no training writes.
    """
    own = manifest.get("plain", {}).get(KEY)
    try:
        shown = manifest.get(KEY) if own is None else own["shown"]
        if shown is not None:
            live.check_shown(shown, KEY)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"expected a live audit, got {error} in {directory}") from None
    return shown


def checks_of(manifest: Mapping[str, Any], directory: Path) -> Iterator[Check]:
    """Yield what became of a training's live audit, where it saw noise or found a fault."""
    shown = shown_of(manifest, directory)
    if FAULT in manifest:
        yield Check("live audit", VIOLATES, str(manifest[FAULT]))
    elif shown is not None and shown["releases"]:
        told = f"{in_words(shown)}; no fault at level {shown['alpha']:g}"
        yield Check("live audit", CONSISTENT, told)
