"""Look-up with a language model: what noise leaves open, the neighbours often settle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from attacks.attack import NOISES, InversionAttack, Knowledge, Lacks, served, unfit_noise
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.parts.likelihood import Likelihood
from attacks.inversion.parts.look_up import (
    Tokens,
    fitted_scales,
    received,
    rescaled,
    scored,
    spread,
)
from attacks.inversion.parts.ngram import Ngram
from attacks.inversion.parts.possible_rows import PossibleRows
from fedbert.errors import expect
from fedbert.messages import SmashedData
from fedbert.split import EmbeddingTables

TOKENS_IN_HAND = 16384  # whose shortlists are held together


@dataclass(frozen=True)
class LanguagePrior:
    """The most likely words under the noise's likelihood and an n-gram prior of auxiliary text.

    Threat model: that of `NearestToken`, whose server also has text like the clients' own.

    | order | decode |
    |---|---|
    | 1, "unigram prior" | exact maximum a posteriori of each token by itself, over every word |
    | 2, "bigram prior" | Viterbi over each sequence: exact on each token's `shortlist` words |

    Frequencies are those of the auxiliary text: at a sequence's first position, its last, all
    others. The shortlist holds the words of highest likelihood times frequency. Likelihoods are
    those of the noise, of two token types the nearer one's:

    | noise | log-likelihood of a candidate c for a received row a |
    |---|---|
    | none | all or nothing: the answer is `NearestToken`'s |
    | Gaussian | -|a - c|^2 / (2 variance), c clipped as the mechanism clips |
    | metric | -eta |a - c| |
    | Laplace, unknown, or noise in known directions | not attempted: see `missing` |

    After a clip per sequence the noise counts as divided by the sequence's fitted scale. Dropout
    under noise counts as more noise. Between tokens the noise is taken to be independent.

    Reference: Viterbi (1967). BeamClean (2025) shows what a prior adds to a nearest-token look-up.

    Raises:
        InputError: if the order is neither 1 nor 2, or the shortlist is empty.
    """

    order: int = 2
    shortlist: int = 256
    view: str = "forward"

    def __post_init__(self) -> None:
        """Check both settings."""
        expect(self.order in (1, 2), "order 1 or 2", "order", self.order)
        expect(self.shortlist >= 1, "shortlist >= 1", "shortlist", self.shortlist)

    @property
    def name(self) -> str:
        """The attack's name in reports."""
        return "unigram prior" if self.order == 1 else "bigram prior"

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        lacking = lacking_of_language(knowledge) + unfit_noise(knowledge.noise, tuple(NOISES))
        only = "Gaussian and metric noise alone have one"
        if knowledge.noise == "laplace":
            lacking.append(("noise", f"a likelihood for Laplace noise: {only}"))
        elif knowledge.basis is not None:
            lacking.append(("basis", f"a likelihood for noise after a `basis`: {only}"))
        if knowledge.noise == "metric" and knowledge.clip_norm is not None:
            lacking.append(("clip_norm", "metric noise without a clip"))
        return Lacks.of(lacking)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the most likely words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, the tables of E do not fit the
                messages, or the auxiliary text is not of their vocabulary.
        """
        tables, texts = needed_by(self, knowledge)
        ngram, few = Ngram.of(texts, len(tables.word)), 1 if self.order == 1 else self.shortlist
        if knowledge.noise_std == 0:
            return NearestToken().reconstruct(messages, knowledge, generator)
        found = [torch.zeros(0, dtype=torch.int64)]
        for part, words, logs in readings(messages, tables, knowledge, few):
            found.append(words[:, 0] if self.order == 1 else best_paths(ngram, part, words, logs))
        return spread(torch.cat(found), messages)


def lacking_of_language(knowledge: Knowledge) -> list[tuple[str, str]]:
    """Return what a look-up with a language model lacks, whatever the noise: field and words."""
    lacking = []
    if knowledge.embedding is None:
        lacking.append(("embedding", "`embedding`: the tables of E, as the cut lies deeper"))
    if knowledge.auxiliary is None:
        lacking.append(("auxiliary", "`auxiliary`: text like the private one"))
    return lacking


def needed_by(
    attack: InversionAttack, knowledge: Knowledge
) -> tuple[EmbeddingTables, tuple[np.ndarray, ...]]:
    """Return E's tables and the auxiliary text.

    Raises:
        InputError: if the attack's `missing` says that something is lacking.
    """
    lacks = attack.missing(knowledge)
    tables = served(knowledge.embedding, lacks, attack.name)
    return tables, served(knowledge.auxiliary, lacks, attack.name)


def readings(
    messages: Sequence[SmashedData], tables: EmbeddingTables, knowledge: Knowledge, few: int
) -> Iterator[tuple[Tokens, Tensor, Tensor]]:
    """Yield whole sequences of tokens, each token's words and their log-likelihoods [token, k].

    The words are the `few` of highest likelihood times frequency, best first. Frequencies are those
    of the auxiliary text at a sequence's first position, its last, and all others.
    """
    tokens, candidates = received(messages, tables), PossibleRows.of(tables)
    prior = frequencies(knowledge.auxiliary or (), len(tables.word))
    scale = torch.ones(tokens.sequences, dtype=torch.float64)
    with torch.no_grad():
        if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
            scale = fitted_scales(tokens, candidates, knowledge)
            tokens = rescaled(tokens, scale)
            knowledge = replace(knowledge, clip_norm=None)
        for part in _parts(tokens):
            noise = knowledge.noise_std / scale[part.sequence]
            likelihood = Likelihood.of(noise, candidates, knowledge)
            where = whereabouts(part.sequence)
            size = (len(part.rows), min(few, prior.shape[1]))
            words, logs = torch.zeros(size, dtype=torch.int64), torch.zeros(size)
            for some, scores in scored(part, candidates, knowledge):
                best = next(scores).clone()
                for other in scores:
                    torch.maximum(best, other, out=best)
                likelihood.of_scores_(best, part.rows[some], some)
                best += prior[where[some]]
                top = best.topk(size[1], dim=1)
                words[some] = top.indices
                logs[some] = top.values - prior[where[some][:, None], top.indices]
            yield part, words, logs


def frequencies(texts: Sequence[np.ndarray], vocab: int) -> Tensor:
    """Return the log of how frequent each word is at the first position, inside, and at the last.

    texts: token ids [seq] of each. Shape: [3, vocab], in nats.
    """
    parts = ([t[:1] for t in texts], [t[1:-1] for t in texts], [t[-1:] for t in texts])
    return torch.stack([torch.from_numpy(Ngram.of(p, vocab).log_unigram).float() for p in parts])


def best_paths(ngram: Ngram, tokens: Tokens, words: Tensor, logs: Tensor) -> Tensor:
    """Return the words [token] of the likeliest path of each of several whole sequences.

    words, logs [token, k]: shortlists and their log-likelihoods.
    """
    ends = np.flatnonzero(np.diff(tokens.sequence.numpy())) + 1
    rows = zip(*(np.split(each.numpy(), ends) for each in (words, logs)), strict=True)
    return torch.from_numpy(np.concatenate([viterbi(ngram, some, log) for some, log in rows]))


def whereabouts(sequence: Tensor) -> Tensor:
    """Return 0 for the first token of each sequence [token], 2 for the last, 1 for the others."""
    new = torch.ones(len(sequence) + 1, dtype=torch.bool)
    new[1:-1] = sequence[1:] != sequence[:-1]
    where = torch.ones_like(sequence)
    where[new[1:]] = 2
    where[new[:-1]] = 0
    return where


def viterbi(ngram: Ngram, words: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return the words [seq] of the likeliest path through shortlists.

    words [seq, k]: the shortlist at each position; logs [seq, k]: their log-likelihoods. A word is
    passed over where the likeliest one of its position would gain more in likelihood than any two
    transitions can cost: no best path holds it.
    """
    hopeless = logs < logs.max(1, keepdims=True) + 2 * ngram.least
    rows = [(word[~out], log[~out]) for word, log, out in zip(words, logs, hopeless, strict=True)]
    before, log = rows[0]
    best = log + ngram.log_bigram(np.array([ngram.edge]), before)[0]
    came = []
    for here, log in rows[1:]:
        paths = best[:, None] + ngram.log_bigram(before, here)  # [previous, here]
        came.append(paths.argmax(0))
        best = paths[came[-1], np.arange(len(here))] + log
        before = here
    best += ngram.log_bigram(before, np.array([ngram.edge]))[:, 0]
    chosen = [int(best.argmax())]
    for back in reversed(came):
        chosen.append(int(back[chosen[-1]]))
    return np.array([word[i] for (word, _), i in zip(rows, reversed(chosen), strict=True)])


def unigram_prior() -> LanguagePrior:
    """Return the attack that uses how frequent words are, and no neighbours."""
    return LanguagePrior(order=1)


def _parts(tokens: Tokens) -> Iterator[Tokens]:
    """Yield whole sequences, in order, of about `TOKENS_IN_HAND` tokens at a time."""
    if len(tokens.rows) == 0:
        return
    first = np.flatnonzero(np.diff(tokens.sequence.numpy(), prepend=-1))  # of each sequence
    group = first // TOKENS_IN_HAND
    cuts = [*first[np.flatnonzero(np.diff(group, prepend=-1))].tolist(), len(tokens.rows)]
    for start, end in pairwise(cuts):
        some = slice(start, end)
        yield replace(
            tokens,
            rows=tokens.rows[some],
            position=tokens.position[some],
            sequence=tokens.sequence[some],
        )
