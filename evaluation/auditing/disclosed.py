"""Disclosure of one training: its checkpoint as an export tells of it, and its audit, as a record.

Neither torch nor transformers is needed for it. What an export leaves out is not told here either.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.auditing.run_folder import checkpoint_of
from fedbert.errors import InputError, nearest_place
from fedbert.manifest import content_sha256, exported, read_manifest, refuse_faulty, released_sha256
from fedbert.manifest_types import read_json
from fedbert.shown import PLACES, shown
from reports.card.content import COMMAND, FILE, SCHEMA
from reports.disclosure.facts import Disclosure, of_record
from reports.estimate import Estimate
from reports.leak import entry_from_json
from reports.records import CellResult

DEPLOYMENT = "deployment.json"
"""The file of a training's folder that holds what its user said in [deployment]."""


def disclosed(directory: Path, audit: Path | None) -> tuple[Disclosure, Path]:
    """Return the disclosure of a training's folder or checkpoint, and the folder to write it into.

    audit: what `audit run --out` wrote, the folder or its audit.json; None without one.

    Raises:
        InputError: for an export, a checkpoint whose claims cannot stand, or an audit of another
            model.
    """
    checkpoint = checkpoint_of(directory)
    manifest = read_manifest(checkpoint)
    if exported(manifest):
        told = f"expected a training's folder or checkpoint, got an export, {directory}"
        raise InputError(f"{told}: report on the training, or `audit run {directory} --out DIR`")
    card = None if audit is None else _card_in(audit)
    return of_training(checkpoint, card), checkpoint.parent


def _card_in(audit: Path) -> Any:
    """Return the JSON of an audit's folder, or of the file itself."""
    told = "expected the folder that `audit run --out` wrote, or its audit.json"
    if not audit.exists():
        raise InputError(f"{told}, got nothing at {audit}{nearest_place(audit)}")
    if audit.is_dir() and not (audit / FILE).is_file():
        raise InputError(f"{told}, got the folder {audit} without {FILE}")
    return read_json(audit / FILE if audit.is_dir() else audit)


def of_training(checkpoint: Path, card: Any) -> Disclosure:
    """Return the disclosure of a checkpoint or export; card: of its audit, as JSON, or None."""
    manifest = read_manifest(checkpoint)
    refuse_faulty(manifest, checkpoint)
    words = checkpoint.parent / DEPLOYMENT
    said = read_json(words) if words.is_file() and not exported(manifest) else {}
    own = manifest if exported(manifest) else shown(manifest, {})
    try:
        if card is not None:
            _check_card(card, manifest)
        return of_record(record_of(own, card or {}), dict(said), card, own.get("audit"))
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        told = "expected a checkpoint and the audit of it"
        raise InputError(f"{told}, got {' '.join(str(error).split())} in {checkpoint}") from None


def record_of(manifest: Mapping[str, Any], card: Mapping[str, Any]) -> CellResult:
    """Return an export's manifest, with what an audit measured, as one record of a grid is.

    Raises: ValueError, or what a broken value raises.
    """
    config, means = manifest["config"], card.get("means", {})
    data, training = config["data"], config["training"]
    done, planned = manifest["round"], training["rounds"]
    doubts = [] if done == planned else [f"not finished: {done} of {planned} rounds"]
    return CellResult(
        cell=content_sha256(manifest)[:16],
        status="done",
        spec={**config, "defence": manifest["defence"], "attacks": dict(means)},
        labels={
            "task": data["task"],
            "model": config["model"]["architecture"],
            "strategy": training["strategy"],
            "defence": str(manifest["defence"].get("name", "none")),
            "level": "-",
            "seed": "-",
        },
        guarantees=list(manifest["guarantees"]),
        **_cost(card.get("cost", {})),
        leakage=tuple(
            entry_from_json(each, f"measured[{number}]")
            for number, each in enumerate(card.get("measured", []))
        ),
        mechanisms=_mechanisms(manifest),
        seconds=dict(card.get("seconds", {})),
        provenance=dict(manifest["provenance"]),
        doubts=doubts,
    )


def _cost(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an audit measured of utility, by the fields of a record; nothing without."""
    told: dict[str, Any] = {
        name: {key: Estimate.from_json(each) for key, each in found[name].items()}
        for name in ("utility", "gains")
        if name in found
    }
    told["majority_baseline"] = dict(found.get("majority_baseline", {}))
    told["subgroups"] = {
        way: {name: Estimate.from_json(each) for name, each in groups.items()}
        for way, groups in found.get("subgroups", {}).items()
    }
    return told


def _mechanisms(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every mechanism that acted, with what it cost."""
    defence = manifest["defence"]
    spent = {cost["place"]: cost for cost in manifest["costs"]}
    return {
        place: {
            "name": str(defence[place].get("mechanism")),
            "clip_norm": defence[place].get("clip_norm"),
            "cost": spent.get(place),
        }
        for place in PLACES
        if place in defence
    }


def _check_card(card: Any, manifest: Mapping[str, Any]) -> None:
    """Refuse what is no audit, or one of another model."""
    if not isinstance(card, Mapping) or card.get("command") != COMMAND:
        raise InputError("expected audit.json as `audit run --out DIR` writes it, got another file")
    if card.get("schema") != SCHEMA:
        told = f"expected audit.json of form {SCHEMA}, got {card.get('schema')!r}: audit anew"
        raise InputError(told)
    if card.get("model_sha256") != released_sha256(manifest):
        raise InputError("expected the audit of this model, got that of another, or an older one")
