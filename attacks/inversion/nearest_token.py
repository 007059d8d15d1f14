"""Look-up over every word: what a cut at the embeddings gives away.

At cut layer 0 each row of A is one of vocab x types known vectors at its place. Under isotropic
Gaussian noise the nearest one is the most likely one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.parts.possible_rows import Candidates
from attacks.inversion.parts.search import search
from fedbert.config import InputError
from fedbert.messages import SmashedData
from fedbert.split import EmbeddingTables

POSITIONS_AT_ONCE = 32
TOKENS_AT_ONCE = 256
MASKED_TOKENS_AT_ONCE = 64
SAME = 1e-5  # relative distance at which a row is its candidate, up to float32 rounding


@dataclass(frozen=True)
class NearestToken:
    """The most likely word of each token by itself, under a uniform prior over the words.

    Threat model: the honest-but-curious server, which sees A and the attention mask of every
    step, and knows E (it averages it) and the mechanism on A: clip, noise, dropout of E.

    | what happened to E's output | decode |
    |---|---|
    | nothing, or a clip per token | exact |
    | Gaussian noise, after a clip per token or none | exact maximum likelihood |
    | Laplace noise, or noise in known directions | see `attacks.inversion.parts.search` |
    | metric noise | exact maximum likelihood: the nearest |
    | a clip per sequence | each sequence's one scale is fitted in turn with its words |
    | dropout, no noise | exact: zeros show the mask, only kept coordinates are compared |
    | dropout and noise | nearest mean (see `_nearest`), since the noise hides the mask |

    Of equally near words the lowest id is taken, of two token types the nearer one. (Knowing the
    types would gain little: at hidden 128, a recovery of 0.123 instead of 0.121 at sigma 3.)
    """

    name: str = "nearest token"
    view: str = "forward"

    def missing(self, knowledge: Knowledge) -> str | None:
        """Return what the attack lacks, in words, or None if it can run."""
        if knowledge.embedding is None:
            return "needs `embedding`: the tables of E, as the cut lies deeper than the embeddings"
        return None

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the nearest words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if the tables of E are lacking, or do not fit the messages.
        """
        if knowledge.embedding is None:
            raise InputError(f"expected knowledge.embedding, got None: {self.name} needs it")
        tokens = received(messages, knowledge.embedding)
        candidates = Candidates.of(knowledge.embedding)
        with torch.no_grad():
            if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
                tokens = rescaled(tokens, fitted_scales(tokens, candidates, knowledge))
                knowledge = replace(knowledge, clip_norm=None)
            if knowledge.noise == "laplace" or knowledge.basis is not None:
                return spread(search(tokens.rows, tokens.place, candidates, knowledge)[0], messages)
            found = _nearest(tokens, candidates, knowledge)
            if knowledge.dropout > 0 and knowledge.noise_std == 0:
                found = _corrected(found, tokens, candidates, knowledge)
        return spread(found.word, messages)


@dataclass(frozen=True)
class Tokens:
    """The tokens of some messages without the padding.

    rows [token, hidden] as received; place [token], the row of the position table; sequence
    [token], the running number of the token's sequence; sequences, how many there are.
    """

    rows: Tensor
    place: Tensor
    sequence: Tensor
    sequences: int


@dataclass(frozen=True)
class Found:
    """A candidate for each token: its word [token] and its type [token]."""

    word: Tensor
    kind: Tensor


def received(messages: Sequence[SmashedData], tables: EmbeddingTables) -> Tokens:
    """Return the tokens that are not padding, message by message, row by row.

    Raises:
        InputError: if a message does not fit the tables.
    """
    size, offset = tables.word.shape[1], tables.position_offset
    rows, places = [np.zeros((0, size), np.float32)], [np.zeros(0, np.int64)]
    owners, sequences = [np.zeros(0, np.int64)], 0
    for message in messages:
        real = message.attention_mask != 0  # [batch, seq]
        if message.activations.shape != (*real.shape, size):
            shape = message.activations.shape
            raise InputError(f"expected activations {(*real.shape, size)}, got shape={shape}")
        column = np.broadcast_to(np.arange(real.shape[1]), real.shape)
        # RoBERTa (offset > 0) counts the tokens that are not padding, BERT counts columns.
        place = offset - 1 + real.cumsum(1) if offset else column
        rows.append(message.activations[real].astype(np.float32, copy=False))
        places.append(place[real])
        owners.append(sequences + np.nonzero(real)[0])
        sequences += len(real)
    top = max(int(each.max(initial=0)) for each in places)
    if top >= len(tables.position):
        raise InputError(f"expected position < {len(tables.position)}, got position={top}")
    row, place, owner = (
        torch.from_numpy(np.concatenate(parts)) for parts in (rows, places, owners)
    )
    return Tokens(row, place, owner, sequences)


