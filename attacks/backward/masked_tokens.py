"""Masked words from the gradient that a client returns for Z.

Masked-LM's loss reads Z at the masked positions alone. There, with t what H does before its
decoder W, J the Jacobian of t at z, p = softmax(W t(z) + b) and c the number of positions that the
loss is a mean over, c * G_Z = J^T (W^T p - W[y]): all but y is known.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import jvp, vjp, vmap

from attacks.attack import Lacks
from attacks.backward.label_from_gradient import HeadKnowledge, Step, known_head, lacking, steps_of
from fedbert.head import Head
from fedbert.messages import Message

KINDS = ("mlm",)
SKETCH = 32  # random directions in which all words are compared; those nearest, then in full
SHORTLIST = 16
SCALES = 24  # scales of a clipped sequence among which the most likely is taken
VALUES_AT_ONCE = 2**25
CLIPPED = 1e-5  # relative distance from the bound at which a norm counts as clipped


@dataclass(frozen=True)
class MaskedTokens:
    """The masked positions and the word at each, one position at a time.

    Threat model: the honest-but-curious server of split learning, which made Z, receives G_Z, and
    as aggregator knows H. Noise on A, or any secrecy of E, does not touch this view.

    | what happened to G_Z | positions | words |
    |---|---|---|
    | nothing, or a clip per token | exact: the rows that are not zero | exact |
    | a clip per sequence | exact | by direction, which gives the scale, then in full: exact |
    | Gaussian noise, after a clip or none | likelihood ratio, see below | maximum likelihood |

    Without noise all words are compared in SKETCH random directions and the SHORTLIST nearest in
    full: the true word's distance is zero in all of them. Under noise every word is compared in
    full at every position: 2 vocab hidden^2 operations each. The most likely of the words is
    taken under a uniform prior over the vocabulary.

    A position under noise is called masked where that is the more probable: where the likelihood
    averaged over all words, over that of pure noise, exceeds (1 - mask_rate) / mask_rate. Both
    mistakes cost the same. The number of positions that the loss is a mean over is unknown there
    and taken at its expectation, mask_rate times the real positions; a clipped sequence's scale
    is the most likely of a grid. `everywhere` leaves the test out, for an adversary who knows
    the masked positions from elsewhere: a word is proposed at every real position.

    Not exact: a later step of a round, where the client's H has moved on (see `HeadKnowledge`);
    words with the same decoder row, of which one is taken; a word that H had given the whole
    probability, in float32, whose row is zero.

    Reference: `label_from_gradient`, for the principle; here each masked position is an example
    with vocab classes.
    """

    everywhere: bool = False
    name: str = "masked tokens"
    view: str = "backward"

    def missing(self, knowledge: HeadKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return lacking(knowledge, KINDS)

    def reconstruct(
        self, messages: Sequence[Message], knowledge: HeadKnowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the words [batch, seq] int64 behind each HiddenGradient, 0 where none is masked.

        messages: HiddenGradient and HiddenStates in any order, and SmashedData if at hand (see
            `steps_of`).

        Raises:
            InputError: if `missing` says that something is lacking, or a step has no HiddenStates.
        """
        words = _Decoder.of(known_head(knowledge, KINDS, self.name))
        with torch.no_grad():
            if knowledge.noise_std == 0:
                found = [_plain(s, words, knowledge, generator) for s in steps_of(messages)]
            else:
                found = [_noisy(s, words, knowledge, self.everywhere) for s in steps_of(messages)]
        return [each.numpy() for each in found]


