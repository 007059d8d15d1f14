"""Preparation kept from cell to cell: what was loaded for one serves the next of the same inputs.

It is kept in the process that runs the cells, one at a time. Nothing of it is changed by a cell.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedbert.config import Config
    from fedbert.kept import KeptStore
    from fedbert.prepare import Loaded, Prepared

_held: "dict[object, Loaded]" = {}
_stores: "dict[str, KeptStore]" = {}


def looked_at(config: "Config") -> "Prepared":
    """Return a training's inputs, loaded afresh; they are kept where nothing else is yet."""
    from fedbert.prepare import dealt, loaded, source_of

    source = loaded(config)
    if not _held:
        _held[source_of(config)] = source
    return dealt(config, source, coin=True)


def shared(config: "Config") -> "Prepared":
    """Return a training's inputs; loaded afresh, and kept in place of others, only where needed."""
    from fedbert.kept import KeptStore, store_bytes
    from fedbert.prepare import dealt, loaded, source_of

    key = source_of(config)
    if key not in _held:
        _held.clear()
        _held[key] = loaded(config)
    store = _stores.setdefault("kept", KeptStore(store_bytes()))
    return replace(dealt(config, _held[key], coin=True), store=store)


def forget() -> None:
    """Keep nothing: files may be others when the next command begins."""
    _held.clear()
    _stores.clear()
