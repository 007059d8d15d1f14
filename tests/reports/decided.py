"""Records to decide on: what they keep, leak and promise is given, and the rest is quiet."""

import json

from reports.decision.choice import DEFAULT, by_task, decide
from reports.estimate import Estimate
from reports.frontier.leakage import count
from reports.leak import Leak
from reports.records import CellResult

VIEWS = ("forward", "backward", "aggregator", "peer", "release")
NONE = {"kind": "no guarantee", "reason": "no noise", "sentence": "Nothing."}
LABEL = {"kind": "guarantee", "unit": "label", "relation": "replace-one", "epsilon": 1.0,
         "delta": 0.0, "releases": 1, "scope": "data set", "sentence": "Labels."}  # fmt: skip


def near(value, half=0.02):
    return Estimate(value, value - half, value + half, n=2000)


def claim(view, epsilon=4.0, delta=1e-5, tpr=0.08, unit="record"):
    """A claim whose curve allows `tpr` at 1 %; without a curve where that is None."""
    curve = {"tradeoff": [[0.01, tpr], [1.0, 1.0]], "advantage": 0.3, "tradeoff_basis": "a test"}
    return {"view": view, "kind": "guarantee", "unit": unit, "relation": "replace-one",
            "epsilon": epsilon, "delta": delta, "releases": 1, "scope": "data set",
            "sentence": f"On {view}: {epsilon:g}.",
            **({} if tpr is None else curve)}  # fmt: skip


def everywhere(views=None, **of):
    return {view: claim(view, **of) for view in views or VIEWS}


def cell(name, utility, tokens=0.05, auc=0.5, seed=0, level="-", **rest):
    """A cell that reads `tokens` of the text; promised on every view unless `given` says else."""
    given = rest.pop("given", {view: claim(view) for view in VIEWS} if name != "none" else {})
    labels = {"task": "sst2", "model": "tiny", "strategy": "parallel", "defence": name,
              "level": level, "seed": str(seed)}  # fmt: skip
    leakage = (
        Leak("release", "loss", "membership", "auc", near(auc), "record", 0.5),
        Leak("forward", "nearest", "inversion", "token_accuracy", near(tokens), "token", 0.04),
    )
    spec = {"defence": {"name": name} | ({} if name == "none" else {"x": {}}), "level": level}
    return CellResult(
        json.dumps([name, level, seed]).encode().hex(), "done", spec, labels,
        utility={"accuracy": near(utility, 0.01)}, majority_baseline={"accuracy": 0.5},
        guarantees=[given.get(view, {**NONE, "view": view}) for view in VIEWS],
        **{"leakage": leakage, **rest},
    )  # fmt: skip


BARE = cell("none", 0.9, 0.99, 0.7)
GOOD = cell("good", 0.88)


def decided(*records, wish=DEFAULT):
    (own,) = by_task([BARE, *records]).values()
    return decide(own, count([BARE, *records]), wish)


def faults(*records, wish=DEFAULT):
    return [set(each.faults) for each in decided(*records, wish=wish).settings]
