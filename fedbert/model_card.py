"""Model card of an export: README.md with Hugging Face front matter and what is claimed to whom.

Made of the export's manifest alone, so that it can say no more than that. It is for people, who may
add to it: its hash stands nowhere, and what `fedbert-eval audit` checks is the manifest.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Context
from typing import Any

from fedbert.setting_types import ONE_MESSAGE

FILE = "README.md"
FPR = 0.01
FORMAT = 1
"""Version of the form of the front matter's `privacy`."""
CLAIM = ("view", "unit", "relation", "epsilon", "delta", "scope", "accountant", "releases")
METRIC = ("view", "unit", "eta", "scope", "releases")
PLACES = (
    "smashed", "hidden", "hidden_gradient", "smashed_gradient", "update", "labels", "training",
    "penalty",
)  # fmt: skip
NOISELESS = ("identity", "clip_only", "quantise", "distance_correlation")
"""Mechanisms that draw nothing; any other is taken to add noise."""
CERTAIN = 0.99
"""A claim that allows for an advantage of so much keeps nobody from telling a unit in from out."""
WITHOUT = "without a claim"
REPEATABLE = "the noise is repeatable: whoever has seed and settings can take it off"
LEFT_OUT = (
    "who was trained on, hashes of the data, losses, clip shares, label counts, the partition, the "
    "optimiser's moments, the seed, paths"
)


def card_of(manifest: Mapping[str, Any]) -> str:
    """Return the card of an export with this manifest, as Markdown with YAML in front."""
    return "\n".join(["---", *_yaml(front(manifest)), "---", "", *_body(manifest), ""])


