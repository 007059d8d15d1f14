"""Update attacks: words of a client's batches, and their order, recovered and judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from attacks.attack import Lacks
from attacks.updates.whole_update import NotApplicable
from evaluation.adversary.knowledge import received_noise, table_knowledge, update_knowledge
from evaluation.adversary.observation import Observation
from evaluation.attacking.loop import Head, Named, entries, named
from evaluation.metrics.text import exact_match, rouge, token_sets
from evaluation.metrics.tokens import matched, token_accuracy, token_chance
from fedbert.data.batches import IGNORED, Batch
from fedbert.messages import ClientParts
from fedbert.seeding import generator, numpy_rng
from reports.leak import LeakageEntry

SUM_ALONE = (
    "not applicable: it reads the update of one client, and under secure_aggregation, which is "
    "simulated, the aggregator holds a round's average alone"
)

ONE_ROUND = "needs a round after the one whose average is read: that is the release"


@dataclass(frozen=True)
class NamedWords:
    """Sets of words, token ids [word] each: of the truth, and those that an attack named."""

    true: tuple[np.ndarray, ...]
    guessed: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Sequences:
    """The token ids [sequence, seq] that an attack read off each update."""

    guessed: tuple[np.ndarray, ...]


def updates(
    observation: Observation, auxiliary: tuple[np.ndarray, ...] | None
) -> Iterator[LeakageEntry]:
    """Yield what every attack on updates recovered, as aggregator or as peer."""
    attacks = named(observation.cell.attacks.updates, "updates")
    secure = observation.cell.config.training.secure_aggregation
    if secure or observation.transcript.updates:  # else nothing is sent
        ask, judge = partial(_ask, observation, auxiliary), partial(_judge, observation)
        yield from entries(attacks, ask, judge)


def _ask(
    observation: Observation, auxiliary: tuple[np.ndarray, ...] | None, each: Named
) -> NamedWords | Sequences | Lacks | str:
    """Return an attack's answer, or why there is none."""
    secure = observation.cell.config.training.secure_aggregation
    if hasattr(each.attack, "reconstruct"):
        if secure:
            return SUM_ALONE
        return _sequences(observation, each.attack, auxiliary)
    if each.head.view == "peer":
        return _received(observation, each.attack)
    return (_summed if secure else _sent)(observation, each.attack)


def _judge(
    observation: Observation, each: Named, answer: NamedWords | Sequences
) -> Iterator[LeakageEntry]:
    """Yield what an answer is worth."""
    if isinstance(answer, NamedWords):
        return _judged_words(observation, each.head, answer)
    return _judged_sequences(observation, each.head, answer)


def _sent(observation: Observation, attack: Any) -> NamedWords | Lacks | str:
    """Return which of a client's words its update of the word table gave away."""
    pairs, steps = observation.transcript.updates, observation.cell.config.training.local_steps
    knowledge = table_knowledge(
        observation.defence, observation.prepared, observation.trained.split
    )
    if isinstance(knowledge, Lacks):
        return knowledge
    knowledge = replace(knowledge, steps=steps)
    lacks: Lacks | None = attack.missing(knowledge)
    if lacks is not None:
        return lacks
    guessed = attack.tokens([m for pair in pairs for m in pair], knowledge)
    true = [_tokens(_batches(observation, parts)) for parts, _ in pairs]
    return NamedWords(tuple(true), tuple(guessed))


def _summed(observation: Observation, attack: Any) -> NamedWords | Lacks | str:
    """Return which words of all its clients a round's average gave away."""
    prepared = observation.prepared
    knowledge = table_knowledge(observation.defence, prepared, observation.trained.split)
    if isinstance(knowledge, Lacks):
        return knowledge
    true, guessed = [], []
    for parts, average in observation.transcript.updates:
        round_ = parts.round
        noise = received_noise(observation, range(round_, round_ + 1))
        if isinstance(noise, Lacks):
            return noise
        who = [client for client, number in observation.transcript.turns if number == round_]
        came = observation.trained.receipts.learnt(round_, who)
        known = replace(knowledge, noise="gaussian", noise_std=noise)
        if came:
            true.append(_tokens([b for c in came for b in _steps(observation, c, round_)]))
            guessed += attack.tokens([parts, average], known)
    return NamedWords(tuple(true), tuple(guessed)) if true else ONE_ROUND


def _received(observation: Observation, attack: Any) -> NamedWords | Lacks | str:
    """Return which words of others a client reads from what it receives, its own taken off."""
    knowledge = table_knowledge(
        observation.defence, observation.prepared, observation.trained.split
    )
    if isinstance(knowledge, Lacks):
        return knowledge
    true, guessed = [], []
    for pair in observation.transcript.receipts:
        between = _between(observation, *pair)
        noise = received_noise(observation, range(pair[0].round, pair[1].round))
        if isinstance(noise, Lacks):
            return noise
        mine = pair[0].client
        own = _tokens([b for c, r in between if c == mine for b in _steps(observation, c, r)])
        theirs = _tokens([b for c, r in between if c != mine for b in _steps(observation, c, r)])
        own = np.union1d(own, observation.special)
        [guess] = attack.tokens(list(pair), replace(knowledge, noise="gaussian", noise_std=noise))[
            -1:
        ]
        if len(np.setdiff1d(theirs, own)):
            true.append(np.setdiff1d(theirs, own))
            guessed.append(np.setdiff1d(guess, own))
    if not true:
        return "needs a client that receives twice, with others training in between"
    return NamedWords(tuple(true), tuple(guessed))