def spread(words: Tensor, messages: Sequence[SmashedData]) -> list[np.ndarray]:
    """Return words [token] as ids [batch, seq] of each message, 0 where it is padded."""
    guesses, start = [], 0
    for message in messages:
        real = message.attention_mask != 0
        guess = np.zeros(real.shape, dtype=np.int64)
        count = int(real.sum())
        guess[real] = words[start : start + count].numpy()
        guesses.append(guess)
        start += count
    return guesses


def _nearest(tokens: Tokens, candidates: Candidates, knowledge: Knowledge) -> Found:
    """Return the candidates nearest to the received rows.

    Where E dropped coordinates at rate p and noise hides which, the likelihood is a mixture per
    coordinate that no matrix product gives. Its mean over the masks is the candidate itself, so
    the nearest mean is taken: next to the noise, dropout adds a variance of p / (1 - p) times the
    coordinate's square, 0.11 at p = 0.1 for LayerNorm rows, which is little where the noise
    protects. A dropped row has squared norm |c|^2 / (1 - p) on average, and so it is clipped.
    """
    word = torch.zeros(len(tokens.rows), dtype=torch.int64)
    kind = torch.zeros_like(word)
    for some, scores in scored(tokens, candidates, knowledge):
        word[some], kind[some] = _best(scores)
    return Found(word, kind)


def scored(
    tokens: Tokens, candidates: Candidates, knowledge: Knowledge
) -> Iterator[tuple[Tensor, Iterator[Tensor]]]:
    """Yield every token once: some tokens [n] of one position, and their scores for each type.

    Scores [n, vocab] are as `Plane` has them: minus half the squared distance to the candidate,
    up to what a token's candidates share. n is at most `TOKENS_AT_ONCE`; each type's scores lie in
    the memory of the last ones, so use them before asking for the next.
    """
    bound = knowledge.clip_norm
    if bound is not None:
        bound *= (1 - knowledge.dropout) ** 0.5
    product, out = torch.empty(2, min(TOKENS_AT_ONCE, len(tokens.rows)), len(candidates.words))
    for places, members in _by_place(tokens.place):
        planes = candidates.planes(places, bound)
        for some in members.split(TOKENS_AT_ONCE):
            rows = tokens.rows[some]
            scaled, beta_product = rows * candidates.gamma, rows @ candidates.beta
            torch.mm(scaled, candidates.words.T, out=product[: len(some)])
            for i, span in _runs(tokens.place[some], places):
                given = (i, scaled[span], product[span], beta_product[span], out[span])
                yield some[span], (plane.scores(*given) for plane in planes)


