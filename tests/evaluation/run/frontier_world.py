"""World in which a level's utility and leakage are known: cells that train nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.grid.spec import Cell
from evaluation.run.outcome import Outcome
from reports.estimate import Estimate
from reports.leak import Leak
from reports.records import CellResult

FILE = """
name = "ship"
tasks = ["sst2"]
seeds = [0, 1, 2]
[frontier]
data = "public"
least_share = 0.8
steps = 8
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
[[defences]]
name = "labels"
labels = { mechanism = "randomised_response" }
epsilon = [1.0, 64.0]
[[defences]]
name = "dp-sgd"
training = { mechanism = "dp_sgd", clip_norm = 1.0 }
search = { "training.target_epsilon" = [1.0, 100.0] }
set = { "training.batch_size" = 64 }
"""
VIEWS = ("forward", "backward", "aggregator", "peer", "release")


def half(value: float, width: float) -> Estimate:
    return Estimate(value, max(0.0, value - width), min(1.0, value + width), n=2000)


def ledger(views: tuple[str, ...], epsilon: float) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for view in VIEWS:
        if view in views:
            found.append({
                "view": view, "kind": "guarantee", "unit": "record", "relation": "replace-one",
                "epsilon": epsilon, "delta": 1e-5, "releases": 1, "scope": "data set",
                "sentence": f"Against the {view} view epsilon is {epsilon:g}.",
            })  # fmt: skip
        else:
            found.append({"view": view, "kind": "no guarantee", "reason": "none",
                          "sentence": f"None against {view}."})  # fmt: skip
    return found


@dataclass
class World:
    """What cells give: by the level t of a defence, in [0, 1], its utility and its leakage.

    utility, leakage: of (defence, epsilon); the undefended row is epsilon infinity. ran: the cells
    that ran, in order. stop: after so many cells a hand stops the search.
    """

    utility: Callable[[str, float], float]
    leakage: Callable[[str, float], float]
    views: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broken: Callable[[Cell], bool] = lambda cell: False
    stop: int | None = None
    ran: list[Cell] = field(default_factory=list)

    def __call__(self, cell: Cell, shadows: Path) -> Outcome:
        if self.stop is not None and len(self.ran) >= self.stop:
            raise KeyboardInterrupt
        self.ran.append(cell)
        base = {"cell": cell.id, "spec": cell.spec(), "labels": cell.labels}
        if self.broken(cell):
            return Outcome(CellResult(**base, status="failed", traceback="ValueError: broke"), {})
        name, epsilon = cell.defence.name, level_of(cell)
        views = self.views.get(name, ("release",)) if name != "none" else ()
        shift = 0.002 * (cell.config.seed - 1)
        value = min(1.0, max(0.0, self.utility(name, epsilon) + shift))
        leak = self.leakage(name, epsilon)
        auc = Leak("release", "loss threshold", "membership", "auc", half(0.5 + leak / 2, 0.01),
                   "record", 0.5)  # fmt: skip
        weak = Leak("forward", "nearest token", "inversion", "token_accuracy", half(leak / 2, 0.01),
                    "token", 0.0)  # fmt: skip
        others = [Leak(view, "a look", "membership", "auc", half(0.5, 0.001), "record", 0.5)
                  for view in VIEWS[1:4]]  # fmt: skip
        record = CellResult(
            **base, status="done", utility={"accuracy": half(value, 0.01)},
            majority_baseline={"accuracy": 0.5},
            guarantees=ledger(views, epsilon), leakage=(auc, weak, *others), seconds={"train": 0.0},
        )  # fmt: skip
        return Outcome(record, {})


def level_of(cell: Cell) -> float:
    """Return the target epsilon of a cell's defence; infinity without one."""
    for place in ("training", "smashed", "update", "labels"):
        spec = getattr(cell.defence, place)
        if spec is not None:
            return float(dict(spec.params)["target_epsilon"])
    return np.inf
