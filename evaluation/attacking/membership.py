"""Membership of a cell: candidates chosen, signals computed once, attacks asked and judged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attacks.attack import Lacks, MembershipAttack
from attacks.membership.message_matching import lacking, nearness
from attacks.signals import Answers, Signals
from evaluation.adversary.candidates import Candidates, choose, members_and_non_members
from evaluation.adversary.inference import batches
from evaluation.adversary.knowledge import knowledge_of
from evaluation.adversary.observation import Observation, same_parts
from evaluation.adversary.round_watch import RoundWatch
from evaluation.adversary.signals import arrays_of, signals_of
from evaluation.adversary.transcript import tables_from
from evaluation.attacking.clients import client_level
from evaluation.attacking.loop import Head
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import MEMBERSHIP
from evaluation.grid.spec import Cell
from evaluation.metrics.blind_baseline import LEAST, blind_baseline
from evaluation.metrics.membership import CHANCES, judged
from fedbert.prepare import Prepared
from fedbert.seeding import derive, numpy_rng
from fedbert.trainer import State
from reports.leak import LeakageEntry
from reports.scores import Scored

BLIND = "text alone"


@dataclass
class Found:
    """What became of the attacks: entries for the record, the scores and signals behind them."""

    leaks: list[LeakageEntry] = field(default_factory=list)
    scored: dict[str, Scored] = field(default_factory=dict)
    signals: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """The membership attacks of a cell, and what they will be asked about; made before training."""

    cell: Cell
    attacks: tuple[MembershipAttack, ...]
    chosen: Candidates
    watch: RoundWatch | None

    @property
    def listeners(self) -> list[RoundWatch]:
        """Who has to hear the training's messages."""
        return [] if self.watch is None else [self.watch]

    @property
    def on_round(self) -> Callable[[State], None] | None:
        """What has to be called after every round."""
        return None if self.watch is None else self.watch.on_round


def ask(cell: Cell, prepared: Prepared) -> Asked | None:
    """Return the attacks and their candidates; None where nobody can be told apart.

    Only an aggregator's attack needs to be there while the training runs.
    """
    attacks = tuple(make_attack(n, MEMBERSHIP, "score") for n in cell.attacks.membership)
    if prepared.members is None or not attacks:
        return None
    chosen = choose(cell, prepared)
    if min(chosen.members.sum(), (~chosen.members).sum()) < 2:
        return None
    watched = any(attack.view == "aggregator" for attack in attacks)
    watch = None
    if watched and cell.config.training.strategy != "centralised":
        watch = RoundWatch(prepared, chosen.candidates, cell.config.seed)
    return Asked(cell, attacks, chosen, watch)


def membership(asked: Asked | None, observation: Observation, cache: Path | None) -> Found:
    """Return how well every membership attack tells members from other examples of the pool.

    cache: where shadow models are kept; None = nowhere. Where text and label alone tell members,
    the pool is shifted, and the attacks are not judged.
    """
    if asked is None:
        return Found()
    found = Found()
    shifted = _blind(asked, observation.prepared, found)
    seen = (None, None, None) if asked.watch is None else asked.watch.arrays()
    signals = signals_of(observation, asked.chosen, cache, seen)
    found.signals.update(arrays_of(signals, asked.chosen))
    for attack in asked.attacks:
        head = Head(attack.view, attack.name, "membership")
        if attack.view == "forward":
            given, members = matching_signals(observation, attack.name)
        else:
            given, members = signals, asked.chosen.members
        lacks = shifted or (given if isinstance(given, Lacks) else attack.missing(given))
        if lacks is not None or isinstance(given, Lacks):
            found.leaks.append(head.not_measured("" if lacks is None else lacks.words))
            continue
        draws = numpy_rng(asked.cell.config.seed, "attack", attack.name)
        scored = _scored(asked.cell, attack, attack.score(given, draws), members)
        found.scored[attack.name] = scored
        for metric, estimate in judged(scored).items():
            found.leaks.append(head.leak(metric, estimate, "record", CHANCES[metric]))
        if asked.cell.attacks.client_level and attack.view != "forward":
            parts = asked.cell.config, asked.chosen, observation.prepared, scored
            found.leaks.append(client_level(head, *parts))
    return found


def _scored(
    cell: Cell, attack: MembershipAttack, scores: np.ndarray, members: np.ndarray
) -> Scored:
    seed = derive(cell.config.seed, "judge", attack.name)
    return Scored(np.asarray(scores, dtype=np.float64), members, seed)


def _blind(asked: Asked, prepared: Prepared, found: Found) -> Lacks | None:
    """Judge what text and label alone tell; return why the pool is shifted, or None."""
    chosen = asked.chosen
    head = Head("release", BLIND, "membership")
    if min(chosen.members.sum(), (~chosen.members).sum()) < LEAST:
        found.leaks.append(head.not_measured(f"needs {LEAST} candidates a side"))
        return None
    pool = prepared.pool.take(chosen.candidates)
    texts = np.split(pool.tokens, pool.offsets[1:-1])
    rng = numpy_rng(asked.cell.config.seed, "blind")
    estimate, shifted = blind_baseline(texts, pool.labels, chosen.members, rng)
    found.leaks.append(head.leak("blind_auc", estimate, "record", 0.5))
    if not shifted:
        return None
    ends = f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    words = f"the pool is shifted: text and label alone tell members with AUC {ends}"
    return Lacks(("candidates",), words)


def matching_signals(observation: Observation, name: str) -> tuple[Signals | Lacks, np.ndarray]:
    """Return what the server makes of candidates, and which were in the messages it heard; or why
    it cannot tell.

    Candidates are the examples behind the messages, and examples left out of the training.
    """
    overheard, prepared, config = (
        observation.transcript.kept,
        observation.prepared,
        observation.cell.config,
    )
    nobody = np.zeros(0, dtype=bool)
    if not overheard:
        return Lacks(("nearness",), "nothing is sent in the forward view"), nobody
    if prepared.task.kind == "mlm":
        words = "which words of a candidate would be masked is unknown"
        return Lacks(("nearness",), words), nobody
    if observation.defence.nearest_word:
        return Lacks(("nearness",), "E is fed other words than the candidate's"), nobody
    heard: set[int] = set()
    for each in overheard:
        data = prepared.clients[each.message.client]
        own = data.in_pool
        heard |= set(own[data.chosen(each.message.step)].tolist())
    _, non_members = members_and_non_members(config, prepared)
    rng = numpy_rng(config.seed, "candidates", name)
    others = rng.permutation(non_members)[: observation.cell.attacks.candidates]
    candidates = np.sort(np.concatenate((np.array(sorted(heard), dtype=np.int64), others)))
    members = np.isin(candidates, sorted(heard))
    rate = observation.trained.split.whole.config.hidden_dropout_prob
    best = np.full(len(candidates), -np.inf)
    for group in same_parts(overheard):
        tables = tables_from(group[0].parts, observation.trained.split)
        knowledge = knowledge_of(observation.defence, tables, rate)
        lacks = lacking(knowledge)
        if lacks is not None:
            return lacks, nobody
        shown = batches(prepared, prepared.pool, candidates, config.seed, name)
        best = np.maximum(best, nearness([o.message for o in group], knowledge, shown))
    return Signals(Answers(np.zeros(len(candidates))), nearness=best), members
