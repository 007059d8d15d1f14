"""Names of mechanisms and attacks: those of the catalogue, or of somebody else's class."""

from collections.abc import Mapping
from typing import Any

from evaluation.grid.foreign import is_foreign
from evaluation.grid.spec import Spec
from fedbert.errors import InputError, nearest


def refuse_unknown(spec: Spec, catalogue: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a name that is neither the catalogue's nor "module:Class"."""
    if spec.name not in catalogue and not is_foreign(spec):
        known = f"one of {', '.join(catalogue)} or module:Class"
        near = nearest(spec.name, catalogue)
        raise InputError(f"{where}: expected {known}, got {spec.name!r}{near}")