def _sequences(
    observation: Observation, attack: Any, auxiliary: tuple[np.ndarray, ...] | None
) -> Sequences | Lacks | str:
    """Return the whole sequences that updates gave away; what is refused counts as missed."""
    guessed: list[np.ndarray] = []
    refused: list[str] = []
    for number, (parts, update) in enumerate(observation.transcript.updates):
        knowledge = update_knowledge(observation, parts, auxiliary)
        lacks = knowledge if isinstance(knowledge, Lacks) else attack.missing(knowledge)
        if isinstance(lacks, Lacks):
            return lacks
        draws = generator(observation.cell.config.seed, "attack", attack.name, number)
        [answer] = attack.reconstruct([parts, update], knowledge, draws)
        if isinstance(answer, NotApplicable):
            refused.append(f"not applicable: {answer.reason}")
            answer = np.zeros((1, 1), dtype=np.int64)
        guessed.append(answer)
    if len(refused) == len(guessed):
        return refused[0] if refused else "no update was sent"
    return Sequences(tuple(guessed))


def _judged_sequences(
    observation: Observation, head: Head, answer: Sequences
) -> Iterator[LeakageEntry]:
    """Yield how much of whole sequences was right, each matched to the one most like it."""
    truth = [
        _rows(observation, _batches(observation, parts))
        for parts, _ in observation.transcript.updates
    ]
    true, counted = [ids for ids, _ in truth], [mask for _, mask in truth]
    aligned = [matched(*each) for each in zip(true, counted, answer.guessed, strict=True)]
    special = [*observation.special, 0]
    rng = numpy_rng(observation.cell.config.seed, "judge", head.attack)
    chance = token_chance(true, counted, observation.words())
    tokens = token_accuracy(true, aligned, counted, rng)
    yield head.leak("token_accuracy", tokens, "token", chance)
    for n in (1, 2, "L"):
        if max(int(mask.sum(1).max()) for mask in counted) >= (n if isinstance(n, int) else 1):
            yield head.leak(f"rouge{n}", rouge(true, aligned, special, n, rng), "sequence")
    yield head.leak("exact_match", exact_match(true, aligned, special, rng), "sequence")


def _judged_words(
    observation: Observation, head: Head, answer: NamedWords
) -> Iterator[LeakageEntry]:
    """Yield precision and recall of sets of words."""
    rng = numpy_rng(observation.cell.config.seed, "judge", head.attack)
    rows = [each[None] for each in answer.true], [each[None] for each in answer.guessed]
    for metric, estimate in token_sets(*rows, observation.special, rng).items():
        if metric != "token_f1":
            yield head.leak(metric, estimate, "token")


def _between(
    observation: Observation, one: ClientParts, other: ClientParts
) -> list[tuple[int, int]]:
    """Return whose training, in which round, is between what a client received at two times.

    A turn whose update was not taken, or was noise alone, moved nothing.
    """
    order = list(observation.transcript.turns)
    training = observation.cell.config.training
    if training.strategy == "sequential" and training.client_parts == "hand_on":
        first, last = (order.index((m.client, m.round)) for m in (one, other))
        between = order[first:last]
    else:
        between = [turn for turn in order if one.round <= turn[1] < other.round]
    receipts = observation.trained.receipts
    return [(c, r) for c, r in between if receipts.learnt(r, (c,))]


def _batches(observation: Observation, parts: ClientParts) -> list[Batch]:
    return _steps(observation, parts.client, parts.round)


def _steps(observation: Observation, client: int, round_: int) -> list[Batch]:
    """Return a client's batches of one round."""
    data, steps = observation.prepared.clients[client], observation.cell.config.training.local_steps
    first = observation.transcript.turns[client, round_] * steps
    return [data.batch(step) for step in range(first, first + steps)]


def _tokens(batches: Sequence[Batch]) -> np.ndarray:
    """Return the distinct tokens of batches, labels of masked ones not."""
    seen = [batch.input_ids[batch.attention_mask.bool()].numpy() for batch in batches]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *seen]))


def _rows(observation: Observation, batches: Sequence[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the token ids of batches, and which of them count [sequence, seq].

    Neither specials nor padding do, nor where masked-LM may have put a random word.
    """
    width = max(batch.input_ids.shape[1] for batch in batches)
    ids, counted = [], []
    for batch in batches:
        mask = batch.attention_mask.bool()
        if batch.labels.dim() == 2:
            mask = mask & (batch.labels == IGNORED)
        extra = ((0, 0), (0, width - batch.input_ids.shape[1]))
        own = np.pad((batch.input_ids * batch.attention_mask).numpy(), extra)
        ids.append(own)
        counted.append(np.pad(mask.numpy(), extra) & ~np.isin(own, observation.special))
    return np.concatenate(ids), np.concatenate(counted)
