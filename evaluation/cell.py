"""One cell, from specification to record: train, judge, attack, account. A pure function."""

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from attacks.attack import Knowledge
from evaluation import leakage
from evaluation.catalogue import MEMBERSHIP, make_attack
from evaluation.defences import costs, facts_of, make_defence, use_of
from evaluation.grid import PLACES, Cell
from evaluation.inversion import Heard, inversion
from evaluation.measure import batches, measure
from evaluation.observe import Wiretap, spread
from evaluation.pooled import pooled
from fedbert.config import Config
from fedbert.prepare import Prepared, circumstances, poisson_sampled, prepare
from fedbert.protect import Protection
from fedbert.provenance import provenance
from fedbert.seeding import numpy_rng
from fedbert.trainer import Trained, give_back_memory, planned_steps, train
from privacy.accounting import label_claims, ledger
from privacy.defence import Defence, refuse
from privacy.mechanism import Identity
from reports.records import RunRecord


@dataclass(frozen=True)
class Outcome:
    """A cell's record, and how the labels fell to the clients (for the partition figure)."""

    record: RunRecord
    counts: dict[str, dict[str, int]]


def run_cell(cell: Cell) -> Outcome:
    """Return what became of a cell: done, skipped with a reason, or failed with the traceback."""
    torch.set_num_threads(1)
    base: dict[str, Any] = {"cell": cell.id, "spec": cell.spec(), "labels": cell.labels}
    try:
        return _run(cell, base)
    except Exception:
        return Outcome(RunRecord(**base, status="failed", traceback=traceback.format_exc()), {})
    finally:
        give_back_memory()  # a worker that waits for the others holds no more than it needs


def _run(cell: Cell, base: dict[str, Any]) -> Outcome:
    """Return the record of a cell that can run."""
    config, clock = cell.config, _Clock()
    prepared = prepare(config, coin=True)
    facts = facts_of(config, prepared, cell.defence, cell.delta)
    defence = make_defence(cell.defence, facts)
    reason = refuse(defence, config.training.strategy, circumstances(config))
    if reason is not None:
        return Outcome(RunRecord(**base, status="skipped", reason=reason), {})
    if defence.training is not None:
        prepared = poisson_sampled(prepared)
    senders = config.training.clients_per_round or config.data.clients
    heard = spread(config.training.rounds, senders, cell.attacks.messages)
    tap = Wiretap(heard, max(1, cell.attacks.messages // len(heard)))
    clock.lap("prepare")
    trained = train(config, prepared, defence, listeners=[tap])
    clock.lap("train")
    utility, floor = measure(prepared, trained.split, config.seed)
    clock.lap("evaluate")
    leaks = inversion(Heard(cell, prepared, defence, trained, tap))
    leaks += pooled(cell, prepared, trained.split, candidates(config, prepared))
    leaks += _membership(cell, prepared, trained)
    clock.lap("attack")
    use = use_of(config, facts)
    claims = [*ledger(defence, use).values(), *label_claims(defence, use)]
    record = RunRecord(
        **base,
        status="done",
        utility=utility,
        baseline=floor,
        guarantees=[entry.to_json() for entry in claims],
        leakage=leaks,
        mechanisms=_mechanisms(defence, trained, costs(defence, facts)),
        bytes=trained.bytes,
        seconds=clock.seconds,
        provenance=provenance()
        | {"data_sha256": prepared.data_sha256, "model": config.model.source},
    )
    return Outcome(record, prepared.counts)


class _Clock:
    """Seconds per phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._last, 3)
        self._last = now


def _membership(cell: Cell, prepared: Prepared, trained: Trained) -> list[dict[str, Any]]:
    """Return how well every membership attack tells members from other examples of the pool."""
    if prepared.members is None:
        return []
    found: list[dict[str, Any]] = []
    seed, limit = cell.config.seed, cell.attacks.candidates
    rng = numpy_rng(seed, "candidates")
    sides = [np.sort(rng.permutation(side)[:limit]) for side in candidates(cell.config, prepared)]
    if min(map(len, sides)) < 2:
        return []
    for name in cell.attacks.membership:
        attack = make_attack(name, MEMBERSHIP, "score")
        head = {"view": attack.view, "attack": attack.name, "family": "membership"}
        knowledge = Knowledge(model=trained.split)
        lacking = attack.missing(knowledge)
        if lacking is not None:
            found.append({**head, "not_measured": lacking})
            continue
        both = np.concatenate(sides)
        order = np.argsort(prepared.pool.lengths[both], kind="stable")
        shown = batches(prepared, prepared.pool, both[order], seed, "candidates")
        scores = attack.score(shown, knowledge)[np.argsort(order)]
        split_rng = numpy_rng(seed, "judge", attack.name)
        inside, outside = scores[: len(sides[0])], scores[len(sides[0]) :]
        judged = {
            "auc": (leakage.auc(inside, outside), 0.5),
            "tpr_at_1pct_fpr": (leakage.tpr_at_fpr(inside, outside, 0.01), 0.01),
            "tpr_at_01pct_fpr": (leakage.tpr_at_fpr(inside, outside, 0.001), 0.001),
            "balanced_accuracy": (leakage.balanced_accuracy(inside, outside, split_rng), 0.5),
        }
        for metric, (estimate, chance) in judged.items():
            leak = {**head, "metric": metric, "estimate": estimate, "unit": "record"}
            found.append({**leak, "headline": metric == "auc", "chance": chance})
    return found


def candidates(config: Config, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Return the pool positions of the examples that were trained on, and of those left out.

    An example that the coin chose but no batch reached is neither. Of a document cut into several
    blocks one is taken: they were in or out together.
    """
    steps = planned_steps(config)
    seen = np.zeros(len(prepared.pool), dtype=bool)
    for data in prepared.clients:
        own = np.arange(len(data.examples)) if data.pool is None else data.pool
        seen[own[data.seen(steps[data.client])]] = True
    members = np.ones_like(seen) if prepared.members is None else prepared.members
    sides = []
    for side in (np.flatnonzero(seen), np.flatnonzero(~members)):
        _, first = np.unique(prepared.pool.documents[side], return_index=True)
        sides.append(side[first])
    return sides[0], sides[1]


def _mechanisms(
    defence: Defence, trained: Trained, spent: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the log of every mechanism that acted, with what it cost."""
    found: dict[str, dict[str, Any]] = {}
    for place in PLACES:
        mechanism = getattr(defence, place)
        if mechanism is None or isinstance(mechanism, Identity):
            continue
        found[place] = {
            "name": type(mechanism).__name__,
            "clip_norm": getattr(mechanism, "clip_norm", None),
            "noise_std": getattr(mechanism, "noise_std", None),
            **trained.protection.get(place, Protection()).summary(),
            "cost": next((cost for cost in spent if cost["place"] == place), None),
        }
    return found
