"""Bounds on token recovery: a reference attack by simulation, and what the guarantee allows.

**The reconstruction bound** follows from the guarantee. Let a word stand at a known position of a
sequence of known length, and let p be the largest share that any word has there in text of this
kind. All else the guesser learns from the message. Two sequences differ in all their rows at most,
so under a guarantee per *token* a message of n tokens is at most n releases (for Gaussian noise mu
grows by sqrt(n), pure epsilons add up); under one per *sequence* a change of one token, or of all,
is one release. Whether or not the word is this one, the message comes from a mixture over
sequences, and no test tells two mixtures apart better than their worst pair. So
`evaluation.metrics.reconstruction_bound` holds with that many releases and the prior p, whatever
the attacker knows of language: what the neighbours say of a token reaches it through their own
noisy rows, which are counted. An attack that decides every token by its own row alone gets one
release, not n.

A higher p only raises the bound, and p is taken high: the share of the most frequent word among the
pool's texts at the same length and position, the attacked ones among them. The bound is concave in
p, so the mean of p over tokens is put in at each number of releases.

It presumes what the guarantee does, that nothing but the message depends on the text: rows of E
that earlier steps moved are not covered. Metric privacy has no bound: distant words may be told
apart at will.

**The reference attack** is simulated. Auxiliary text passes through the tables, the dropout and the
mechanism in force, and the nearest token is looked up: the maximum-likelihood decode for a uniform
prior.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.parts.possible_rows import PossibleRows
from evaluation.adversary.simulated_noise import source_from
from evaluation.metrics.intervals import clustered_share
from evaluation.metrics.reconstruction_bound import bound_gaussian, bound_pure
from fedbert.data.batches import Encoded
from fedbert.messages import SmashedData, to_array
from fedbert.protect import protect
from fedbert.split import EmbeddingTables
from privacy.defence import Defence
from privacy.events import GaussianEvent, MetricEvent, PureEvent
from privacy.mechanism import Cost
from reports.estimate import Estimate

REFERENCE_TOKENS = 512  # at most, of each state of the tables that is looked at


@dataclass(frozen=True)
class ReconstructionBound:
    """The most that any guesser can be right on average, or None with the reason.

    prior: the mean of the largest shares that the bound rests on.
    """

    value: float | None
    prior: float | None
    basis: str


@dataclass(frozen=True)
class ReferenceAttack:
    """What a look-up of the nearest token is expected to recover, or None with the reason."""

    estimate: Estimate | None
    basis: str


def largest_shares(pool: Encoded) -> dict[tuple[int, int], float]:
    """Return the share of the most frequent token at each (length, position) in the pool."""
    lengths = np.repeat(pool.lengths, pool.lengths)
    positions = np.arange(len(pool.tokens)) - np.repeat(pool.offsets[:-1], pool.lengths)
    size, longest = int(pool.tokens.max()) + 1, int(pool.lengths.max()) + 1
    keys, counts = np.unique(
        (lengths * longest + positions) * size + pool.tokens, return_counts=True
    )
    where, start = np.unique(keys // size, return_index=True)
    shares = np.maximum.reduceat(counts, start) / np.add.reduceat(counts, start)
    return {
        (position // longest, position % longest): share
        for position, share in zip(where.tolist(), shares.tolist(), strict=True)
    }


def reconstruction_bound(
    defence: Defence,
    cut_layer: int,
    attention: Sequence[np.ndarray],
    counted: Sequence[np.ndarray],
    shares: dict[tuple[int, int], float],
    repeats: int,
    alone: bool,
) -> ReconstructionBound:
    """Return the bound on the accuracy at counted tokens.

    attention, counted: [batch, seq] of each message, nonzero at tokens, and at tokens that count;
    repeats: how many messages with one text an attacker holds, each noised afresh; alone: the
    attack decides every token by its own row.
    """
    cost = defence.smashed.cost()
    why = _why_none(cost, cut_layer)
    if cost is None or why:
        return ReconstructionBound(None, None, why)
    priors: dict[int, list[float]] = {}
    for mask, chosen in zip(attention, counted, strict=True):
        for row, mine in zip(mask != 0, chosen != 0, strict=True):
            length = int(row.sum())
            releases = repeats * (length if cost.unit == "token" and not alone else 1)
            some = priors.setdefault(releases, [])
            some += [shares.get((length, int(position)), 1.0) for position in mine.nonzero()[0]]
    tokens = sum(map(len, priors.values()))
    value = sum(
        len(some) * _bound(cost, releases, float(np.mean(some)))
        for releases, some in priors.items()
        if some
    )
    prior = sum(map(sum, priors.values())) / tokens
    return ReconstructionBound(min(1.0, value / tokens), prior, _basis(cost, repeats, alone))


def _why_none(cost: Cost | None, cut_layer: int) -> str:
    """Return why there is no bound; nothing where there is one."""
    if cost is None:
        return "no guarantee, so no bound"
    if isinstance(cost.event, MetricEvent):
        return "metric privacy bounds no recovery: distant words may be told apart"
    if cost.unit == "token" and cut_layer > 0:
        return "no guarantee: behind encoder layers a token moves every row"
    if cost.unit not in ("token", "sequence") or not isinstance(
        cost.event, GaussianEvent | PureEvent
    ):
        return f"no bound is known for {type(cost.event).__name__} per {cost.unit}"
    return ""


def _bound(cost: Cost, releases: int, prior: float) -> float:
    if isinstance(cost.event, PureEvent):
        return bound_pure(releases * cost.event.epsilon, prior)
    if isinstance(cost.event, GaussianEvent):
        return bound_gaussian(cost.event.noise_multiplier, releases, prior)
    return 1.0  # not reached: `_why_none` has refused the others


def _basis(cost: Cost, repeats: int, alone: bool) -> str:
    times = "one message" if repeats == 1 else f"{repeats} messages"
    if cost.unit == "sequence":
        return f"guarantee per sequence, {times}"
    how = "every token by its own row" if alone else "all rows of a sequence"
    return f"guarantee per token, {times}, {how}"


def most_repeats(groups: Sequence[Sequence[tuple[int, np.ndarray]]]) -> int:
    """Return how often the most repeated text occurs among messages that an attack sees together.

    groups: for each call of the attack, (client, example numbers [batch]) of each message.

    >>> most_repeats([[(0, np.array([1, 2])), (1, np.array([1]))], [(0, np.array([1]))]])
    1
    """
    most = 1
    for group in groups:
        texts = [(client, int(i)) for client, index in group for i in index]
        most = max([most, *np.unique(texts, axis=0, return_counts=True)[1]]) if texts else most
    return int(most)


def reference_attack(
    defence: Defence,
    known: Iterable[Knowledge],
    texts: Sequence[np.ndarray],
    special: Sequence[int],
    dropout: float,
    rng: np.random.Generator,
    noise: torch.Generator,
) -> ReferenceAttack:
    """Return what the nearest token is expected to recover of such texts under the mechanism.

    known: what an attacker knows at a few moments of the training; texts: token ids [seq], special
    tokens included, none of them attacked; dropout: E's rate. Where noisy rows are mapped to the
    nearest words, those are what the look-up finds.
    """
    rate = 0.0 if defence.one_shot else dropout
    hits, counts = [], []
    for knowledge in known:
        if knowledge.embedding is None:
            return ReferenceAttack(None, "no look-up behind encoder layers")
        lacks = NearestToken().missing(knowledge)
        if lacks is not None:
            return ReferenceAttack(None, f"no look-up: it {lacks.words}")
        message, ids = _simulated(defence, knowledge.embedding, _some(texts, rng), rate, noise)
        seen = knowledge
        if defence.nearest_word:
            stated = defence.smashed.noise_model()
            seen = replace(knowledge, noise=stated.kind, noise_std=stated.std)
        (guess,) = NearestToken().reconstruct([message], seen, noise)
        mine = (message.attention_mask != 0) & ~np.isin(ids, list(special))
        hits.append(((guess == ids) & mine).sum(1))
        counts.append(mine.sum(1))
    estimate = clustered_share(np.concatenate(hits), np.concatenate(counts), rng)
    return ReferenceAttack(
        estimate, "nearest token on simulated messages of text that is not attacked"
    )


def _some(texts: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Return some texts drawn at random, REFERENCE_TOKENS tokens or a little more."""
    chosen: list[np.ndarray] = []
    for i in rng.permutation(len(texts)):
        chosen.append(texts[i])
        if sum(map(len, chosen)) >= REFERENCE_TOKENS:
            break
    return chosen


def _simulated(
    defence: Defence,
    tables: EmbeddingTables,
    texts: Sequence[np.ndarray],
    dropout: float,
    noise: torch.Generator,
) -> tuple[SmashedData, np.ndarray]:
    """Return a message of these texts as a client would send it, and its token ids [batch, seq]."""
    ids = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, (text, real) in enumerate(zip(texts, mask, strict=True)):
        ids[row, : len(text)] = text
        real[: len(text)] = 1
    words = torch.from_numpy(ids)
    positions = torch.arange(ids.shape[1]).expand(words.shape) + tables.position_offset
    kinds = torch.zeros(words.numel(), dtype=torch.int64)
    rows = PossibleRows.of(tables).rows(words.flatten(), positions.flatten(), kinds).float()
    if dropout > 0:
        rows = rows * (torch.rand(rows.shape, generator=noise) >= dropout) / (1 - dropout)
    draws = source_from(noise).draws("simulated")
    sent, _ = protect(defence.smashed, rows.view(*words.shape, -1), torch.from_numpy(mask), draws)
    return SmashedData(0, 0, 0, to_array(sent), mask), ids
