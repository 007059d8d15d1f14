"""Look-up with a language model where the scale of Gaussian noise is not known, but estimated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import InversionAttack, Knowledge, Lacks, unfit_noise
from attacks.inversion.language_prior import (
    LanguagePrior,
    frequencies,
    lacking_of_language,
    needed_by,
    whereabouts,
)
from attacks.inversion.nearest_token import SAME
from attacks.inversion.parts.likelihood import SMALLEST
from attacks.inversion.parts.look_up import Tokens, received, rescaled, scored
from attacks.inversion.parts.possible_rows import PossibleRows
from fedbert.errors import expect
from fedbert.messages import SmashedData

MOST_SCORES = 2**24  # of rows drawn from the messages, each against every word and type
ROWS_AT_ONCE = 64
MOST_STEPS = 200
SETTLED = 1e-5  # the relative change of the variance at which it counts as found
TYPICAL_TOKENS = 4096  # of auxiliary text, for the mean square of a row


@dataclass(frozen=True)
class UnknownScale:
    """The bigram prior's answer, under a noise whose scale it estimates from the messages.

    Threat model: that of `LanguagePrior` of order 2, less the noise's standard deviation. The
    server knows that the noise is independent and Gaussian, the clip, and dropout's rate;
    `Knowledge.noise_std` is not read.

    The scale is found by expectation maximisation, before anything is decoded. A received row is
    one of all the rows that E can make at its position, with the frequencies of `LanguagePrior`,
    plus the noise. In turn every candidate gets its posterior weight under the present scale, and
    the variance becomes the mean square of the residuals under these weights. The nearest
    candidate alone would make it too small: of many candidates one is near by chance.

    | case | what is done |
    |---|---|
    | a clip per token | candidates are clipped alike |
    | a clip per sequence | its factor follows from its tokens' number: rows have nearly one norm |
    | dropout of E | the variance that it adds is known and taken off |
    | as many exact zeros as dropout leaves, or residuals of float32's rounding | no noise |
    | more than fits `MOST_SCORES` | rows drawn evenly from all messages |
    | metric, Laplace or unknown noise, noise in known directions | not attempted: see `missing` |

    Neighbours play no part in the estimate: it maximises the product of the rows' own likelihoods,
    a composite one, which finds the scale as well. Under dropout that adds more variance than the
    noise, and under a clip per sequence with next to no noise, the scale is found roughly (see the
    tests); what is recovered depends little on it there.

    References: Dempster, Laird, Rubin (1977), for the estimate; BeamClean (2025) estimates a noise
    model and decodes in turn; Varin, Reid, Firth (2011), for likelihoods of the margins.

    Raises:
        InputError: if the shortlist is empty.
    """

    shortlist: int = 256
    name: str = "bigram prior, unknown scale"
    view: str = "forward"

    def __post_init__(self) -> None:
        """Check the setting."""
        expect(self.shortlist >= 1, "shortlist >= 1", "shortlist", self.shortlist)

    @property
    def informed(self) -> InversionAttack:
        """The same attack for who knows the scale."""
        return LanguagePrior(shortlist=self.shortlist)

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        lacking = lacking_of_language(knowledge) + unfit_noise(knowledge.noise, ("gaussian",))
        if knowledge.basis is not None:
            lacking.append(("basis", "noise of one scale in all directions, not after a `basis`"))
        return Lacks.of(lacking)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the most likely words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, the tables of E do not fit the
                messages, or the auxiliary text is not of their vocabulary.
        """
        found = self.noise_std(messages, knowledge, generator)
        return self.informed.reconstruct(messages, replace(knowledge, noise_std=found), generator)

    def noise_std(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> float:
        """Return the estimate of the noise's standard deviation on each value, 0 for no noise.

        generator: draws the rows, where there are too many.

        Raises:
            InputError: as `reconstruct`.
        """
        tables, texts = needed_by(self, knowledge)
        tokens, candidates = received(messages, tables), PossibleRows.of(tables)
        prior = frequencies(texts, len(tables.word))
        if knowledge.noise == "none" or len(tokens.rows) == 0:
            return 0.0
        zeros = float((tokens.rows == 0).float().mean())
        if knowledge.dropout > 0 and zeros > knowledge.dropout / 2:
            return 0.0
        with torch.no_grad():
            square = _typical_square(texts, candidates, knowledge)
            scale = torch.ones(len(tokens.rows), dtype=torch.float64)
            if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
                factors = _clip_factors(tokens, square / (1 - knowledge.dropout), knowledge)
                tokens, scale = rescaled(tokens, factors), factors[tokens.sequence]
                knowledge = replace(knowledge, clip_norm=None)
            where = whereabouts(tokens.sequence)
            most = max(1, MOST_SCORES // (len(candidates.kinds) * len(candidates.words)))
            some = torch.randperm(len(tokens.rows), generator=generator)[:most].sort().values
            drawn = replace(
                tokens,
                rows=tokens.rows[some],
                position=tokens.position[some],
                sequence=tokens.sequence[some],
            )
            mixture = _Mixture.of(drawn, candidates, knowledge, prior[where[some]])
            dropped = knowledge.dropout / (1 - knowledge.dropout) * square / mixture.width
            return mixture.noise_std(scale[some], dropped)


@dataclass(frozen=True)
class _Mixture:
    """Rows [row], each of one of the candidates [row, type * vocab] with these log-weights.

    behind: how much more, squared, a candidate's distance is than the nearest one's; nearest [row]:
    that one's squared distance, in float64, which the scores' float32 could not tell from 0.
    """

    log_weights: Tensor
    behind: Tensor
    nearest: Tensor
    energy: Tensor
    width: int

    @staticmethod
    def of(
        tokens: Tokens, candidates: PossibleRows, knowledge: Knowledge, prior: Tensor
    ) -> "_Mixture":
        """Return the mixture of these tokens; prior: log-frequencies of words [row, vocab]."""
        types, vocab = len(candidates.kinds), len(candidates.words)
        scores = torch.empty(len(tokens.rows), types, vocab)
        for some, planes in scored(tokens, candidates, knowledge):
            for kind, plane in enumerate(planes):
                scores[some, kind] = plane
        scores = scores.flatten(1)
        top, best = scores.max(1)
        rows = candidates.rows(best % vocab, tokens.position, best // vocab)
        rows = rows * _shrink(torch.linalg.vector_norm(rows, dim=1, keepdim=True), knowledge)
        return _Mixture(
            prior,
            scores.sub_(top[:, None]).mul_(-2),
            (tokens.rows - rows).square().sum(1),
            tokens.rows.double().square().sum(1),
            tokens.rows.shape[1],
        )

    def noise_std(self, scale: Tensor, dropped: float) -> float:
        """Return the most likely standard deviation, 0 where residuals are float32's rounding.

        scale [row]: what rows were multiplied by before the noise; dropped: the variance that
        dropout adds, next to which the noise may not show: then the least that is not none. It
        starts from above, at the rows' own mean square.
        """
        variance = float((scale.square() * self.energy).mean()) / self.width
        rounding = SAME**2 * variance
        for _ in range(MOST_STEPS):
            residual = self._residual(variance / scale.square() + dropped)
            excess = scale.square() * (residual / self.width - dropped)
            before, variance = variance, max(0.0, float(excess.mean()))
            if abs(variance - before) <= SETTLED * before:
                break
        if variance <= rounding:
            return 0.0 if dropped == 0 else rounding**0.5
        return float(variance**0.5)

    def _residual(self, variance: Tensor) -> Tensor:
        """Return the expected squared distance [row] to the sent row, under variances [row]."""
        rate = 0.5 / variance.clamp(min=SMALLEST).float()
        found = []
        for some in torch.arange(len(rate)).split(ROWS_AT_ONCE):
            behind, prior = self.behind[some], self.log_weights[some]
            logs = torch.addcmul(
                prior.repeat(1, behind.shape[1] // prior.shape[1]),
                behind,
                rate[some, None].expand_as(behind),
                value=-1,
            )
            found.append((logs.softmax(1) * behind).sum(1).double())
        return self.nearest + torch.cat(found)


def _typical_square(
    texts: Sequence[np.ndarray], candidates: PossibleRows, knowledge: Knowledge
) -> float:
    """Return the mean square of the norm of auxiliary text's rows, clipped where tokens are."""
    pairs = np.concatenate(
        [np.stack([text, np.arange(len(text))]) for text in texts if len(text)], axis=1
    )[:, :TYPICAL_TOKENS]
    ids, position = torch.from_numpy(pairs)
    position = position.clamp(max=len(candidates.positions) - 1)
    rows = candidates.rows(ids, position, torch.zeros_like(ids))
    norm = torch.linalg.vector_norm(rows, dim=1)
    if knowledge.clip_unit == "token":
        norm = norm * _shrink(norm, knowledge)
    return float(norm.square().mean())


def _shrink(norm: Tensor, knowledge: Knowledge) -> Tensor:
    """Return what the clip multiplies candidates of these norms by."""
    if knowledge.clip_norm is None:
        return torch.ones_like(norm)
    bound = knowledge.clip_norm * (1 - knowledge.dropout) ** 0.5
    shrink: Tensor = (bound / norm.clamp(min=SMALLEST)).clamp(max=1.0)
    return shrink


def _clip_factors(tokens: Tokens, square: float, knowledge: Knowledge) -> Tensor:
    """Return the factor [sequence] of each sequence's clip; square: a row's mean squared norm."""
    count = torch.bincount(tokens.sequence, minlength=tokens.sequences).double()
    norm = (count * square).clamp(min=SMALLEST).sqrt()
    factor: Tensor = ((knowledge.clip_norm or 0.0) / norm).clamp(max=1.0)
    return factor
