"""Look-up over every word: received rows, and their scores against every row that E can make."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.parts.possible_rows import PossibleRows
from fedbert.errors import InputError
from fedbert.messages import SmashedData
from fedbert.split import EmbeddingTables

POSITIONS_AT_ONCE = 32


TOKENS_AT_ONCE = 256


@dataclass(frozen=True)
class Tokens:
    """The tokens of some messages without the padding.

    rows [token, hidden] as received; position [token], the row of the position table; sequence
    [token], the running number of the token's sequence; sequences, how many there are.
    """

    rows: Tensor
    position: Tensor
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
    rows, positions = [np.zeros((0, size), np.float32)], [np.zeros(0, np.int64)]
    owners, sequences = [np.zeros(0, np.int64)], 0
    for message in messages:
        real = message.attention_mask != 0  # [batch, seq]
        if message.activations.shape != (*real.shape, size):
            shape = message.activations.shape
            raise InputError(f"expected activations {(*real.shape, size)}, got shape={shape}")
        column = np.broadcast_to(np.arange(real.shape[1]), real.shape)
        # RoBERTa (offset > 0) counts the tokens that are not padding, BERT counts columns.
        position = offset - 1 + real.cumsum(1) if offset else column
        rows.append(message.activations[real].astype(np.float32, copy=False))
        positions.append(position[real])
        owners.append(sequences + np.nonzero(real)[0])
        sequences += len(real)
    top = max(int(each.max(initial=0)) for each in positions)
    if top >= len(tables.position):
        raise InputError(f"expected position < {len(tables.position)}, got position={top}")
    row, position, owner = (
        torch.from_numpy(np.concatenate(parts)) for parts in (rows, positions, owners)
    )
    return Tokens(row, position, owner, sequences)


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


def nearest(tokens: Tokens, candidates: PossibleRows, knowledge: Knowledge) -> Found:
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
        word[some], kind[some] = best_candidate(scores)
    return Found(word, kind)


def scored(
    tokens: Tokens, candidates: PossibleRows, knowledge: Knowledge
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
    for positions, members in _by_position(tokens.position):
        planes = candidates.planes(positions, bound)
        for some in members.split(TOKENS_AT_ONCE):
            rows = tokens.rows[some]
            scaled, beta_product = rows * candidates.gamma, rows @ candidates.beta
            torch.mm(scaled, candidates.words.T, out=product[: len(some)])
            for i, span in _runs(tokens.position[some], positions):
                given = (i, scaled[span], product[span], beta_product[span], out[span])
                yield some[span], (plane.scores(*given) for plane in planes)


def best_candidate(scores: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return word and type [token] of the highest of the scores [token, vocab] of each type.

    Of equals the first; each type's scores are done with before the next are asked for.
    """
    tops, words = zip(*(each.max(1) for each in scores), strict=True)
    kind = torch.stack(tops).argmax(0)
    return torch.stack(words).gather(0, kind[None])[0], kind


def _by_position(position: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a few positions, ascending, and the tokens at them, sorted by position."""
    order = torch.argsort(position, stable=True)
    occupied, counts = torch.unique(position, return_counts=True)
    start = 0
    for positions, sizes in zip(
        occupied.split(POSITIONS_AT_ONCE), counts.split(POSITIONS_AT_ONCE), strict=True
    ):
        size = int(sizes.sum())
        if size:
            yield positions, order[start : start + size]
        start += size


def _runs(position: Tensor, positions: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield where in `positions` each run of equal positions in the sorted `position` belongs."""
    values, counts = torch.unique_consecutive(position, return_counts=True)
    start = 0
    for i, count in zip(
        torch.searchsorted(positions, values).tolist(), counts.tolist(), strict=True
    ):
        yield i, slice(start, start + count)
        start += count


def as_sent(rows: Tensor, seen: Tensor, knowledge: Knowledge) -> Tensor:
    """Return candidates [token, hidden] as sent under the mask that the seen rows show."""
    dropped = rows * (seen != 0) / (1 - knowledge.dropout)
    if knowledge.clip_norm is None:
        return dropped
    norms = torch.linalg.vector_norm(dropped, dim=1, keepdim=True)
    clipped: Tensor = dropped * (knowledge.clip_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
    return clipped


def fitted_scales(tokens: Tokens, candidates: PossibleRows, knowledge: Knowledge) -> Tensor:
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
    found = nearest(rescaled(tokens, scale), candidates, loose)
    guess = candidates.rows(found.word, tokens.position, found.kind)
    if knowledge.noise_std == 0:
        guess = as_sent(guess, tokens.rows, loose)
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
