"""Every row that E can make at cut layer 0, in closed form: LayerNorm(word + position + type).

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
class Candidates:
    """The tables of E, centred over hidden.

    words [vocab, hidden], places [positions, hidden], kinds [types, hidden]; gamma and beta
    [hidden] are LayerNorm's; squares [vocab] = |w|^2 and scaled_squares [vocab] = |gamma * w|^2.
    """

    words: Tensor
    places: Tensor
    kinds: Tensor
    gamma: Tensor
    beta: Tensor
    eps: float
    squares: Tensor
    scaled_squares: Tensor

    @staticmethod
    def of(tables: EmbeddingTables) -> "Candidates":
        """Return the candidates of these tables, in float32 on the CPU."""
        words, gamma = _centred(tables.word), tables.norm_weight.float()
        return Candidates(
            words,
            _centred(tables.position),
            _centred(tables.token_type),
            gamma,
            tables.norm_bias.float(),
            tables.norm_eps,
            torch.linalg.vector_norm(words, dim=1).square(),
            words.square() @ gamma.square(),
        )

    def rows(self, word: Tensor, place: Tensor, kind: Tensor) -> Tensor:
        """Return the candidates [token, hidden] of these triples, float64."""
        centred = self.words[word].double() + self.places[place] + self.kinds[kind]
        std = (centred.square().mean(1, keepdim=True) + self.eps).sqrt()
        return self.gamma * centred / std + self.beta

    def inverse_std(self, q: Tensor) -> Tensor:
        """Return R [n, vocab] for the sums q [n, hidden] of a position and a type row."""
        variance = torch.addmm(self.squares, q, self.words.T, alpha=2.0)
        variance += q.square().sum(1, keepdim=True)
        return variance.mul_(1 / q.shape[1]).add_(self.eps).rsqrt_()

    def planes(self, place: Tensor, bound: float | None) -> list["Plane"]:
        """Return, for each type, what the scores at positions [place] need of the words.

        bound: the norm that the candidates are clipped to.
        """
        p, weight = self.places[place], self.gamma.square()
        dots = torch.addmm(self.squares, p, self.words.T, alpha=2.0)
        scaled_dots = torch.addmm(self.scaled_squares, p * weight, self.words.T, alpha=2.0)
        linear = self.words @ (self.gamma * self.beta)
        beta_square = self.beta.square().sum()
        planes = []
        for t in self.kinds:
            q = p + t
            inverse = dots + 2.0 * (self.words @ t)
            inverse += q.square().sum(1, keepdim=True)  # |w + q|^2 [place, vocab]
            inverse.mul_(1 / q.shape[1]).add_(self.eps).rsqrt_()
            norms = scaled_dots + 2.0 * (self.words @ (t * weight))
            norms += (self.gamma * q).square().sum(1, keepdim=True)
            norms.mul_(inverse).add_(linear, alpha=2.0)
            norms += 2.0 * (q @ (self.gamma * self.beta))[:, None]
            norms.mul_(inverse).add_(beta_square)  # |c|^2 [place, vocab]
            shrink = None
            if bound is not None and float(norms.max()) > bound**2:
                shrink = (bound * norms.rsqrt()).clamp_(max=1.0)
                norms.mul_(shrink).mul_(shrink)
                inverse.mul_(shrink)
            planes.append(Plane(q, inverse, norms.mul_(-0.5), shrink))
        return planes


@dataclass(frozen=True)
class Plane:
    """The words at some positions of one type: slope and rest [place, vocab], q [place, hidden].

    The score of a word for a received row a is log-likelihood times the noise's variance, up to
    what all words share: ((a * gamma) . w + (a * gamma) . q) * slope + rest + (a . beta) * shrink,
    with shrink [place, vocab] the factor of the clip, None where no candidate is clipped.
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
    exact = values.detach().to("cpu", torch.float64)
    return (exact - exact.mean(1, keepdim=True)).float()
