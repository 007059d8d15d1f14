"""Foresight: which attacks of a grid will lack something, told before anything is trained.

Each attack is asked what it lacks (`missing`), given as much as a finished cell would give it;
what only the training can show counts as there, so that nothing is foretold that could come true.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from attacks.attack import Knowledge, Lacks
from attacks.attributes.knowledge import AttributeKnowledge
from attacks.membership.known_message import lacking_noise
from attacks.membership.message_matching import lacking
from attacks.pooled.knowledge import PooledKnowledge
from attacks.signals import Answers, Signals
from evaluation.adversary.candidates import known_of
from evaluation.adversary.inference import copies_of
from evaluation.adversary.knowledge import (
    knowledge_of,
    knowledge_with,
    table_knowledge,
    update_knowledge,
)
from evaluation.adversary.observation import Observation
from evaluation.adversary.signals import DIRECTIONS
from evaluation.adversary.transcript import Transcript
from evaluation.attacking.loop import Head, Named, named
from evaluation.attacking.membership import unmatched
from evaluation.attacking.one_message import BY_DEFAULT, lacking_basis
from evaluation.attacking.updates import SUM_ALONE
from evaluation.grid.catalogue import FAMILIES
from evaluation.grid.spec import AttackSettings, Cell
from fedbert.data.repeats import one_of_each
from fedbert.frozen import dropout_of
from fedbert.messages import ClientParts
from fedbert.prepare import Prepared
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import State, Trained
from privacy.defence import Defence
from reports.leaks import what_of

FEW = 10  # candidates that stand for all
SETTINGS = {"population": "population", "shadow_losses": "shadows"}
"""What a grid's [attacks] can do about a field that is lacking."""
WHERE = "`fedbert-eval budget views` and the report say which"
SENDING = ("parallel", "sequential")
"""The strategies under which activations cross in every step."""
SILENT = ("centralised", ONE_MESSAGE)
"""The strategies under which no update is sent."""


@dataclass
class Foresight:
    """What was foretold of the cells so far; those that differ in their seed alone are one."""

    settings: set[object] = field(default_factory=set)
    found: dict[str, Counter[str]] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    counts: dict[object, int] = field(default_factory=dict)

    def look(self, cell: Cell, prepared: Prepared, defence: Defence) -> None:
        """Look at a cell that will run."""
        setting = replace(cell, config=replace(cell.config, seed=0))
        if setting in self.settings:
            return
        self.settings.add(setting)
        pool = cell.config.data, cell.config.model, cell.config.seed
        if pool not in self.counts:
            self.counts[pool] = left_out(prepared)
        for by_default in (False, True):
            some = replace(cell, attacks=chosen(cell.attacks, by_default))
            for head, lacks in foreseen(some, prepared, defence, self.counts[pool]):
                (name, *_) = lacks.fields
                key = SETTINGS.get(name)
                now = "" if key is None else f" (attacks.{key} = {getattr(cell.attacks, key)})"
                what = what_of(head.not_measured(lacks.words))
                self.found.setdefault(what, Counter())[lacks.words + now] += 1
                self.named |= set() if by_default else {what}

    def lines(self, every: bool = True) -> list[str]:
        """Return a line for each attack that will not run: why, and in how many settings.

        every: otherwise those of the default sets are counted alone, in a line.
        """
        total = len(self.settings)

        def share(count: int) -> str:
            return f" ({count} of {total} settings)" if count < total else ""

        told = [
            f"will not run: {what}: " + "; ".join(why + share(n) for why, n in reasons.items())
            for what, reasons in self.found.items()
            if every or what in self.named
        ]
        left = len(self.found) - len(told)
        return told + [f"will not run: {left} of the attacks by default; {WHERE}"] * (left > 0)


def chosen(attacks: AttackSettings, by_default: bool) -> AttackSettings:
    """Return the attacks of the families that a grid leaves at their default, or of the others."""
    default = AttackSettings()
    others = [x for x in FAMILIES if (getattr(attacks, x) == getattr(default, x)) is not by_default]
    nothing: dict[str, Any] = dict.fromkeys(others, ())
    return replace(attacks, **nothing)


def left_out(prepared: Prepared) -> int:
    """Return how many examples of the pool the coin left out, one of each text."""
    if prepared.members is None:
        return 0
    return len(one_of_each(prepared.coin_groups[np.flatnonzero(~prepared.members)]))


