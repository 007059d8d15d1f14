"""Cell run, from specification to record: train, judge, attack, account. A pure function."""

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from evaluation.adversary.candidates import members_and_non_members
from evaluation.adversary.observation import Observation
from evaluation.adversary.one_message import SentMessages
from evaluation.adversary.transcript import Transcript, spread
from evaluation.attacking.attributes import attributes
from evaluation.attacking.claims import flagged
from evaluation.attacking.inversion import inversion, of_updates
from evaluation.attacking.membership import ask, membership
from evaluation.attacking.pooled import pooled
from evaluation.auditing.live.asked import refusal
from evaluation.auditing.live.audit import FaultError
from evaluation.grid.defence import costs, facts_of, make_defence
from evaluation.grid.preflight import Make, afresh, doubts_of
from evaluation.grid.spec import PLACES, Cell
from evaluation.run.outcome import Outcome
from evaluation.run.utility import measure
from evaluation.run.watched_cell import WatchedCell
from fedbert.messages import Listener
from fedbert.noise import noise_of
from fedbert.precision import settled
from fedbert.prepare import poisson_sampled
from fedbert.protect import MechanismLog
from fedbert.provenance import provenance
from fedbert.schedule import planned_updates
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import Trained, give_back_memory
from privacy.accounting import ledger
from privacy.defence import Defence, refuse
from privacy.mechanism import Identity
from privacy.users import further_claims
from reports.records import CellResult
from reports.tradeoff import allowed

AUTOMATIC = " (automatic clipping)"
"""What the name of a mechanism has behind it in a record where it clips automatically."""


def run_cell(cell: Cell, shadows: Path | None = None, make: Make = afresh) -> Outcome:
    """Return what became of a cell: done, skipped with a reason, or failed with the traceback.

    shadows: a folder in which the answers of shadow models are kept and looked for. make: returns
    the inputs; cells that start from the same may be given the same.
    """
    torch.set_num_threads(1)
    base: dict[str, Any] = {"cell": cell.id, "spec": cell.spec(), "labels": cell.labels}
    try:
        return _run(cell, base, shadows, make)
    except FaultError as fault:
        line = f"{fault.line}: the claim cannot stand"
        told = CellResult(**base, status="failed", traceback=line, audit=fault.curve)
        return Outcome(told, {})
    except Exception:
        return Outcome(CellResult(**base, status="failed", traceback=traceback.format_exc()), {})
    finally:
        give_back_memory()  # a worker that waits for the others holds no more than it needs


def _run(cell: Cell, base: dict[str, Any], shadows: Path | None, make: Make) -> Outcome:
    """Return the record of a cell that can run."""
    config, clock = cell.config, _Clock()
    prepared = make(config)
    base = {**base, "doubts": doubts_of(config, prepared)}
    facts = facts_of(config, prepared, cell.defence, cell.delta)
    defence = make_defence(cell.defence, facts)
    reason = refuse(defence, facts) or refusal(cell.audit, config, defence)
    if reason is not None:
        clock.lap("prepare")
        skipped = CellResult(**base, status="skipped", reason=reason, seconds=clock.seconds)
        return Outcome(skipped, {})
    noise = noise_of(config, prepared, defence, cell.audit.keyed(cell.asked()))
    if defence.training is not None:
        prepared = poisson_sampled(prepared, noise)
    senders = config.training.clients_per_round or config.data.clients
    rounds = spread(config.training.rounds, senders, cell.attacks.messages)
    each, secure = max(1, cell.attacks.messages // len(rounds)), config.training.secure_aggregation
    transcript = Transcript(rounds, each, secure)
    asked = ask(cell, prepared)
    watch, on_round = ([], None) if asked is None else (asked.listeners, asked.on_round)
    clock.lap("prepare")
    sent = SentMessages() if config.training.strategy == ONE_MESSAGE else None
    ears: list[Listener] = [transcript, *watch] if sent is None else [sent]
    claims = [*ledger(defence, facts).values(), *further_claims(defence, facts)]
    live = WatchedCell(cell, prepared, defence, noise, claims)
    trained = live.train(ears, on_round)
    trained = replace(trained, state=replace(trained.state, values={}))  # as large as the model
    clock.lap("train")
    measured = measure(prepared, trained.split, config.seed)
    clock.lap("evaluate")
    observation = Observation(cell, prepared, defence, trained, transcript, sent)
    found = membership(asked, observation, shadows)
    clock.lap("membership")
    recovered, samples = inversion(observation)
    clock.lap("inversion")
    recovered += of_updates(observation)
    clock.lap("updates")
    parts = members_and_non_members(config, prepared, trained.receipts)
    recovered += pooled(cell, prepared, trained.split, parts)
    clock.lap("pooled")
    recovered += attributes(observation)
    clock.lap("attributes")
    leaks = (*recovered, *found.leaks)
    guarantees = [entry.to_json() for entry in claims]
    told: dict[str, Any] = {
        **measured._asdict(),
        "guarantees": guarantees,
        "leakage": tuple(flagged(leaks, allowed([guarantees]))),
        "mechanisms": _mechanisms(defence, trained, costs(defence, facts)),
        "bytes": trained.bytes,
        "audit": live.curve(),
        "received": trained.receipts.told(planned_updates(config)),
        "provenance": provenance()
        | {"data_sha256": prepared.data_sha256, "model": config.model.source}
        | settled(config, prepared.split.whole.config)[1],
    }
    clock.lap("account")
    record = CellResult(**base, **told, status="done", seconds=clock.seconds)
    return Outcome(record, prepared.counts, samples, found.scored, found.signals)


class _Clock:
    """Seconds per phase; what a phase has freed is given back for the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        give_back_memory()
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._last, 3)
        self._last = now


def _mechanisms(
    defence: Defence, trained: Trained, spent: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the log of every mechanism that acted, with what it cost."""
    found: dict[str, dict[str, Any]] = {}
    for place in PLACES:
        mechanism = getattr(defence, place)
        if mechanism is None or isinstance(mechanism, Identity):
            continue
        automatic = getattr(mechanism, "clipping", "flat") == "automatic"
        found[place] = {
            "name": type(mechanism).__name__ + (AUTOMATIC if automatic else ""),
            "clip_norm": getattr(mechanism, "clip_norm", None),
            "noise_std": getattr(mechanism, "noise_std", None),
            **trained.protection.get(place, MechanismLog()).summary(),
            "cost": next((cost for cost in spent if cost["place"] == place), None),
        }
    return found
