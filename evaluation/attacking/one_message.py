"""Messages of a one-message training: what they give away of texts, and of who is behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from attacks.attack import Lacks
from attacks.membership.known_message import lacking_noise, likeliest_label, record_ratios
from attacks.pooled.knowledge import PooledKnowledge, Texts
from attacks.signals import Answers, Signals
from evaluation.adversary.candidates import members_and_non_members
from evaluation.adversary.embedding_service import EmbeddingService
from evaluation.adversary.observation import Observation, auxiliary_texts
from evaluation.adversary.one_message import MessageMaker
from evaluation.attacking.loop import Head, Named, entries, named
from evaluation.attacking.pooled import JUDGED, judge_texts
from evaluation.grid.spec import Spec
from evaluation.metrics.tokens import token_accuracy, token_chance
from fedbert.one_message.comparison import between_texts
from fedbert.seeding import generator, numpy_rng
from privacy.mechanism import Identity
from privacy.noise import NoiseModel
from reports.leak import LeakageEntry

OTHERS = 1000
"""Records of others, at most, that the alternative to a candidate is made of."""
LABELS = Head("forward", "label of a known text (message)", "inversion")
BY_DEFAULT = (Spec("bag_of_words"),)
"""Attacks on the text behind a message where a grid names none on pooled vectors."""


def lacking_basis(noise: NoiseModel) -> Lacks | None:
    """Return why rows of noise that has directions of its own are not read, or None."""
    if noise.basis is None:
        return None
    return Lacks(("basis",), "needs noise that is the same in all directions, or none")


def as_told(maker: MessageMaker, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return rows [text, direction] as messages would tell them, with the records' labels in turn.

    How much of a row a clip leaves depends on the code of its label, where codes differ in length:
    of scores those in the middle are short.
    """
    codes = maker.codes.of(np.resize(labels, len(rows)))
    return maker.layout.rows(maker.clipped(maker.layout.messages(rows, codes)), codes)[0]


def inverted(observation: Observation) -> list[LeakageEntry]:
    """Return what attacks on pooled vectors recover of the texts behind messages.

    The adversary is given each record's label, which makes it stronger: of a message with the label
    within, it then has all that the message says of the row.
    """
    cell, prepared = observation.cell, observation.prepared
    if observation.sent is None:
        return []
    attacks = named(cell.attacks.pooled or BY_DEFAULT, "pooled", of="message", view="forward")
    maker = MessageMaker.of(cell.config, prepared, observation.defence)
    trained, _ = members_and_non_members(cell.config, prepared)
    trained = observation.sent.heard(trained, prepared)
    rng, special = numpy_rng(cell.config.seed, "messages"), prepared.vocabulary.special
    chosen = np.sort(rng.permutation(trained)[:JUDGED])
    records = prepared.pool.take(chosen)
    private = np.split(records.tokens, records.offsets[1:-1])
    sent = observation.sent.by_record(prepared).of(chosen)
    rows, larger = maker.layout.rows(sent.messages, maker.codes.of(records.labels))
    model = observation.defence.smashed.noise_model()
    texts, _ = auxiliary_texts(prepared, cell.config.seed)
    judged = {text.tobytes() for text in private}
    auxiliary = None if texts is None else tuple(t for t in texts if t.tobytes() not in judged)
    service = EmbeddingService(
        observation.trained.split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id
    )

    def embed(texts: Texts) -> np.ndarray:
        """Return rows as messages of these texts would tell them."""
        own = service.vectors(texts, pooling="mean").astype(np.float64)
        return as_told(maker, own, records.labels)

    knowledge = PooledKnowledge(
        embed,
        auxiliary,
        tuple(special),
        between=between_texts(cell.config, prepared.tokenizer),
        noise_std=model.std * float(np.sqrt(np.square(larger).mean())),
        noise=model.kind,
    )

    def ask(each: Named) -> Sequence[np.ndarray] | Lacks:
        lacks: Lacks | None = lacking_basis(model) or each.attack.missing(knowledge)
        if lacks is not None:
            return lacks
        draws = generator(cell.config.seed, "attack", "messages")
        found: Sequence[np.ndarray] = each.attack.invert(rows.astype(np.float32), knowledge, draws)
        return found

    return list(entries(attacks, ask, partial(judge_texts, private, knowledge, cell.config.seed)))


