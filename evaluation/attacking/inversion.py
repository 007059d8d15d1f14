"""What the inversion attacks of every view recover of the text, judged against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from attacks.attack import Knowledge, WordReader
from attacks.inversion.learned_decoder import trained
from evaluation.adversary.knowledge import head_knowledge, knowledge_of, with_bottom
from evaluation.adversary.wiretap import Overheard, Wiretap, same_values, tables_from
from evaluation.attacking.judge import ForwardJudge, Group
from evaluation.attacking.updates import updates
from evaluation.grid.catalogue import BACKWARD, INVERSION, make_attack
from evaluation.grid.spec import Cell
from evaluation.metrics import tokens as leakage
from fedbert.data.batches import IGNORED, Batch, mask_tokens
from fedbert.messages import ClientParts, Message
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
    texts, _ = _auxiliary(heard.prepared, heard.cell.config.seed)
    return [*found, *updates(heard, texts)], samples


def _forward(heard: Heard) -> tuple[list[Leak], list[dict[str, Any]]]:
    """Return the tokens that attacks on the smashed data recovered, and a few sentences."""
    found: list[Leak] = []
    guesses: dict[str, Sequence[np.ndarray]] = {}
    rate, seed = heard.trained.split.whole.config.hidden_dropout_prob, heard.cell.config.seed
    texts, types = _auxiliary(heard.prepared, seed)
    groups: list[Group] = []
    for group in same_parts(heard.tap.kept):
        known = partial(_known, heard, group[0].parts, texts, types)
        groups.append(([o.message for o in group], [heard.batch(o) for o in group], known))
    judge = ForwardJudge.of(seed, heard.prepared, heard.defence, groups, rate, texts)
    decoders: dict[int, WordReader] = {}
    for name in heard.cell.attacks.inversion:
        attack = make_attack(name, INVERSION, "reconstruct")
        head = {"view": attack.view, "attack": attack.name, "family": "inversion"}
        guessed: list[np.ndarray] = []
        for messages, _, make in groups:
            knowledge = make()
            if attack.missing(knowledge) is not None:
                knowledge = make(whole=True)
            lacking = attack.missing(knowledge)
            if lacking is not None:
                found.append({**head, "not_measured": lacking})
                break
            number = len(guessed)
            if getattr(attack, "uses_decoder", False):  # one serves all attacks that start from it
                if number not in decoders:
                    decoders[number] = trained(knowledge, generator(seed, "decoder", number))
                knowledge = replace(knowledge, decoder=decoders[number])
            draws = generator(seed, "attack", attack.name, number)
            guessed += attack.reconstruct(messages, knowledge, draws)
        else:
            guesses[attack.name] = guessed
            alone = name in INVERSION and INVERSION[name].alone
            adaptive = getattr(attack, "adaptive", True)
            found += judge.leaks(head, guessed, alone, adaptive)
    return found, judge.samples(guesses)


def _known(
    heard: Heard,
    parts: ClientParts,
    texts: tuple[np.ndarray, ...] | None,
    types: tuple[np.ndarray, ...] | None,
    whole: bool = False,
) -> Knowledge:
    """Return what is known of messages whose sender started from these parts.

    whole: E itself besides its tables, a copy as large as the model.
    """
    split = heard.trained.split
    rate = split.whole.config.hidden_dropout_prob
    knowledge = knowledge_of(heard.defence, tables_from(parts, split), rate, texts, types)
    if not whole:
        return knowledge
    return with_bottom(knowledge, heard.defence, parts, split, heard.cell.config.data.max_length)


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


def _auxiliary(
    prepared: Prepared, seed: int
) -> tuple[tuple[np.ndarray, ...] | None, tuple[np.ndarray, ...] | None]:
    """Return text of the same kind that nobody trained on, and its token types.

    That is what the coin left out of the pool; for masked-LM masked once, as E is shown its text.
    """
    if prepared.members is None:
        return None, None
    pool = prepared.pool.take(np.flatnonzero(~prepared.members))
    if len(pool) == 0:
        return None, None
    tokens, v = pool.tokens, prepared.vocabulary
    if prepared.task.kind == "mlm":
        rest = torch.from_numpy(tokens)[None]
        none = torch.zeros(1, dtype=torch.int64)
        batch = Batch(rest, torch.ones_like(rest), torch.zeros_like(rest), rest, none)
        draws = generator(seed, "auxiliary")
        masked = mask_tokens(batch, v.mask, v.size, v.special, draws)
        tokens = masked.input_ids[0].numpy()
    ends = pool.offsets[1:-1]
    return tuple(np.split(tokens, ends)), tuple(np.split(pool.token_types, ends))


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
