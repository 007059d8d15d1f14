"""Log-likelihoods of words under noise, dropout and clip, from their scores."""

import math
from dataclasses import dataclass

from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.parts.possible_rows import PossibleRows

SMALLEST = 1e-30  # variance; keeps scores finite in float32


@dataclass(frozen=True)
class Likelihood:
    """Turns scores into log-likelihoods, up to what a token's candidates share.

    rate [token]: 1 / variance per coordinate, or eta under metric noise; beta [hidden]:
    LayerNorm's, whose product with the row scores leave out, and None where it plays no part.
    """

    rate: Tensor
    beta: Tensor | None

    @staticmethod
    def of(noise: Tensor, candidates: PossibleRows, knowledge: Knowledge) -> "Likelihood":
        """Return the likelihood under noise of standard deviations noise [token]."""
        width = candidates.words.shape[1]
        if knowledge.noise == "metric":
            return Likelihood(math.sqrt(width + 1) / noise.float(), candidates.beta)
        square = float(candidates.gamma.square().sum() + candidates.beta.square().sum())
        if knowledge.clip_norm is not None:
            square = min(square, knowledge.clip_norm**2 * (1 - knowledge.dropout))
        dropped = knowledge.dropout / (1 - knowledge.dropout) * square / width
        variance = (noise.square() + dropped).clamp(min=SMALLEST)
        return Likelihood(variance.reciprocal().float(), None)

    def of_scores_(self, scores: Tensor, rows: Tensor, some: Tensor) -> None:
        """Turn the scores [n, vocab] of some tokens, received as rows [n, hidden], in place."""
        if self.beta is not None:
            rest = rows.square().sum(1) - 2 * rows @ self.beta
            scores.mul_(-2).add_(rest[:, None]).clamp_(min=0).sqrt_().neg_()  # -|a - c|
        scores -= scores.max(1, keepdim=True).values
        scores *= self.rate[some, None]