def labels_read(observation: Observation) -> Iterator[LeakageEntry]:
    """Yield how many labels of known texts are read off their messages."""
    prepared, defence, head = observation.prepared, observation.defence, LABELS
    if observation.sent is None or prepared.task.kind != "classification":
        return
    noise = defence.smashed.noise_model()
    lacks = lacking_noise(noise.kind) or lacking_basis(noise)
    if lacks is not None:
        yield head.not_measured(lacks.words)
        return
    seed = observation.cell.config.seed
    trained, _ = members_and_non_members(observation.cell.config, prepared)
    trained = observation.sent.heard(trained, prepared)
    rng = numpy_rng(seed, "labels of messages")
    chosen = np.sort(rng.permutation(trained)[:OTHERS])
    records, sent = prepared.pool.take(chosen), observation.sent.by_record(prepared).of(chosen)
    maker = MessageMaker.of(observation.cell.config, prepared, defence)
    each_label = [np.full(len(chosen), i) for i in range(prepared.task.num_labels)]
    expected = np.stack([maker.expected(replace(records, labels=own)) for own in each_label])
    answers = None
    if sent.labels is not None:
        answers = np.stack([maker.answered(sent.labels, own) for own in each_label])
    messages = sent.messages.astype(np.float64)
    guessed = likeliest_label(messages, expected, noise.kind, noise.std, answers)
    every = np.bincount(prepared.pool.labels.astype(np.int64))
    columns = [records.labels[:, None]], [guessed[:, None]], [np.ones((len(chosen), 1), dtype=bool)]
    chance = token_chance(columns[0], columns[2], every)
    yield head.leak("label_accuracy", token_accuracy(*columns, rng), "label", chance)


def known_sender(
    observation: Observation, name: str
) -> tuple[Signals | Lacks, np.ndarray, np.ndarray]:
    """Return what an adversary makes of candidates and of one message for each.

    Also who was behind it, and where the candidates are in the pool. A member's message is its own;
    beside an example that was left out stands the message of some other record, each of which is
    looked at once.
    """
    cell, prepared, defence = observation.cell, observation.prepared, observation.defence
    nobody = np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    noise = defence.smashed.noise_model()
    lacks = lacking_noise(noise.kind) or lacking_basis(noise)
    if lacks is not None:
        return lacks, *nobody
    if observation.sent is None:
        return Lacks(("nearness",), "nothing is sent in the forward view"), *nobody
    rng, limit = numpy_rng(cell.config.seed, "candidates", name), cell.attacks.candidates
    trained, left_out = members_and_non_members(cell.config, prepared)
    trained = rng.permutation(observation.sent.heard(trained, prepared))
    left_out = rng.permutation(left_out)
    count = min(limit, len(left_out), len(trained) // 2)
    behind, strangers, hosts = trained[:count], left_out[:count], trained[count : 2 * count]
    others = np.concatenate([trained[2 * count :], left_out[count:]])
    others = others[:OTHERS] if len(others) else np.concatenate([behind, strangers])[:OTHERS]
    candidates, places = np.concatenate([behind, strangers]), np.concatenate([behind, hosts])
    sent = observation.sent.by_record(prepared).of(places)
    maker, pool = MessageMaker.of(cell.config, prepared, defence), prepared.pool
    answers = None
    if sent.labels is not None:
        answers = (
            maker.answered(sent.labels, pool.labels[candidates]),
            maker.answered(sent.labels[:, None], pool.labels[others][None]),
        )
    ratios = record_ratios(
        sent.messages.astype(np.float64),
        maker.expected(pool.take(candidates)),
        maker.expected(pool.take(others)),
        noise.kind,
        noise.std if not isinstance(defence.smashed, Identity) else 0.0,
        answers,
    )
    order = np.argsort(candidates)
    members = np.arange(2 * count) < count
    signals = Signals(Answers(np.zeros(2 * count)), nearness=ratios[order])
    return signals, members[order], candidates[order]
