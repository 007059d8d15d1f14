"""Canary texts: made-up examples, put into a training by fair coins; are they learnt by heart?"""

from dataclasses import replace

import numpy as np

from attacks.attack import MembershipAttack
from attacks.signals import Signals, answers_of
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.one_run_gaussian import one_run_from_scores
from fedbert.config import Config
from fedbert.data.batches import Batch, Encoded, collate, encode, mask_tokens
from fedbert.data.client_data import Vocabulary
from fedbert.data.examples import Examples
from fedbert.data.repeats import one_of_each, twins
from fedbert.errors import InputError, expect
from fedbert.noise import simulated
from fedbert.prepare import Prepared, typed
from fedbert.seeding import derive, generator, numpy_rng
from fedbert.trainer import train
from privacy.defence import Defence

KINDS = ("rare", "in-distribution")
RARE = 0.1  # of the words: the least frequent ones
SIGNIFICANCE = 0.05
BATCH = 64
WORDS, LENGTH = 12, 64  # of a canary made of public things alone: words, and tokens at most


def canary_texts(
    pool: Encoded, count: int, kind: str, vocabulary: Vocabulary, rng: np.random.Generator
) -> Encoded:
    """Return made-up examples with the frame (specials, length, segments) of examples of the pool.

    "rare": words drawn evenly from the least frequent tenth, unseen ones included, which nothing
    else in the training speaks about. "in-distribution": words as often as in the pool, which
    looks like any text. Labels are drawn from the pool's, so that they have to be learnt by heart.

    Raises:
        InputError: for an unknown kind, or more canaries than examples.
    """
    expect(kind in KINDS, f"one of {', '.join(KINDS)}", "kind", kind)
    expect(1 <= count <= len(pool), f"1 to {len(pool)} canaries", "count", count)
    frames = pool.take(rng.permutation(len(pool))[:count])
    counts = np.bincount(pool.tokens, minlength=vocabulary.size).astype(float)
    words = np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)
    if kind == "rare":
        order = words[np.argsort(counts[words], kind="stable")]
        words = order[: max(2, int(RARE * len(words)))]
        chances = np.full(len(words), 1 / len(words))
    else:
        chances = counts[words] / counts[words].sum()
    free = ~np.isin(frames.tokens, vocabulary.special)
    tokens = frames.tokens.copy()
    tokens[free] = rng.choice(words, int(free.sum()), p=chances)
    labels = pool.labels[rng.integers(0, len(pool), count)]
    return replace(frames, tokens=tokens, labels=labels, documents=np.arange(count), people=None)


def public_texts(prepared: Prepared, count: int, rng: np.random.Generator) -> Encoded:
    """Return made-up examples that nothing of the records goes into: a claim about those stays.

    Each text has WORDS words drawn evenly from the model's vocabulary, in the frame that the
    tokenizer gives a text of so many; labels are drawn evenly from the task's.

    Raises:
        InputError: for scores that have no public bounds.
    """
    task, vocabulary = prepared.task, prepared.vocabulary
    words = np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)
    text = " ".join([_plain_word(prepared, words)] * WORDS)
    rows = tuple((text,) * len(task.columns) for _ in range(count))
    labels = _public_labels(prepared, count, rng)
    made = encode(Examples(task, rows, labels, "canary texts"), prepared.tokenizer, LENGTH)
    frames = typed(made, prepared.split.whole.config)
    free = ~np.isin(frames.tokens, vocabulary.special)
    tokens = frames.tokens.copy()
    tokens[free] = rng.choice(words, int(free.sum()))
    return replace(frames, tokens=tokens, documents=np.arange(count), people=None)


def _plain_word(prepared: Prepared, words: np.ndarray) -> str:
    """Return a word that the tokenizer reads as one token of the vocabulary: it is replaced."""
    for number in words.tolist():
        word = str(prepared.tokenizer.convert_ids_to_tokens(number))
        told = prepared.tokenizer(word, add_special_tokens=False)["input_ids"]
        if list(told) == [number]:
            return word
    raise InputError("expected a vocabulary with whole words for canary texts, got none")


