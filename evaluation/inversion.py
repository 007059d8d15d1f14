"""What the inversion attacks of every view recover of the text, judged against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation import leakage
from evaluation.catalogue import BACKWARD, INVERSION, make_attack
from evaluation.forward_judge import ForwardJudge, Group
from evaluation.grid import Cell
from evaluation.knowledge import head_knowledge, knowledge_of
from evaluation.observe import Overheard, Wiretap, same_values, tables_from
from evaluation.updates import updates
from fedbert.batches import IGNORED, Batch
from fedbert.messages import Message
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from fedbert.trainer import Trained
from privacy.defence import Defence

Leak = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """A finished cell as the judges see it: what was overheard, and the truth behind it."""

    cell: Cell
    prepared: Prepared
    defence: Defence
    trained: Trained
    tap: Wiretap

    @property
    def special(self) -> list[int]:
        """The special tokens' ids."""
        return list(self.prepared.vocabulary.special)

    def batch(self, each: Overheard) -> Batch:
        """Return the batch behind a message."""
        return self.prepared.clients[each.message.client].batch(each.message.step)

    def words(self) -> np.ndarray:
        """Return how often each token occurs in the pool, specials never [vocab]."""
        tokens = self.prepared.pool.tokens
        return np.bincount(tokens[~np.isin(tokens, self.special)])


def inversion(heard: Heard) -> tuple[list[Leak], list[dict[str, Any]]]:
    """Return what every attack of the grid recovered, view by view, and a few sentences with it."""
    found: list[Leak] = []
    samples: list[dict[str, Any]] = []
    if heard.tap.kept:
        found, samples = _forward(heard)
        found += _backward(heard)
    return [*found, *updates(heard, _auxiliary(heard.prepared))], samples


def _forward(heard: Heard) -> tuple[list[Leak], list[dict[str, Any]]]:
    """Return the tokens that attacks on the smashed data recovered, and a few sentences."""
    found: list[Leak] = []
    guesses: dict[str, Sequence[np.ndarray]] = {}
    rate = heard.trained.split.whole.config.hidden_dropout_prob
    auxiliary = _auxiliary(heard.prepared)
    groups: list[Group] = []
    for group in same_parts(heard.tap.kept):
        tables = tables_from(group[0].parts, heard.trained.split)
        knowledge = knowledge_of(heard.defence, tables, rate, auxiliary)
        groups.append(([o.message for o in group], [heard.batch(o) for o in group], knowledge))
    seed = heard.cell.config.seed
    judge = ForwardJudge.of(seed, heard.prepared, heard.defence, groups, rate, auxiliary)
    for name in heard.cell.attacks.inversion:
        attack = make_attack(name, INVERSION, "reconstruct")
        head = {"view": attack.view, "attack": attack.name, "family": "inversion"}
        guessed: list[np.ndarray] = []
        for messages, _, knowledge in groups:
            lacking = attack.missing(knowledge)
            if lacking is not None:
                found.append({**head, "not_measured": lacking})
                break
            draws = generator(seed, "attack", attack.name, len(guessed))
            guessed += attack.reconstruct(messages, knowledge, draws)
        else:
            guesses[attack.name] = guessed
            alone = name in INVERSION and INVERSION[name].alone
            found += judge.leaks(head, guessed, alone)
    return found, judge.samples(guesses)


def _backward(heard: Heard) -> Iterator[Leak]:
    """Yield what attacks on G_Z recovered: masked words, or labels."""
    answered = [o for o in heard.tap.kept if heard.tap.answers_to(o)]
    kind = heard.prepared.task.kind
    for name in heard.cell.attacks.backward:
        attack = make_attack(name, BACKWARD, "missing")
        if not answered or hasattr(attack, "reconstruct") is not (kind == "mlm"):
            continue
        head = {"view": attack.view, "attack": attack.name, "family": "inversion"}
        guessed: list[np.ndarray] = []
        for group in same_parts(answered):
            knowledge = head_knowledge(heard.defence, group[0].parts, heard.trained.split)
            lacking = knowledge if isinstance(knowledge, str) else attack.missing(knowledge)
            if lacking is not None:
                yield {**head, "not_measured": lacking}
                break
            guessed += _asked(heard, attack, group, knowledge, len(guessed))
        else:
            if kind == "regression":
                yield {**head, "not_measured": "scores have no accuracy, and are not judged yet"}
            else:
                yield from _judged(heard, head, answered, guessed)


def _asked(
    heard: Heard, attack: Any, group: Sequence[Overheard], knowledge: Any, number: int
) -> list[np.ndarray]:
    """Return an attack's answers for some steps."""
    messages: list[Message] = []
    for each in group:
        messages += [each.message, *heard.tap.answers_to(each)]
    draws = generator(heard.cell.config.seed, "attack", attack.name, number)
    verb = getattr(attack, "labels", None) or attack.reconstruct
    found: list[np.ndarray] = verb(messages, knowledge, draws)
    return found


def _judged(
    heard: Heard, head: Leak, answered: Sequence[Overheard], guessed: Sequence[np.ndarray]
) -> Iterator[Leak]:
    """Yield how many masked words or labels were right."""
    rng = numpy_rng(heard.cell.config.seed, "judge", head["attack"])
    labels = [heard.batch(o).labels.numpy() for o in answered]
    if heard.prepared.task.kind == "mlm":
        masked = [each != IGNORED for each in labels]
        chance = leakage.token_chance(labels, masked, heard.words())
        metric, unit, counted = "masked_token_accuracy", "token", masked
    else:
        labels, guessed = [each[:, None] for each in labels], [g[:, None] for g in guessed]
        counted = [np.ones_like(each, dtype=bool) for each in labels]
        everyone = np.bincount(heard.prepared.pool.labels.astype(np.int64))
        chance = leakage.token_chance(labels, counted, everyone)
        metric, unit = "label_accuracy", "label"
    estimate = leakage.token_accuracy(labels, list(guessed), counted, rng)
    leak = {**head, "metric": metric, "estimate": estimate, "unit": unit}
    yield {**leak, "chance": chance}


def _auxiliary(prepared: Prepared) -> tuple[np.ndarray, ...] | None:
    """Return text of the same kind that nobody trained on: the pool's examples left out."""
    if prepared.members is None or prepared.task.kind == "mlm":
        return None
    pool = prepared.pool.take(np.flatnonzero(~prepared.members))
    return tuple(np.split(pool.tokens, pool.offsets[1:-1]))


def same_parts(overheard: Sequence[Overheard]) -> Iterator[list[Overheard]]:
    """Yield neighbouring messages whose senders started from the very same values."""
    group: list[Overheard] = []
    for each in overheard:
        if group and not same_values(group[0].parts, each.parts):
            yield group
            group = []
        group.append(each)
    if group:
        yield group
