"""Possible rows of E at cut layer 0, in closed form: LayerNorm(word + position + type).

With w the word row and q the sum of the position and the type row, both centred over hidden, and
R = 1 / std(w + q), a candidate is c = gamma * (w + q) * R + beta. So a . c, the standard
deviation and |c|^2 need products [.., hidden] x [hidden, vocab] alone, and the
[vocab, positions, hidden] candidates are never formed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedbert.split import EmbeddingTables


@dataclass(frozen=True)
class PossibleRows:
    """The tables of E, centred over hidden, and what is needed of each word.

    words [vocab, hidden], positions [positions, hidden], kinds [types, hidden]; gamma and beta
    [hidden] are LayerNorm's. squares [vocab] = |w|^2 and linear [vocab] = (gamma * beta) . w;
    kind_squares and kind_scaled [types, vocab] = |w|^2 + 2 t . w, plain and with all rows scaled
    by gamma, for each type row t.
    """

    words: Tensor
    positions: Tensor
    kinds: Tensor
    gamma: Tensor
    beta: Tensor
    eps: float
    squares: Tensor
    linear: Tensor
    kind_squares: Tensor
    kind_scaled: Tensor

    @staticmethod
    def of(tables: EmbeddingTables) -> "PossibleRows":
        """Return the candidates of these tables, in float32 on the CPU."""
        words, kinds = _centred(tables.word), _centred(tables.token_type)
        gamma, beta = tables.norm_weight.float().cpu(), tables.norm_bias.float().cpu()
        squares = torch.linalg.vector_norm(words, dim=1).square()
        scaled_squares = torch.linalg.vector_norm(words * gamma, dim=1).square()
        right = torch.cat((2 * kinds, 2 * kinds * gamma.square(), (gamma * beta)[None]))
        products = (words @ right.T).T.contiguous()
        return PossibleRows(
            words=words,
            positions=_centred(tables.position),
            kinds=kinds,
            gamma=gamma,
            beta=beta,
            eps=tables.norm_eps,
            squares=squares,
            linear=products[-1],
            kind_squares=squares + products[: len(kinds)],
            kind_scaled=scaled_squares + products[len(kinds) : -1],
        )

    def rows(self, word: Tensor, position: Tensor, kind: Tensor) -> Tensor:
        """Return the candidates [token, hidden] of these triples, float64."""
        centred = self.words[word].double() + self.positions[position] + self.kinds[kind]
        std = (centred.square().mean(1, keepdim=True) + self.eps).sqrt()
        return self.gamma * centred / std + self.beta

    def inverse_std(self, q: Tensor) -> Tensor:
        """Return R [n, vocab] for the sums q [n, hidden] of a position and a type row."""
        variance = torch.addmm(self.squares, q, self.words.T, alpha=2.0)
        variance += q.square().sum(1, keepdim=True)
        return variance.mul_(1 / q.shape[1]).add_(self.eps).rsqrt_()

    def planes(self, position: Tensor, bound: float | None) -> list["Plane"]:
        """Return, for each type, what the scores at positions [position] need of the words.

        bound: the norm that the candidates are clipped to.
        """
        p, beta_square = 2.0 * self.positions[position], self.beta.square().sum()
        dots = p @ self.words.T
        scaled_dots = (p * self.gamma.square()) @ self.words.T
        made = []
        for k, t in enumerate(self.kinds):
            q = self.positions[position] + t
            inverse = dots + self.kind_squares[k]
            inverse += q.square().sum(1, keepdim=True)  # |w + q|^2 [position, vocab]
            inverse.mul_(1 / q.shape[1]).add_(self.eps).rsqrt_()
            norms = scaled_dots + self.kind_scaled[k]
            norms += (self.gamma * q).square().sum(1, keepdim=True)
            norms.mul_(inverse).add_(self.linear, alpha=2.0)
            norms += 2.0 * (q @ (self.gamma * self.beta))[:, None]
            norms.mul_(inverse).add_(beta_square)  # |c|^2 [position, vocab]
            made.append((q, inverse, norms))
        if bound is None or all(float(norms.max()) <= bound**2 for _, _, norms in made):
            return [Plane(q, inverse, norms.mul_(-0.5), None) for q, inverse, norms in made]
        planes = []
        for (
            q,
            inverse,
            norms,
        ) in made:  # for all types or none: else their scores differ by a . beta
            shrink = (bound * norms.rsqrt()).clamp_(max=1.0)
            norms.mul_(shrink).mul_(shrink)
            inverse.mul_(shrink)
            planes.append(Plane(q, inverse, norms.mul_(-0.5), shrink))
        return planes


@dataclass(frozen=True)
class Plane:
    """The words at some positions of one type.

    slope and rest [position, vocab], q [position, hidden].
    The score of a word for a received row a is log-likelihood times the noise's variance, up to
    what all words share: ((a * gamma) . w + (a * gamma) . q) * slope + rest + (a . beta) * shrink,
    with shrink [position, vocab] the factor of the clip, None where no candidate is clipped.
    """

    q: Tensor
    slope: Tensor
    rest: Tensor
    shrink: Tensor | None

    def scores(
        self, i: int, scaled: Tensor, product: Tensor, beta_product: Tensor, out: Tensor
    ) -> Tensor:
        """Return the scores [token, vocab] at the i-th position, in the memory of `out`.

        scaled: a * gamma [token, hidden]; product: scaled . w [token, vocab]; beta_product:
        a . beta [token].
        """
        torch.add(product, (scaled @ self.q[i])[:, None], out=out)
        torch.addcmul(self.rest[i], out, self.slope[i], out=out)
        return out if self.shrink is None else out.addr_(beta_product, self.shrink[i])


def _centred(values: Tensor) -> Tensor:
    """Return the rows, each less its mean, as float32."""
    rows = values.detach().to("cpu", torch.float32)
    return rows - rows.mean(1, keepdim=True)
