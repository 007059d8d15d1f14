"""Membership of a cell: candidates chosen, signals computed once, attacks asked and judged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from attacks.attack import Lacks
from attacks.membership.message_matching import lacking, nearness
from attacks.signals import Answers, Signals
from evaluation.adversary.candidates import (
    Candidates,
    choose,
    members_and_non_members,
    settled_by,
)
from evaluation.adversary.inference import batches, copies_of
from evaluation.adversary.knowledge import knowledge_of
from evaluation.adversary.observation import Observation, same_parts
from evaluation.adversary.round_watch import RoundWatch
from evaluation.adversary.signals import arrays_of, signals_of
from evaluation.adversary.transcript import tables_from
from evaluation.attacking.clients import client_level
from evaluation.attacking.loop import Head, Named, entries, named
from evaluation.attacking.one_message import known_sender
from evaluation.grid.spec import Cell
from evaluation.metrics.blind_baseline import LEAST, blind_baseline, units
from evaluation.metrics.membership import (
    EVEN,
    FPRS,
    TOO_FEW_CLUSTERS,
    chance,
    judged,
    too_few,
)
from fedbert.data.batches import Encoded
from fedbert.data.repeats import clusters, one_of_each
from fedbert.frozen import dropout_of
from fedbert.prepare import Prepared
from fedbert.seeding import derive, numpy_rng
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import State
from privacy.defence import Defence
from reports.leak import Leak, LeakageEntry
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
    attacks: tuple[Named, ...]
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
    attacks = named(cell.attacks.membership, "membership")
    if prepared.members is None or not attacks:
        return None
    chosen = choose(cell, prepared)
    if min(chosen.members.sum(), (~chosen.members).sum()) < 2:
        return None
    watched = any(each.head.view == "aggregator" for each in attacks)
    watch = None
    if watched and cell.config.training.strategy not in ("centralised", ONE_MESSAGE):
        secure = cell.config.training.secure_aggregation
        watch = RoundWatch(prepared, chosen.candidates, cell.config.seed, secure)
    return Asked(cell, attacks, chosen, watch)


def membership(asked: Asked | None, observation: Observation, cache: Path | None) -> Found:
    """Return how well every membership attack tells members from other examples of the pool.

    cache: where shadow models are kept; None = nowhere. Where text and label alone tell members,
    the pool is shifted, and the attacks are not judged.
    """
    if asked is None:
        return Found()
    found, seed = Found(), asked.cell.config.seed
    config, receipts = asked.cell.config, observation.trained.receipts
    chosen = settled_by(asked.chosen, config, observation.prepared, receipts)
    if min(chosen.members.sum(), (~chosen.members).sum()) < 2:
        return found  # hardly anybody of theirs ended in the model
    asked = replace(asked, chosen=chosen)
    pool = observation.prepared.pool.take(asked.chosen.candidates)
    entry, shifted = blind(pool, asked.chosen.members, seed, "blind")
    found.leaks.append(entry)
    seen = (None, None, None) if asked.watch is None else asked.watch.arrays()
    copies = copies_of(each.attack for each in asked.attacks)
    signals = signals_of(observation, asked.chosen, cache, seen, copies)
    found.signals.update(arrays_of(signals, asked.chosen))
    why = None
    if shifted and isinstance(entry, Leak):
        e = entry.estimate
        ends = f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"
        why = f"the pool is shifted: text and label alone tell members with AUC {ends}"

    def ask(each: Named) -> Scored | Lacks | str:
        if why is not None:
            return why
        if each.head.view == "forward":
            matching = matching_signals if observation.sent is None else known_sender
            given, members, matched = matching(observation, each.attack.name)
            own = clusters(observation.prepared.pool.take(matched))
        else:
            given, members, own = signals, asked.chosen.members, clusters(pool)
        return given if isinstance(given, Lacks) else scored(each, given, members, seed, own)

    def judge(each: Named, answer: Scored) -> Iterator[LeakageEntry]:
        found.scored[each.attack.name] = answer
        yield from figures(each, answer)
        if asked.cell.attacks.client_level and each.head.view != "forward":
            parts = asked.cell.config, asked.chosen, observation.prepared, answer
            yield client_level(each.head, *parts)

    found.leaks += entries(asked.attacks, ask, judge)
    return found


def scored(
    each: Named, signals: Signals, members: np.ndarray, seed: int, clusters: np.ndarray
) -> Scored | Lacks:
    """Return an attack's scores beside who was a member [candidate], or what it lacks.

    clusters [candidate] int: candidates of one number depend on each other.
    """
    lacks: Lacks | None = each.attack.missing(signals)
    if lacks is not None:
        return lacks
    draws = numpy_rng(seed, "attack", each.attack.name)
    scores = np.asarray(each.attack.score(signals, draws), dtype=np.float64)
    return Scored(scores, members, derive(seed, "judge", each.attack.name), clusters)


def figures(each: Named, answer: Scored) -> Iterator[LeakageEntry]:
    """Yield every number of an attack on records, and which could not be measured."""
    found, others = judged(answer), len(answer.non_member_scores)
    for metric, estimate in found.items():
        yield each.head.leak(metric, estimate, "record", chance(metric, others))
    for metric, fpr in FPRS.items():
        if metric not in found:
            yield each.head.not_measured(too_few(others, fpr), metric)
    if "balanced_accuracy" not in found:
        yield each.head.not_measured(TOO_FEW_CLUSTERS, "balanced_accuracy")


def blind(
    candidates: Encoded, members: np.ndarray, seed: int, stream: str
) -> tuple[LeakageEntry, bool]:
    """Return how well text and label alone tell members, and whether the pool is thus shifted.

    members [candidate] bool; stream: which draws from the seed.
    """
    head = Head("release", BLIND, "membership")
    own = clusters(candidates)
    if units(members, own) < LEAST:
        return head.not_measured(f"needs {LEAST} candidates a side"), False
    texts = np.split(candidates.tokens, candidates.offsets[1:-1])
    rng = numpy_rng(seed, stream)
    estimate, shifted = blind_baseline(texts, candidates.labels, members, rng, own)
    return head.leak("blind_auc", estimate, "record", EVEN["auc"]), shifted


def unmatched(sent: bool, prepared: Prepared, defence: Defence) -> Lacks | None:
    """Return why no candidate could be looked for among messages, or None; sent: are there any?"""
    if not sent:
        return Lacks(("nearness",), "nothing is sent in the forward view")
    if prepared.task.kind == "mlm":
        return Lacks(("nearness",), "which words of a candidate would be masked is unknown")
    if defence.nearest_word:
        return Lacks(("nearness",), "E is fed other words than the candidate's")
    return None


def matching_signals(
    observation: Observation, name: str
) -> tuple[Signals | Lacks, np.ndarray, np.ndarray]:
    """Return what the server makes of candidates, which are behind messages that it got, and where
    they are in the pool; or why it cannot tell.

    Candidates are the examples behind the messages, one of each text, and examples left out of the
    training.
    """
    sent, prepared, config = (
        observation.transcript.entries,
        observation.prepared,
        observation.cell.config,
    )
    nobody = np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    unlike = unmatched(bool(sent), prepared, observation.defence)
    if unlike is not None:
        return unlike, *nobody
    behind: set[int] = set()
    for each in sent:
        data = prepared.clients[each.message.client]
        own = data.in_pool
        behind |= set(own[data.chosen(each.message.step)].tolist())
    _, non_members = members_and_non_members(config, prepared)
    rng = numpy_rng(config.seed, "candidates", name)
    others = rng.permutation(non_members)[: observation.cell.attacks.candidates]
    reached = np.array(sorted(behind), dtype=np.int64)
    reached = reached[one_of_each(prepared.coin_groups[reached])]
    candidates = np.sort(np.concatenate((reached, others)))
    members = np.isin(candidates, reached)
    rate = dropout_of(observation.trained.split)
    best = np.full(len(candidates), -np.inf)
    for group in same_parts(sent):
        tables = tables_from(group[0].parts, observation.trained.split)
        knowledge = knowledge_of(observation.defence, tables, rate)
        lacks = lacking(knowledge)
        if lacks is not None:
            return lacks, *nobody
        shown = batches(prepared, prepared.pool, candidates, config.seed, name)
        best = np.maximum(best, nearness([o.message for o in group], knowledge, shown))
    return Signals(Answers(np.zeros(len(candidates))), nearness=best), members, candidates
