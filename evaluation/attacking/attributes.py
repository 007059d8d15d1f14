"""Attributes of texts: what else the smashed data and pooled vectors of a release give away."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from attacks.attack import Knowledge, Lacks
from attacks.attributes.knowledge import AttributeKnowledge, mean_rows, smashed_vectors
from evaluation.adversary.candidates import members_and_non_members
from evaluation.adversary.embedding_service import EmbeddingService, poolings_of
from evaluation.adversary.knowledge import knowledge_of, with_bottom
from evaluation.adversary.observation import Observation, same_parts
from evaluation.adversary.transcript import TranscriptEntry, tables_from
from evaluation.attacking.loop import Named, entries, named
from evaluation.metrics.attributes import inferred
from fedbert.data.batches import Encoded
from fedbert.frozen import dropout_of
from fedbert.precision import products
from fedbert.seeding import generator, numpy_rng
from privacy.mechanism import Identity
from reports.leak import LeakageEntry

JUDGED, AUXILIARY = 1000, 2000  # texts, at most


@dataclass(frozen=True)
class Seen:
    """Vectors [record, hidden] of private texts, and the truth [record] about them.

    known: what the adversary knows; or what it lacks.
    """

    vectors: np.ndarray
    truth: np.ndarray
    known: AttributeKnowledge


def attributes(observation: Observation) -> list[LeakageEntry]:
    """Return what attacks infer of the attribute that the settings name; nothing where none is.

    Auxiliary text is what the coin left out of the pool.
    """
    cell, prepared = observation.cell, observation.prepared
    if prepared.pool.attributes is None or not cell.attacks.attributes:
        return []
    auxiliary = _left_out(observation)
    found: list[LeakageEntry] = []
    if observation.transcript.entries:
        groups = [_smashed(observation, own, auxiliary) for own in _once(observation)]
        with products(cell.config, observation.trained.split.whole.config):
            found += _judged(observation, groups, "smashed data", "forward")
    service = EmbeddingService(
        observation.trained.split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id
    )
    for pooling in poolings_of(cell.config):
        embed = partial(service.vectors, pooling=pooling)
        found += _judged(observation, [_pooled(observation, embed, auxiliary)], pooling, "release")
    return found


def _left_out(observation: Observation) -> Encoded | None:
    """Return the auxiliary texts with their attribute, or None."""
    prepared, seed = observation.prepared, observation.cell.config.seed
    if prepared.members is None or prepared.members.all():
        return None
    others = np.flatnonzero(~prepared.members)
    rng = numpy_rng(seed, "auxiliary attributes")
    return prepared.pool.take(np.sort(rng.permutation(others)[:AUXILIARY]))


def _judged(
    observation: Observation, groups: list[Seen], of: str, view: str
) -> Iterator[LeakageEntry]:
    """Yield what every attack infers from groups of vectors, each with knowledge of its own."""
    seed = observation.cell.config.seed
    truth = np.concatenate([group.truth for group in groups])
    values = groups[0].known.values
    known = np.unique(np.zeros(0) if values is None else values)

    def ask(each: Named) -> np.ndarray | Lacks:
        logs = []
        for number, group in enumerate(groups):
            lacks: Lacks | None = each.attack.missing(group.known)
            if lacks is not None:
                return lacks
            draws = generator(seed, "attack", each.head.attack, number)
            logs.append(each.attack.infer(group.vectors, group.known, draws))
        return np.concatenate(logs)

    def judge(each: Named, logs: np.ndarray) -> Iterator[LeakageEntry]:
        for metric, estimate, chance in inferred(logs, known, truth):
            yield each.head.leak(metric, estimate, "record", chance)

    attacks = named(observation.cell.attacks.attributes, "attributes", of=of, view=view)
    yield from entries(attacks, ask, judge)


def _once(observation: Observation) -> Iterator[list[tuple[TranscriptEntry, np.ndarray]]]:
    """Yield messages whose senders started alike, each with the rows to judge.

    Of several messages of one record the first is judged.
    """
    seen: set[tuple[int, int]] = set()
    for group in same_parts(observation.transcript.entries):
        own: list[tuple[TranscriptEntry, np.ndarray]] = []
        for each in group:
            who = [(each.message.client, i) for i in observation.batch(each).index.tolist()]
            rows = [row for row, name in enumerate(who) if name not in seen]
            seen.update(who)
            if rows:
                own.append((each, np.array(rows)))
        if own:
            yield own


def _smashed(
    observation: Observation,
    group: list[tuple[TranscriptEntry, np.ndarray]],
    auxiliary: Encoded | None,
) -> Seen:
    """Return the mean rows of messages, and what the server knows: E and the mechanism on A."""
    vectors, truth = [], []
    for each, rows in group:
        data = observation.prepared.clients[each.message.client]
        told = data.encoded.attributes
        index = observation.batch(each).index.numpy()[rows]
        vectors.append(mean_rows(each.message)[rows])
        truth.append(np.zeros(0) if told is None else told[index])
    split, defence = observation.trained.split, observation.defence
    known = AttributeKnowledge()
    if auxiliary is not None:
        parts, rate = group[0][0].parts, dropout_of(split)
        cuts = auxiliary.offsets[1:-1]
        texts, types = (
            tuple(np.split(flat, cuts)) for flat in (auxiliary.tokens, auxiliary.token_types)
        )
        longest = observation.cell.config.data.max_length
        own: Knowledge = knowledge_of(defence, tables_from(parts, split), rate, texts, types)
        own = with_bottom(own, defence, parts, split, longest)
        noisy = rate > 0 or not isinstance(defence.smashed, Identity)
        vectors_of = smashed_vectors(own, "an attack on attributes")
        known = AttributeKnowledge(vectors_of, auxiliary.attributes, noisy)
    return Seen(np.concatenate(vectors), np.concatenate(truth), known)


def _pooled(
    observation: Observation,
    embed: Callable[[list[np.ndarray]], np.ndarray],
    auxiliary: Encoded | None,
) -> Seen:
    """Return pooled vectors of texts that were trained on, and what a user of the release knows."""
    prepared, config = observation.prepared, observation.cell.config
    trained, _ = members_and_non_members(config, prepared, observation.trained.receipts)
    rng = numpy_rng(config.seed, "attributes")
    private = prepared.pool.take(np.sort(rng.permutation(trained)[:JUDGED]))
    known = AttributeKnowledge(lambda _: np.zeros((0, 0)))
    if auxiliary is not None:
        own = embed(np.split(auxiliary.tokens, auxiliary.offsets[1:-1]))

        def vectors(_: torch.Generator) -> np.ndarray:
            return own

        known = replace(known, vectors=vectors, values=auxiliary.attributes)
    told = private.attributes
    truth = np.zeros(0) if told is None else told
    return Seen(embed(np.split(private.tokens, private.offsets[1:-1])), truth, known)