def front(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the front matter: Hugging Face's keys, and `privacy`."""
    config = manifest["config"]
    words = config["data"]["task"] == "mlm"
    claims = [_claim(entry, _repeatable(manifest)) for entry in manifest["guarantees"]]
    private = not _repeatable(manifest) and any(map(_differential, manifest["guarantees"]))
    tags = ["fedbert", "federated-learning", *(["differential-privacy"] if private else [])]
    found: dict[str, Any] = {}
    if config["training"].get("strategy") != ONE_MESSAGE:
        found |= {
            "library_name": "transformers",
            "pipeline_tag": "fill-mask" if words else "text-classification",
        }
    privacy: dict[str, Any] = {"format": FORMAT, "noise": _noise(manifest)}
    privacy["mechanisms"] = {
        place: manifest["defence"][place].get("mechanism", "not named")
        for place in PLACES
        if place in manifest["defence"]
    }
    return found | {"tags": tags, "privacy": privacy | {"claims": claims}}


def _differential(entry: Mapping[str, Any]) -> bool:
    """Return whether the model itself is differentially private in more than its labels.

    Not by a claim that binds hardly anybody, or whose delta allows for publishing a record.
    """
    from privacy.claims import OUTRIGHT  # with torch: a command begins without

    if (entry["view"], entry["kind"]) != ("release", "guarantee") or entry["unit"] == "label":
        return False
    outright = any(OUTRIGHT in each for each in entry.get("exclusions", ()))
    return not outright and entry.get("advantage", 0.0) < CERTAIN


def _repeatable(manifest: Mapping[str, Any]) -> bool:
    """Return whether there is noise, and it can be made again."""
    own = manifest["config"].get("noise", "repeatable") == "repeatable"
    return bool(manifest["costs"] or _noised(manifest)) and bool(own)


def _noised(manifest: Mapping[str, Any]) -> bool:
    """Return whether any mechanism adds noise, whatever is claimed of it."""
    acting = (manifest["defence"][place] for place in PLACES if place in manifest["defence"])
    return any(each.get("mechanism", "") not in NOISELESS for each in acting)


def _noise(manifest: Mapping[str, Any]) -> str:
    if not manifest["costs"]:
        return WITHOUT if _noised(manifest) else "none"
    return "repeatable" if _repeatable(manifest) else "secret"


def _claim(entry: Mapping[str, Any], repeatable: bool) -> dict[str, Any]:
    """Return a view's entry; of noise that can be taken off nothing is claimed."""
    kind = entry["kind"]
    if kind not in ("guarantee", "metric guarantee"):
        reason = {"reason": entry["reason"]} if "reason" in entry else {}
        return {"view": entry["view"], "kind": kind} | reason
    keys = CLAIM if kind == "guarantee" else METRIC
    found = {key: entry[key] for key in keys if key in entry}
    if not repeatable:
        return {"view": entry["view"], "kind": kind} | found
    with_secret = {key: value for key, value in found.items() if key != "view"}
    nothing = {"view": entry["view"], "kind": "no guarantee", "reason": REPEATABLE}
    return nothing | {"with_secret_noise": with_secret}


def _body(manifest: Mapping[str, Any]) -> Iterator[str]:
    config, done = manifest["config"], manifest["round"]
    training, data = config["training"], config["data"]
    yield f"# A model for {data['task']}, trained by federated learning"
    yield ""
    yield (
        f"Strategy `{training['strategy']}`, {data['clients']} clients, round {done} of "
        f"{training['rounds']}, {config['model'].get('cut_layer', 0)} encoder layers at the "
        "clients. Made by fedbert-privacy; its code says what each word means."
    )
    if done < training["rounds"]:
        yield ""
        yield "The training was not finished: claims are about the rounds that were done."
    yield ""
    yield "## Privacy"
    yield ""
    yield "| view | what is protected | claim | relation | delta |"
    yield "|---|---|---|---|---|"
    repeatable = _repeatable(manifest)
    claims = [_claim(entry, repeatable) for entry in manifest["guarantees"]]
    yield from (_row(claim) for claim in claims)
    yield ""
    secret = " (with secret noise of the same kind, which this is not)" if repeatable else ""
    yield f"What each says in full{secret}, and what it does not cover:"
    yield ""
    yield from (f"- {_escaped(line)}" for line in dict.fromkeys(_sentences(manifest)))
    yield ""
    noise = _noise(manifest)
    yield f"- Noise: {noise}{f'; {REPEATABLE}' if repeatable else ''}."
    yield from (f"- {_escaped(line)}" for line in _mechanisms(manifest["defence"]))
    yield from (f"- {line}" for line in dict.fromkeys(_reached(manifest, repeatable)))
    if "audit" in manifest:
        canaries = manifest["audit"].get("canaries", 0)
        yield f"- The training was watched as it went on, with {canaries} canaries planted in it."
    yield f"- Not in this folder: {LEFT_OUT}."
    yield (
        "- `manifest.json` holds the same for machines; `fedbert-eval audit run` checks it, and "
        "not this page."
    )


def _sentences(manifest: Mapping[str, Any]) -> Iterator[str]:
    for entry in manifest["guarantees"]:
        yield entry.get("sentence", f"Against the {entry['view']} view: {entry['kind']}.")


def _row(claim: Mapping[str, Any]) -> str:
    nothing = claim["kind"] if "reason" not in claim else f"{claim['kind']}: {claim['reason']}"
    if claim["kind"] == "guarantee":
        cells = [claim["unit"], f"epsilon {_up(claim['epsilon'])}", claim["relation"]]
        cells.append(f"{claim['delta']:g}")
    elif claim["kind"] == "metric guarantee":
        told = f"metric, eta {_up(claim['eta'])} over {claim['releases']} releases"
        cells = [claim["unit"], f"{told}: no (epsilon, delta)", "-", "-"]
    else:
        cells = ["-", nothing, "-", "-"]
    return f"| {' | '.join(_escaped(str(each)) for each in (claim['view'], *cells))} |"


def _mechanisms(defence: Mapping[str, Any]) -> Iterator[str]:
    for place in PLACES:
        if place in defence:
            settings = ", ".join(
                f"{key} = {json.dumps(value)}" for key, value in defence[place].items()
            )
            yield f"Mechanism at `{place}`: {settings}."


def _reached(manifest: Mapping[str, Any], repeatable: bool) -> Iterator[str]:
    """Yield what claims allow an attacker who tells one unit in from out, and where none binds."""
    bare = []
    for entry in manifest["guarantees"]:
        claimed = entry["kind"] in ("guarantee", "metric guarantee") and not repeatable
        if not claimed and entry["kind"] != "nothing sent":
            bare.append(entry["view"])
        if not claimed or "advantage" not in entry:
            continue
        told = f"advantage (TPR less FPR) at most {_up(entry['advantage'])}"
        tpr = next((tpr for fpr, tpr in entry.get("tradeoff", ()) if fpr == FPR), None)
        told += "" if tpr is None else f", TPR at 1 % FPR at most {_up(tpr)}"
        yield f"Who has the {entry['view']} view and tells one {entry['unit']} in from out: {told}."
    if bare:
        views = ", ".join(dict.fromkeys(bare))
        yield f"Nothing bounds what an attacker may reach in a view without a claim: {views}."


def _up(value: float) -> str:
    """Return a number to three figures, rounded up: no claim looks stronger than it is."""
    return f"{Context(prec=3, rounding=ROUND_CEILING).create_decimal(repr(float(value))):f}"


def _escaped(text: str) -> str:
    """Return a text that is one line of Markdown, and no markup, link or cell of a table."""
    one = " ".join(text.split())
    return "".join("\\" + each if each in "\\|<>[]*_`#" else each for each in one)


def _yaml(values: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield values as YAML: tables and lists in blocks, the rest as JSON writes it."""
    indent = "  " * depth
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:" + ("" if value else " {}")
            yield from _yaml(value, depth + 1)
        elif isinstance(value, list):
            yield f"{indent}{key}:" + ("" if value else " []")
            for each in value:
                if isinstance(each, Mapping):
                    first, *rest = _yaml(each, depth + 2)
                    yield f"{indent}  - {first.strip()}"
                    yield from rest
                else:
                    yield f"{indent}  - {_scalar(each)}"
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a scalar that YAML 1.1 reads as what it is: 1e-05 needs its point there."""
    text = json.dumps(value, allow_nan=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text