@dataclass(frozen=True)
class _Decoder:
    """The masked-LM head in two: what comes before the decoder, in float64, and the decoder.

    weight [vocab, hidden] and bias [vocab] as they are, in float32.
    """

    before: nn.Module
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, head: Head) -> "_Decoder":
        """Return the two halves of a BERT or RoBERTa head."""
        steps: Any = head.steps
        if "cls" in steps:
            inner = steps["cls"].predictions
            before = inner.transform
        else:
            inner = steps["lm_head"]
            before = nn.Sequential(inner.dense, nn.GELU(), inner.layer_norm)
        linear = inner.decoder
        before = copy.deepcopy(before).double().cpu()
        return cls(before, linear.weight.detach().float().cpu(), linear.bias.detach().float().cpu())

    def mean_row(self, z: Tensor) -> Tensor:
        """Return W^T p [row, hidden] float64 at hidden states z [row, hidden]."""
        rows = [z[:0]]
        for some in z.split(max(1, VALUES_AT_ONCE // len(self.weight))):
            logits = self.before(some).float() @ self.weight.T + self.bias
            rows.append((logits.double().softmax(1).float() @ self.weight).double())
        return torch.cat(rows)

    def push(self, z: Tensor, directions: Tensor) -> Tensor:
        """Return J d [row, hidden, direction] for directions [hidden, direction]."""

        def one(point: Tensor, direction: Tensor) -> Tensor:
            pushed: Tensor = jvp(self.before, (point,), (direction,))[1]
            return pushed

        return _each(one, (None, 0), (0, None), z, directions.T).transpose(1, 2)

    def pull(self, z: Tensor, rows: Tensor) -> Tensor:
        """Return J^T w [row, word, hidden] for rows w [row, word, hidden]."""

        def one(point: Tensor, row: Tensor) -> Tensor:
            back: Callable[[Tensor], tuple[Tensor]] = vjp(self.before, point)[1]
            return back(row)[0]

        return _each(one, (None, 0), (0, 0), z, rows)


def _each(
    function: Callable[[Tensor, Tensor], Tensor],
    inner: tuple[int | None, int | None],
    outer: tuple[int | None, int | None],
    first: Tensor,
    second: Tensor,
) -> Tensor:
    """Return a function of two vectors over two axes of them."""
    found: Tensor = vmap(vmap(function, inner), outer)(first, second)
    return found


def _plain(
    step: Step, words: _Decoder, knowledge: HeadKnowledge, generator: torch.Generator
) -> Tensor:
    """Return the words [batch, seq] behind a gradient without noise."""
    masked = (step.gradient != 0).any(2)
    found = torch.zeros(masked.shape, dtype=torch.int64)
    if not masked.any():
        return found
    rows, z = step.gradient[masked].double(), step.hidden[masked].double()
    owner = masked.nonzero()[:, 0]
    count = masked.sum().double().expand(len(rows))
    if knowledge.mean_over == "sequence":
        count = masked.sum(1).double()[owner]
    loose = torch.zeros(len(rows), dtype=torch.bool)
    limit = (knowledge.clip_norm or float("inf")) * (1 - CLIPPED)
    if knowledge.clip_norm is not None and knowledge.clip_unit == "token":
        loose = torch.linalg.vector_norm(rows, dim=1) >= limit
    rows = rows * count[:, None]
    mean = words.mean_row(z)
    if knowledge.clip_norm is not None and knowledge.clip_unit == "sequence":
        clipped = torch.linalg.vector_norm(step.gradient.double(), dim=(1, 2)) >= limit
        free = clipped[owner]
        if free.any():
            part = (rows[free], z[free], mean[free])
            _, sent = _nearest(*part, words, ~loose[free], generator)
            dots, norms = (
                torch.zeros(len(masked), dtype=torch.float64).index_add(0, owner[free], each.sum(1))
                for each in (sent * part[0], sent.square())
            )
            scale = torch.where(clipped, dots / norms.clamp(min=1e-300), torch.ones_like(dots))
            rows = rows / scale.clamp(min=1e-12, max=1.0)[owner, None]
    found[masked], _ = _nearest(rows, z, mean, words, loose, generator)
    return found


def _nearest(
    rows: Tensor,
    z: Tensor,
    mean: Tensor,
    words: _Decoder,
    loose: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the nearest words [row] and their gradients [row, hidden].

    loose [row]: where the row's length means nothing, so that directions are compared.
    """
    size = rows.shape[1]
    directions = torch.eye(size, dtype=torch.float64)
    if size > SKETCH:
        directions = torch.randn(size, SKETCH, dtype=torch.float64, generator=generator)
    chosen, gradients = [], []
    at_once = max(1, VALUES_AT_ONCE // (len(words.weight) * directions.shape[1]))
    for some in torch.arange(len(rows)).split(at_once):
        point, row, free = z[some], rows[some], loose[some]
        short = _shortlist(row, point, mean[some], words, free, directions)  # [row, word]
        sent = words.pull(point, mean[some][:, None] - words.weight[short].double())
        norms = torch.linalg.vector_norm(sent, dim=2).clamp(min=1e-300)
        apart = (sent - row[:, None]).square().sum(2)
        apart = torch.where(free[:, None], -(sent * row[:, None]).sum(2) / norms, apart)
        best = apart.argmin(1)
        each = torch.arange(len(some))
        chosen.append(short[each, best])
        gradients.append(sent[each, best])
    return torch.cat(chosen), torch.cat(gradients)


def _shortlist(
    rows: Tensor, z: Tensor, mean: Tensor, words: _Decoder, loose: Tensor, directions: Tensor
) -> Tensor:
    """Return the words [row, SHORTLIST] nearest in some directions [hidden, direction]."""
    pushed = words.push(z, directions)  # [row, hidden, direction]
    seen = (rows @ directions).float()
    start = torch.einsum("nh,nhk->nk", mean, pushed).float()
    flat = pushed.float().permute(1, 0, 2).reshape(pushed.shape[1], -1)
    sent = start - (words.weight @ flat).view(-1, *seen.shape)  # [vocab, row, direction]
    lengths = sent.square().sum(2).sqrt().clamp(min=1e-30)
    scores = torch.where(
        loose, (sent * seen).sum(2) / lengths, -(sent - seen).square().sum(2)
    )  # [vocab, row]
    return scores.topk(min(SHORTLIST, len(scores)), dim=0).indices.T


def _noisy(step: Step, words: _Decoder, knowledge: HeadKnowledge, everywhere: bool) -> Tensor:
    """Return the words [batch, seq] behind a gradient under Gaussian noise."""
    found = torch.zeros(step.real.shape, dtype=torch.int64)
    rate = knowledge.mask_rate
    for i in range(len(found)):
        real = step.real[i]
        over = real if knowledge.mean_over == "sequence" else step.real
        count = max(1.0, rate * float(over.sum()))
        rows, z = step.gradient[i][real].double() * count, step.hidden[i][real].double()
        dots, norms = _products(rows, z, words)  # [row, vocab]
        variance = (knowledge.noise_std * count) ** 2
        scores = (2 * dots - norms) / (2 * variance)
        bound = (knowledge.clip_norm or float("inf")) * count
        if knowledge.clip_norm is not None and knowledge.clip_unit == "token":
            scale = (bound * norms.clamp(min=1e-30).rsqrt()).clamp(max=1.0)
            scores = (2 * scale * dots - scale.square() * norms) / (2 * variance)
        elif knowledge.clip_norm is not None:
            scores = _scaled(dots, norms, bound, variance, rate)
        masked = _ratio(scores) > np.log((1 - rate) / rate)
        best = scores.argmax(1)
        found[i, real] = best if everywhere else torch.where(masked, best, torch.zeros_like(best))
    return found


def _ratio(scores: Tensor) -> Tensor:
    """Return the logarithm [row] of the mean likelihood ratio over the words [row, vocab]."""
    mean: Tensor = scores.logsumexp(1) - np.log(scores.shape[1])
    return mean


def _scaled(dots: Tensor, norms: Tensor, bound: float, variance: float, rate: float) -> Tensor:
    """Return the scores [row, vocab] at the most likely scale of a sequence that may be clipped.

    The longest that the sequence can have been bounds the scale from below.
    """
    longest = float(norms.max(1).values.sum()) ** 0.5 if len(norms) else 0.0
    least = min(1.0, bound / max(longest, 1e-30))
    best, highest = dots, -float("inf")
    for scale in np.geomspace(least, 1.0, SCALES):
        scores = (2 * scale * dots - scale**2 * norms) / (2 * variance)
        masked = _ratio(scores) + np.log(rate)
        height = float(torch.logaddexp(masked, torch.full_like(masked, np.log(1 - rate))).sum())
        if height > highest:
            best, highest = scores, height
    return best


def _products(rows: Tensor, z: Tensor, words: _Decoder) -> tuple[Tensor, Tensor]:
    """Return each word's gradient's product with the row and its squared norm [row, vocab]."""
    mean, identity = words.mean_row(z), torch.eye(rows.shape[1], dtype=torch.float64)
    dots, norms = torch.empty(2, len(rows), len(words.weight), dtype=torch.float64)
    at_once = max(1, VALUES_AT_ONCE // words.weight.numel())
    for some in torch.arange(len(rows)).split(at_once):
        slopes = words.push(z[some], identity)  # J [row, hidden, hidden]
        start = torch.einsum("nh,nhk->nk", mean[some], slopes).float()
        sent = start[:, None] - words.weight @ slopes.float()  # [row, vocab, hidden]
        dots[some] = torch.einsum("nvh,nh->nv", sent, rows[some].float()).double()
        norms[some] = sent.square().sum(2).double()
    return dots, norms
