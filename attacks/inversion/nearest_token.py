"""Look-up over every word: what a cut at the embeddings gives away.

At cut layer 0 each row of A is one of vocab x types known vectors at its position. Under isotropic
Gaussian noise the nearest one is the most likely one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import NOISES, Knowledge, Lacks, served, unfit_noise
from attacks.inversion.parts.look_up import (
    Found,
    Tokens,
    as_sent,
    best_candidate,
    fitted_scales,
    nearest,
    received,
    rescaled,
    spread,
)
from attacks.inversion.parts.possible_rows import PossibleRows
from attacks.inversion.parts.search import search
from fedbert.messages import SmashedData

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
    | noise of unknown distribution | not attempted: see `missing` |
    | a clip per sequence | each sequence's one scale is fitted in turn with its words |
    | dropout, no noise | exact: zeros show the mask, only kept coordinates are compared |
    | dropout and noise | nearest mean (see `nearest`), since the noise hides the mask |

    Of equally near words the lowest id is taken, of two token types the nearer one. (Knowing the
    types would gain little: at hidden 128, a recovery of 0.123 instead of 0.121 at sigma 3.)
    """

    name: str = "nearest token"
    view: str = "forward"

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        needs = unfit_noise(knowledge.noise, tuple(NOISES))
        if knowledge.embedding is None:
            words = "`embedding`: the tables of E, as the cut lies deeper than the embeddings"
            needs.insert(0, ("embedding", words))
        return Lacks.of(needs)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the nearest words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, or the tables of E do not fit
                the messages.
        """
        tables = served(knowledge.embedding, self.missing(knowledge), self.name)
        tokens = received(messages, tables)
        candidates = PossibleRows.of(tables)
        with torch.no_grad():
            if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
                tokens = rescaled(tokens, fitted_scales(tokens, candidates, knowledge))
                knowledge = replace(knowledge, clip_norm=None)
            if knowledge.noise == "laplace" or knowledge.basis is not None:
                return spread(
                    search(tokens.rows, tokens.position, candidates, knowledge)[0], messages
                )
            found = nearest(tokens, candidates, knowledge)
            if knowledge.dropout > 0 and knowledge.noise_std == 0:
                found = _corrected(found, tokens, candidates, knowledge)
        return spread(found.word, messages)


def _corrected(
    found: Found, tokens: Tokens, candidates: PossibleRows, knowledge: Knowledge
) -> Found:
    """Return the candidates that explain the kept coordinates best; there is no noise.

    Most rows equal the nearest mean on the coordinates that were kept: nothing is nearer. Only
    the others are compared with every candidate.
    """
    sent = as_sent(candidates.rows(found.word, tokens.position, found.kind), tokens.rows, knowledge)
    norm = torch.linalg.vector_norm
    wrong = norm(tokens.rows - sent, dim=1) > SAME * norm(tokens.rows.double(), dim=1)
    word, kind = found.word.clone(), found.kind.clone()
    for some in wrong.nonzero()[:, 0].split(MASKED_TOKENS_AT_ONCE):
        word[some], kind[some] = _masked(
            tokens.rows[some], tokens.position[some], candidates, knowledge
        )
    return Found(word, kind)


def _masked(
    rows: Tensor, position: Tensor, candidates: PossibleRows, knowledge: Knowledge
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
        q = c.positions[position] + kind_row
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

    return best_candidate(scores(kind_row) for kind_row in c.kinds)
