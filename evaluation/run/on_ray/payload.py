"""Bytes that travel between a command and its workers on Ray: JSON and plain arrays, no pickles."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.grid import sent
from evaluation.grid.spec import Cell
from evaluation.run.attempts import Answer
from evaluation.run.outcome import Outcome
from fedbert.errors import InputError
from reports.records import CellResult
from reports.scores import Scored


def asked(function: Callable[..., Outcome], cell: Cell, data_sha256: str | None) -> bytes:
    """Return what a worker is asked: a function of a module by its name, over a cell.

    data_sha256: that of the cell's examples where the grid was checked; None: not known.
    """
    name, values, named = function, tuple[Any, ...](), dict[str, Any]()
    if isinstance(function, partial):
        name, values, named = function.func, function.args, dict(function.keywords)
    if data_sha256 is not None:
        named["data_sha256"] = data_sha256
    told = {
        "function": f"{name.__module__}:{name.__qualname__}",
        "values": list(map(_written, values)),
        "named": {key: _written(value) for key, value in named.items()},
        "cell": sent.to_json(cell),
        "folder": str(Path.cwd()),
    }
    return json.dumps(told, allow_nan=False).encode()


def work_of(told: Mapping[str, Any]) -> Callable[[], Outcome]:
    """Return what does what `asked` wrote.

    Raises:
        InputError: for a cell that is another one by the code that is here.
    """
    module, _, name = told["function"].partition(":")
    function = getattr(import_module(module), name)
    named = {key: _read(value) for key, value in told["named"].items()}
    return partial(function, *map(_read, told["values"]), sent.from_json(told["cell"]), **named)


def _written(value: Any) -> Any:
    return {"path": str(value)} if isinstance(value, Path) else value


def _read(value: Any) -> Any:
    return Path(value["path"]) if isinstance(value, dict) else value


def packed(answer: Answer) -> bytes:
    """Return a worker's answer as bytes: a zip of JSON and of arrays."""
    told: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    if answer.error is not None:
        told["error"] = [isinstance(answer.error, InputError), str(answer.error)]
    else:
        outcome: Outcome = answer.made
        scored = list(outcome.scored.items())
        told |= {
            "record": outcome.record.to_json(),
            "counts": outcome.counts,
            "samples": list(outcome.samples),
            "scored": [[name, each.seed] for name, each in scored],
            "signals": list(outcome.signals),
        }
        for place, (_, each) in enumerate(scored):
            parts = {"scores": each.scores, "members": each.members, "clusters": each.clusters}
            arrays |= {f"{place}-{k}": v for k, v in parts.items() if v is not None}
        arrays |= {f"signal-{n}": value for n, value in enumerate(outcome.signals.values())}
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as file:
        file.writestr("told.json", json.dumps(told))
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
    return found.getvalue()


def unpacked(given: bytes) -> Answer:
    """Return the answer that `packed` wrote; nothing in it is run.

    Raises:
        ValueError: for bytes that hold none.
    """
    with zipfile.ZipFile(io.BytesIO(given)) as file:
        told = json.loads(file.read("told.json"))
        if "error" in told:
            ours, text = told["error"]
            return Answer(error=InputError(text) if ours else RuntimeError(text))
        arrays = {
            name.removesuffix(".npy"): np.lib.format.read_array(file.open(name), allow_pickle=False)
            for name in file.namelist()
            if name.endswith(".npy")
        }
    scored = {
        name: Scored(
            arrays[f"{n}-scores"], arrays[f"{n}-members"], seed, arrays.get(f"{n}-clusters")
        )
        for n, (name, seed) in enumerate(told["scored"])
    }
    signals = {name: arrays[f"signal-{n}"] for n, name in enumerate(told["signals"])}
    record = CellResult.from_json(told["record"])
    return Answer(Outcome(record, told["counts"], told["samples"], scored, signals))
