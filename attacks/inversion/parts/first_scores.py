"""Scores of every word from a token's row alone, before any look at its neighbours.

Both kinds are log-likelihoods, up to what a token's words share: at cut layer 0 in closed form,
at any cut from a linear model with Gaussian errors, fitted to text pushed through E.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.parts.likelihood import Likelihood
from attacks.inversion.parts.look_up import Tokens, fitted_scales, rescaled, scored
from attacks.inversion.parts.possible_rows import PossibleRows
from attacks.inversion.parts.simulation import Pushed
from fedbert.split import Bottom, EmbeddingTables, position_ids

DRAWS = 16  # of the mechanism, averaged where only the mean of A matters
RIDGE = 1e-3  # relative; keeps the fits solvable where A or the text does not fill the space
LEAST_NOISE = 1e-3  # relative to a row's values: a likelihood never stands above all learning


def exact_for(knowledge: Knowledge) -> bool:
    """Return whether there is a likelihood in closed form: cut 0, isotropic, clipped in L2."""
    if knowledge.embedding is None or knowledge.basis is not None:
        return False
    if knowledge.noise in ("laplace", "unknown"):
        return False
    return knowledge.noise != "metric" or knowledge.clip_norm is None


@dataclass(frozen=True)
class Exact:
    """The noise's own likelihood of each candidate row of E's tables; see `LanguagePrior`.

    kinds: the token types that occur. With a clip per sequence, the scale of each is fitted.
    """

    candidates: PossibleRows
    knowledge: Knowledge

    @staticmethod
    def of(tables: EmbeddingTables, knowledge: Knowledge, kinds: Tensor) -> "Exact":
        """Return the likelihood under tables and a mechanism, for tokens of these types."""
        c = PossibleRows.of(tables)
        c = replace(
            c,
            kinds=c.kinds[kinds],
            kind_squares=c.kind_squares[kinds],
            kind_scaled=c.kind_scaled[kinds],
        )
        values = float((c.gamma.square().sum() + c.beta.square().sum()) / len(c.gamma)) ** 0.5
        least = LEAST_NOISE * values
        kind = "gaussian" if knowledge.noise == "none" else knowledge.noise
        std = max(knowledge.noise_std, least)
        return Exact(c, replace(knowledge, noise=kind, noise_std=std))

    def __call__(
        self, rows: Tensor, position: Tensor, owner: Tensor, words: Tensor | None
    ) -> Tensor:
        """Return log-likelihoods [token, word] of rows [token, hidden] at positions [token].

        owner [token]: the number of its sequence; words: those to score, None for all.
        """
        c, knowledge = _among(self.candidates, words), self.knowledge
        tokens = Tokens(rows, position, owner, int(owner[-1]) + 1 if len(owner) else 0)
        scale = torch.ones(tokens.sequences, dtype=torch.float64)
        if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
            scale = fitted_scales(tokens, c, knowledge)
            tokens, knowledge = rescaled(tokens, scale), replace(knowledge, clip_norm=None)
        likelihood = Likelihood.of(knowledge.noise_std / scale[owner], c, knowledge)
        out = torch.empty(len(rows), len(c.words))
        for some, scores in scored(tokens, c, knowledge):
            best = next(scores).clone()
            for other in scores:
                torch.maximum(best, other, out=best)
            likelihood.of_scores_(best, tokens.rows[some], some)
            out[some] = best
        return out


@dataclass(frozen=True)
class Linear:
    """Log-likelihood under a = B y + c + error, the error Gaussian, y the sum of the rows in E.

    y is the word's row plus the position's, which E adds up before its LayerNorm; both centred over
    their table and scaled. Then the score of word w at position p for a row a is, up to a constant,

        (a P B - c P B - p Q) . w - w Q w / 2,   P = covariance of the errors^-1, Q = B' P B.

    That covariance holds the mechanism's noise, E's dropout and what the neighbours add, so that
    the score adapts to all of them. It can name any word of the table, in the text or not.

    slope [hidden, hidden] = P B; offset [position, hidden]; half [vocab] = w Q w / 2.

    Reference: Rao (1948), for the discriminant of Gaussian classes with one covariance.
    """

    words: Tensor
    slope: Tensor
    offset: Tensor
    half: Tensor

    @staticmethod
    def of(
        text: Sequence[Pushed], bottom: Bottom, knowledge: Knowledge, generator: torch.Generator
    ) -> "Linear":
        """Return the model fitted to text that went through E and the mechanism."""
        words, positions = word_rows(bottom), _position_rows(bottom)
        width = words.shape[1]
        size = width + 1
        squares, products = torch.zeros(size, size).double(), torch.zeros(size, width).double()
        for each in text:
            y = _inputs(each, words, positions, bottom)
            draws = 1 if knowledge.protect is None else DRAWS
            mean = sum(each.sent(knowledge, generator)[each.real] for _ in range(draws)) / draws
            squares += (y.T @ y).double()
            products += (y.T @ mean).double()
        count = squares[-1, -1].clamp(min=1)
        squares += RIDGE * count / width * torch.eye(size)
        map_ = torch.linalg.solve(squares, products).float()  # [hidden + 1, hidden]
        errors = torch.zeros(width, width).double()
        for each in text:
            error = each.sent(knowledge, generator)[each.real]
            error -= _inputs(each, words, positions, bottom) @ map_
            errors += (error.T @ error).double()
        errors /= count
        errors += RIDGE * errors.diagonal().mean().clamp(min=1e-12) * torch.eye(width)
        inverse = torch.linalg.inv(errors)
        return Linear.given(words, positions, map_[:-1], map_[-1], inverse)

    @staticmethod
    def given(words: Tensor, positions: Tensor, b: Tensor, c: Tensor, inverse: Tensor) -> "Linear":
        """Return the scores under a = y b + c + error, rows being vectors.

        words [vocab, hidden], positions [position, hidden], b and inverse [hidden, hidden] (that of
        the errors' covariance), c [hidden].
        """
        b, c, inverse = b.double(), c.double(), inverse.double()
        slope = inverse @ b.T
        square = b @ slope
        half = ((words @ square.float()) * words).sum(1) / 2
        offset = -(c @ slope) - positions.double() @ square
        return Linear(words, slope.float(), offset.float(), half)

    def __call__(
        self, rows: Tensor, position: Tensor, owner: Tensor, words: Tensor | None
    ) -> Tensor:
        """Return log-likelihoods [token, word]; the arguments are those of `Exact`."""
        table, half = (
            (self.words, self.half) if words is None else (self.words[words], self.half[words])
        )
        pulled = rows @ self.slope + self.offset[position]
        return torch.addmm(-half, pulled, table.T)


def word_rows(bottom: Bottom) -> Tensor:
    """Return E's word table [vocab, hidden], centred, rows of length about 1."""
    return unit_rows(bottom.embeddings.word_embeddings.weight)


def unit_rows(table: Tensor) -> Tensor:
    """Return a table's rows, centred, of length about 1."""
    return _scaled(table, _spread(table))


def _position_rows(bottom: Bottom) -> Tensor:
    """Return E's position table [position, hidden], centred, on the scale of `word_rows`."""
    e = bottom.embeddings
    return _scaled(e.position_embeddings.weight, _spread(e.word_embeddings.weight))


def _spread(table: Tensor) -> float:
    """Return the typical length of a centred row."""
    rows = table.detach().float()
    return float((rows - rows.mean(0)).square().sum(1).mean().sqrt())


def _scaled(table: Tensor, spread: float) -> Tensor:
    """Return the rows, less their mean, over the spread."""
    rows = table.detach().float()
    return (rows - rows.mean(0)) / max(spread, 1e-30)


def _inputs(each: Pushed, words: Tensor, positions: Tensor, bottom: Bottom) -> Tensor:
    """Return the y of a batch's tokens, with a 1 for the constant [token, hidden + 1]."""
    ids = each.batch.input_ids
    y = words[ids[each.real]] + positions[position_ids(ids, bottom.config)[each.real]]
    return F.pad(y, (0, 1), value=1.0)


def _among(c: PossibleRows, words: Tensor | None) -> PossibleRows:
    """Return the candidates of these words alone."""
    if words is None:
        return c
    return replace(
        c,
        words=c.words[words],
        squares=c.squares[words],
        linear=c.linear[words],
        kind_squares=c.kind_squares[:, words],
        kind_scaled=c.kind_scaled[:, words],
    )