def foreseen(
    cell: Cell, prepared: Prepared, defence: Defence, others: int
) -> Iterator[tuple[Head, Lacks]]:
    """Yield a cell's attacks that will lack something, and what, as far as is known.

    others: `left_out` of the inputs.
    """
    before = _before(cell, prepared, defence)
    asked = cell.attacks
    aside = 0 if prepared.members is None else int((~prepared.members).sum())
    text = (np.zeros(1, dtype=np.int64),) * aside or None  # one for each that will be at hand
    sends = cell.config.training.strategy in SENDING
    known = partial(_lacks_of, _forward(before, text))
    if sends:
        yield from _lacking(named(asked.inversion, "inversion"), known)
        head = knowledge_with(prepared.split.head, defence)
        reads_words = prepared.task.kind == "mlm"
        backward = named(asked.backward, "backward")
        fitting = [x for x in backward if hasattr(x.attack, "reconstruct") is reads_words]
        yield from _lacking(fitting, partial(_lacks_of, head))
    if cell.config.training.strategy not in SILENT:
        yield from _lacking(named(asked.updates, "updates"), partial(_updates, before, text))
    pooled = PooledKnowledge(lambda _: np.zeros((0, 0)), text, tuple(prepared.vocabulary.special))
    yield from _lacking(named(asked.pooled, "pooled"), partial(_lacks_of, pooled))
    if cell.config.training.strategy == ONE_MESSAGE:
        model = defence.smashed.noise_model()
        heard = replace(pooled, noise=model.kind, noise_std=model.std)
        attacks = named(asked.pooled or BY_DEFAULT, "pooled", of="message", view="forward")
        yield from _lacking(attacks, partial(_lacks_of, lacking_basis(model) or heard))
    if prepared.pool.attributes is not None:
        told = None if text is None else prepared.pool.attributes[: len(text)]  # as many
        known_of_it = AttributeKnowledge(lambda _: np.zeros((0, 0)), told)
        yield from _lacking(named(asked.attributes, "attributes"), partial(_lacks_of, known_of_it))
    signals = _signals(cell, prepared, known_of(cell, others))
    if cell.config.training.strategy == ONE_MESSAGE:
        noise = defence.smashed.noise_model()
        nearness = lacking_noise(noise.kind) or lacking_basis(noise)
    else:
        nearness = unmatched(sends, prepared, defence) or lacking(_forward(before, text))

    def members(each: Named) -> Lacks | None:
        if each.head.view == "forward" and nearness is not None:
            return nearness
        lacks: Lacks | None = each.attack.missing(signals)
        return lacks

    yield from _lacking(named(asked.membership, "membership"), members)


def _lacking(
    attacks: Iterable[Named], ask: Callable[[Named], Lacks | None]
) -> Iterator[tuple[Head, Lacks]]:
    """Yield what attacks lack."""
    for each in attacks:
        lacks = ask(each)
        if lacks is not None:
            yield each.head, lacks


def _lacks_of(knowledge: Any, each: Named) -> Lacks | None:
    """Return what an attack lacks that is given this."""
    if isinstance(knowledge, Lacks):
        return knowledge
    lacks: Lacks | None = each.attack.missing(knowledge)
    return lacks


def _before(cell: Cell, prepared: Prepared, defence: Defence) -> Observation:
    """Return a cell before its training, as an observation: the model as it starts."""
    state = State(0, {}, {}, {}, {}, ())
    trained = Trained(prepared.split, (), {}, 0, {}, state)
    return Observation(cell, prepared, defence, trained, Transcript(frozenset(), 0))


def _forward(before: Observation, text: tuple[np.ndarray, ...] | None) -> Knowledge:
    """Return what will be known of A."""
    split = before.prepared.split
    tables = split.embedding_tables() if split.cut_layer == 0 else None
    rate = dropout_of(split)
    known = knowledge_of(before.defence, tables, rate, text)
    return replace(known, bottom=split.bottom, protect=lambda a, batch, generator: a)


def _updates(before: Observation, text: tuple[np.ndarray, ...] | None, each: Named) -> Lacks | None:
    """Return what an attack on updates will lack, of a client's first round."""
    if not hasattr(each.attack, "reconstruct"):
        known = table_knowledge(before.defence, before.prepared, before.prepared.split)
        if each.head.view == "peer" and not isinstance(known, Lacks):
            return None  # what peers get is told by the rounds
        return _lacks_of(known, each)
    if before.cell.config.training.secure_aggregation:
        return Lacks(("update",), SUM_ALONE)
    parts = ClientParts(0, 0, {})
    before.transcript.turns[0, 0] = 0
    return _lacks_of(update_knowledge(before, parts, text), each)


def _signals(cell: Cell, prepared: Prepared, known: int) -> Signals:
    """Return signals of the shapes that a finished cell will have, drawn at random."""
    copies = copies_of(each.attack for each in named(cell.attacks.membership, "membership"))
    rng = np.random.default_rng(0)
    classes = len(prepared.task.label_names) if prepared.task.kind == "classification" else 0

    def answers(count: int, features: int) -> Answers:
        """Return a model's answers, and those of shadows in pairs that share no example."""
        coins = rng.random((cell.attacks.shadows // 2, count)) < 0.5
        half = np.concatenate([coins, ~coins]) if len(coins) else np.zeros((0, count), bool)
        logs = np.full((count, classes), -np.log(max(classes, 1))) if classes else None
        labels = np.zeros(count, np.int64) if classes else None
        losses = rng.random((1 + len(half), count))
        rows = rng.random((count, features)) if features else None
        return Answers(losses[0], logs, labels, losses[1:], half, rows)

    shape = cell.config.training.rounds, cell.config.data.clients, FEW
    watched = cell.config.training.strategy not in SILENT
    directions = np.zeros(shape) if watched and classes else None
    return Signals(
        answers(FEW, 0),
        answers(known, 1 + DIRECTIONS) if known else None,
        np.zeros((shape[0] + 1, FEW)) if watched else None,
        directions,
        directions,
        np.zeros(FEW),
        np.zeros((1 + copies, FEW), np.int64) if classes else None,
    )