def _public_labels(prepared: Prepared, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels [example] drawn evenly from what the task's can be."""
    task, kind = prepared.task, prepared.pool.labels.dtype
    if task.kind == "mlm":
        return np.zeros(count, kind)
    if not task.regression:
        return rng.integers(0, task.num_labels, count).astype(kind)
    low, high = task.score_range
    if not -np.inf < low < high < np.inf:
        raise InputError("expected scores with public bounds for canary texts, got none")
    return rng.uniform(low, high, count).astype(kind)


def joined(ones: Encoded, others: Encoded) -> Encoded:
    """Return two sets of examples as one, the second's documents and first texts counted on.

    A first text of both sets has two numbers: sets are told apart by who was trained on, and what
    depends across them narrows a difference alone. A person of both is one; where one set tells its
    persons, every example of the other belongs to a person of its own.
    """
    after = int(ones.documents.max(initial=-1)) + 1
    firsts = None
    if ones.first_texts is not None and others.first_texts is not None:
        more = int(ones.first_texts.max(initial=-1)) + 1
        firsts = np.concatenate([ones.first_texts, others.first_texts + more])
    return Encoded(
        ones.task,
        np.concatenate([ones.tokens, others.tokens]),
        np.concatenate([ones.token_types, others.token_types]),
        np.concatenate([ones.offsets, others.offsets[1:] + ones.offsets[-1]]),
        np.concatenate([ones.labels, others.labels]),
        np.concatenate([ones.documents, others.documents + after]),
        firsts,
        people=_people(ones, others),
    )


def _people(ones: Encoded, others: Encoded) -> np.ndarray | None:
    """Return the person of each example of two sets, one after the other; None: nobody told."""
    if ones.people is None and others.people is None:
        return None
    alone = -1 - np.arange(len(ones) + len(others))
    first = alone[: len(ones)] if ones.people is None else ones.people
    second = alone[len(ones) :] if others.people is None else others.people
    return np.concatenate([first, second])


def with_texts(prepared: Prepared, canaries: Encoded, coins: np.ndarray) -> Prepared:
    """Return a training's inputs with the canaries whose coin says so, dealt to clients in turn."""
    inside = np.flatnonzero(coins)
    clients = []
    for number, data in enumerate(prepared.clients):
        own = canaries.take(inside[number :: len(prepared.clients)])
        clients.append(replace(data, encoded=joined(data.encoded, own), pool_positions=None))
    return replace(prepared, clients=tuple(clients))


def shown(canaries: Encoded, prepared: Prepared, seed: int) -> list[Batch]:
    """Return canaries in batches as a model is asked about them; of masked-LM with a fixed mask."""
    v, found = prepared.vocabulary, []
    for start in range(0, len(canaries), BATCH):
        stop = min(len(canaries), start + BATCH)
        batch = collate(canaries, np.arange(start, stop), v.pad)
        if prepared.task.kind == "mlm":
            draws = generator(seed, "canary mask", start)
            batch = mask_tokens(batch, v.mask, v.size, v.special, draws)
        found.append(batch)
    return found


def audit_texts(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    attack: MembershipAttack,
    kind: str,
    count: int,
    claim: Claim,
    seed: int,
) -> Finding:
    """Return what canary texts show of a claim about each record against the released model.

    The attack scores every canary on the model of one training. It sees the last step alone, so far
    less is shown than by gradient canaries.

    Raises:
        InputError: as `canary_texts`, or if the attack lacks something.
    """
    rng = numpy_rng(seed, "canary texts", kind)
    canaries = canary_texts(prepared.pool, count, kind, prepared.vocabulary, rng)
    kept = one_of_each(twins(canaries))  # two alike would need one coin
    canaries, coins, count = canaries.take(kept), (rng.random(count) < 0.5)[kept], len(kept)
    told = with_texts(prepared, canaries, coins)
    noise = simulated(derive(seed, "canary texts", kind), config, told, defence)
    trained = train(config, told, defence, noise=noise)
    signals = Signals(answers_of(trained.split, shown(canaries, prepared, seed)))
    scores = attack.score(signals, numpy_rng(seed, "attack", attack.name))
    bound, most = (
        one_run_from_scores(each, coins, claim.delta, SIGNIFICANCE)
        for each in (scores, coins.astype(float))
    )
    how = f"{count} {kind} canary texts by fair coins, {attack.name}"
    return Finding("release, by canary texts", claim, bound, most, count, SIGNIFICANCE, how)