def _best(scores: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return word and type [token] of the highest of the scores [token, vocab] of each type.

    Of equals the first; each type's scores are done with before the next are asked for.
    """
    tops, words = zip(*(each.max(1) for each in scores), strict=True)
    kind = torch.stack(tops).argmax(0)
    return torch.stack(words).gather(0, kind[None])[0], kind


def _by_place(place: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a few positions, ascending, and the tokens at them, sorted by position."""
    order = torch.argsort(place, stable=True)
    occupied, counts = torch.unique(place, return_counts=True)
    start = 0
    for places, sizes in zip(
        occupied.split(POSITIONS_AT_ONCE), counts.split(POSITIONS_AT_ONCE), strict=True
    ):
        size = int(sizes.sum())
        if size:
            yield places, order[start : start + size]
        start += size


def _runs(place: Tensor, places: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield where in `places` each run of equal positions in the sorted `place` belongs."""
    values, counts = torch.unique_consecutive(place, return_counts=True)
    start = 0
    for i, count in zip(torch.searchsorted(places, values).tolist(), counts.tolist(), strict=True):
        yield i, slice(start, start + count)
        start += count


def _corrected(found: Found, tokens: Tokens, candidates: Candidates, knowledge: Knowledge) -> Found:
    """Return the candidates that explain the kept coordinates best; there is no noise.

    Most rows equal the nearest mean on the coordinates that were kept: nothing is nearer. Only
    the others are compared with every candidate.
    """
    sent = _sent(candidates.rows(found.word, tokens.place, found.kind), tokens.rows, knowledge)
    norm = torch.linalg.vector_norm
    wrong = norm(tokens.rows - sent, dim=1) > SAME * norm(tokens.rows.double(), dim=1)
    word, kind = found.word.clone(), found.kind.clone()
    for some in wrong.nonzero()[:, 0].split(MASKED_TOKENS_AT_ONCE):
        word[some], kind[some] = _masked(
            tokens.rows[some], tokens.place[some], candidates, knowledge
        )
    return Found(word, kind)


def _sent(rows: Tensor, seen: Tensor, knowledge: Knowledge) -> Tensor:
    """Return candidates [token, hidden] as sent under the mask that the seen rows show."""
    dropped = rows * (seen != 0) / (1 - knowledge.dropout)
    if knowledge.clip_norm is None:
        return dropped
    norms = torch.linalg.vector_norm(dropped, dim=1, keepdim=True)
    return dropped * (knowledge.clip_norm / norms.clamp(min=1e-30)).clamp(max=1.0)


def _masked(
    rows: Tensor, place: Tensor, candidates: Candidates, knowledge: Knowledge
) -> tuple[Tensor, Tensor]:
    """Return word and type [token] of the candidates nearest on the coordinates that were kept.

    With m the mask, u = m * c / (1 - p) was clipped to s * u, where s = min(1, C / |u|) depends
    on the mask too. As a is zero off the mask, a . u is a . c / (1 - p); |m * c|^2 takes the
    products of m * gamma^2 with w^2, of m * gamma * beta with w, and of m * gamma^2 * q with w.
    """
    c, keep = candidates, (rows != 0).float()
    scaled = rows * c.gamma
    product = scaled @ c.words.T  # [token, vocab], as all below
    squares = (keep * c.gamma) @ (c.words.square() * c.gamma).T
    linear = (keep * c.gamma * c.beta) @ c.words.T

    def scores(kind_row: Tensor) -> Tensor:
        q = c.places[place] + kind_row
        gq, inverse = keep * c.gamma * q, c.inverse_std(q)
        norms = torch.addmm(squares, gq * c.gamma, c.words.T, alpha=2.0)
        norms = (norms + gq.square().sum(1, keepdim=True)) * inverse
        norms = (norms + 2 * (linear + (gq @ c.beta)[:, None])) * inverse
        norms += (keep @ c.beta.square())[:, None]
        norms /= (1 - knowledge.dropout) ** 2  # |u|^2
        dot = (product + (scaled * q).sum(1, keepdim=True)) * inverse + (rows @ c.beta)[:, None]
        dot /= 1 - knowledge.dropout
        if knowledge.clip_norm is not None:
            shrink = (knowledge.clip_norm * norms.clamp(min=1e-30).rsqrt()).clamp(max=1.0)
            dot, norms = dot * shrink, norms * shrink.square()
        return dot - norms / 2

    return _best(scores(kind_row) for kind_row in c.kinds)


def fitted_scales(tokens: Tokens, candidates: Candidates, knowledge: Knowledge) -> Tensor:
    """Return the factor [sequence] of each sequence's clip, as far as it can be fitted.

    A sequence was scaled by one unknown factor of at most 1. A first guess comes from its energy;
    the nearest candidates then give the factor by least squares.
    """
    loose = replace(knowledge, clip_norm=None)
    energy = _per_sequence(tokens.rows.double().square().sum(1), tokens)
    count = _per_sequence(torch.ones(len(tokens.rows), dtype=torch.float64), tokens)
    noise = knowledge.noise_std**2 * tokens.rows.shape[1]
    typical = float(candidates.gamma.square().sum() + candidates.beta.square().sum())
    typical /= 1 - knowledge.dropout
    scale = ((energy / count.clamp(min=1) - noise).clamp(min=0) / typical).sqrt().clamp(1e-3, 1.0)
    found = _nearest(rescaled(tokens, scale), candidates, loose)
    guess = candidates.rows(found.word, tokens.place, found.kind)
    if knowledge.noise_std == 0:
        guess = _sent(guess, tokens.rows, loose)
    dot = _per_sequence((guess * tokens.rows).sum(1), tokens)
    norms = _per_sequence(guess.square().sum(1), tokens)
    return (dot / norms.clamp(min=1e-30)).clamp(1e-3, 1.0)


def rescaled(tokens: Tokens, scale: Tensor) -> Tokens:
    """Return the tokens with the rows divided by their sequence's scale [sequence]."""
    rows = (tokens.rows / scale[tokens.sequence, None]).float()
    return replace(tokens, rows=rows)


def _per_sequence(values: Tensor, tokens: Tokens) -> Tensor:
    """Return the sums [sequence] of values [token]."""
    empty = torch.zeros(tokens.sequences, dtype=values.dtype)
    return empty.index_add(0, tokens.sequence, values)
