"""Decoder network that reads a message's rows with their neighbours, and its training.

It starts from a score of every word by itself and learns, with fresh noise in every step, what the
neighbours add. Before the first step it is that score with the words' frequencies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.attack import Knowledge
from attacks.inversion.parts.plateau import until_plateau, values
from attacks.inversion.parts.simulation import Pushed

SHORTLIST = 64  # words per token among which the neighbours decide
STRANGERS = 1024  # words that the text lacks, drawn anew in each step
INNER = 128  # values of a token inside the network
SCALE = 5.0  # of what the neighbours add
RATE, WARM_UP = 3e-3, 20  # learning rate, and the steps until it is reached
CHECK, PATIENCE = 30, 2  # steps between two looks at the held-out text, looks without a gain
GAIN = 0.01  # of the held-out loss, relative: less is none
ENOUGH = 0.02  # nats a token, held out: there is nothing left to learn


class FirstScores(Protocol):
    """Scores words from a token's row alone: see `attacks.inversion.parts.first_scores`."""

    def __call__(
        self, rows: Tensor, position: Tensor, owner: Tensor, words: Tensor | None
    ) -> Tensor:
        """Return log-likelihoods [token, word]."""


@dataclass(frozen=True)
class Rows:
    """The tokens of a message: rows [token, hidden]; owner, column [token]: where they stood.

    position [token]: the row of the position table; real [batch, seq]: where there is a token.
    """

    rows: Tensor
    owner: Tensor
    column: Tensor
    position: Tensor
    real: Tensor

    @staticmethod
    def of(a: Tensor, attention_mask: Tensor, offset: int) -> "Rows":
        """Return the tokens of A [batch, seq, hidden]; offset: E's `position_offset`."""
        real = attention_mask.bool()
        owner, column = real.nonzero().unbind(1)
        # RoBERTa (offset > 0) counts the tokens that are not padding, BERT counts columns.
        position = (offset - 1 + real.long().cumsum(1))[real] if offset else column
        return Rows(a[real].float(), owner, column, position, real)


@dataclass(frozen=True)
class Frequencies:
    """How often words occur in text, by the estimate of Good and Turing (1953).

    seen [word]: the words that occur; unseen: the others; rare: the share of tokens expected to be
    none of the seen ones; log_prior [vocab], in nats: what is `rare` is spread evenly over unseen.
    """

    seen: Tensor
    unseen: Tensor
    rare: float
    log_prior: Tensor

    @staticmethod
    def of(tokens: Tensor, vocab: int) -> "Frequencies":
        """Return the frequencies in tokens [token] of a vocabulary."""
        counts = torch.bincount(tokens, minlength=vocab)
        seen, unseen = (counts > 0).nonzero()[:, 0], (counts == 0).nonzero()[:, 0]
        rare = (float((counts == 1).sum()) + 0.5) / (len(tokens) + 1) if len(unseen) else 0.0
        rare = min(rare, 0.5)
        prior = counts * (1 - rare) / len(tokens)
        prior[unseen] = rare / max(1, len(unseen))
        return Frequencies(seen, unseen, rare, prior.log())

    def choices(self, truth: Tensor, generator: torch.Generator) -> "Choices":
        """Return the words to tell apart in one step, where these are right [token].

        They are the seen ones, the right ones, and a draw of the others in place of all of them.
        """
        own = torch.unique(truth)
        own = own[torch.isin(own, self.unseen)]
        others = self.unseen[~torch.isin(self.unseen, own)]
        few = others
        if len(others) > STRANGERS:
            few = others[torch.randint(len(others), (STRANGERS,), generator=generator)]
        words = torch.cat((self.seen, own, few))
        weight = torch.zeros(len(words))
        weight[len(words) - len(few) :] = math.log(max(1, len(others)) / max(1, len(few)))
        column = torch.empty(len(self.log_prior), dtype=torch.int64)
        column[words] = torch.arange(len(words))
        return Choices(words, weight, column[truth])


@dataclass(frozen=True)
class Choices:
    """Words to tell apart, the log of how many each stands for [word]; which is right [token]."""

    words: Tensor
    weight: Tensor
    right: Tensor


class Decoder(nn.Module):
    """Scores each token's shortlist by first scores, frequencies and neighbours."""

    def __init__(self, first: FirstScores, table: Tensor, frequencies: Frequencies) -> None:
        """Start from first scores; table [vocab, hidden]: the words' rows, of length about 1."""
        super().__init__()
        width = table.shape[1]
        self.first, self.table = first, table
        self.prior = nn.Parameter(frequencies.log_prior.clone())
        self.sharpness = nn.Parameter(torch.ones(()))
        self.norm = nn.LayerNorm(width)
        self.from_row, self.from_word = nn.Linear(width, INNER), nn.Linear(width, INNER)
        self.layers = nn.ModuleList(Neighbours(INNER) for _ in range(2))
        self.last, self.out = nn.LayerNorm(INNER), nn.Linear(INNER, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Rows, among: Choices | None = None) -> tuple[Tensor, Tensor]:
        """Return shortlists of words [token, k], and their log-scores [token, k].

        among: in training, the words to choose from. The right one then has a last column of its
        own, whether the shortlist has it or not; it counts once, and no other column depends on it.
        """
        with torch.no_grad():
            words = None if among is None else among.words
            scores = self.first(tokens.rows, tokens.position, tokens.owner, words)
            prior = self.prior if among is None else self.prior[among.words] + among.weight
            best = torch.addcmul(prior, scores, self.sharpness)
            top = best.topk(min(SHORTLIST, best.shape[1]), dim=1).indices
            score, ids = scores.gather(1, top), top if words is None else words[top]
            near = self.table[ids]  # [token, k, hidden]
        alone = self.sharpness * score + self.prior[ids]
        if among is not None:
            alone = alone + among.weight[top]
        pull = self._pull(tokens, alone.detach(), near)
        found = alone + torch.bmm(near, pull[:, :, None])[:, :, 0]
        if among is None:
            return ids, found
        own = among.words[among.right]
        last = self.sharpness * scores.gather(1, among.right[:, None])[:, 0] + self.prior[own]
        last = last + among.weight[among.right] + (self.table[own] * pull).sum(1)
        found = found.masked_fill(ids == own[:, None], -torch.inf)
        return torch.cat((ids, own[:, None]), 1), torch.cat((found, last[:, None]), 1)

    def _pull(self, tokens: Rows, alone: Tensor, near: Tensor) -> Tensor:
        """Return which way the neighbours pull each token's word [token, hidden]."""
        word = torch.bmm(alone.softmax(1)[:, None], near)[:, 0] * math.sqrt(near.shape[2])
        x = word.new_zeros(*tokens.real.shape, INNER)
        x[tokens.real] = self.from_row(self.norm(tokens.rows)) + self.from_word(word)
        for layer in self.layers:
            x = layer(x, tokens.real)
        pull: Tensor = self.out(self.last(x[tokens.real])) * SCALE
        return pull


class Neighbours(nn.Module):
    """Adds to each token what the two tokens to either side say."""

    def __init__(self, width: int) -> None:
        """Make a layer for rows of this width."""
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(0.2)
        self.window, self.back = nn.Conv1d(width, width, 5, padding=2), nn.Linear(width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return x [batch, seq, width] with the layer's answer added."""
        seen = self.drop(self.norm(x)) * real[:, :, None]
        found = F.gelu(self.window(seen.transpose(1, 2)).transpose(1, 2))
        added: Tensor = x + self.back(self.drop(found))
        return added


def fit_best(
    decoders: Sequence[Decoder],
    text: Sequence[Pushed],
    held: Sequence[Pushed],
    frequencies: Frequencies,
    knowledge: Knowledge,
    offset: int,
    steps: int,
    generator: torch.Generator,
) -> tuple[Decoder, float]:
    """Return the decoder that explains the held-out text best untrained, trained, and its loss.

    The loss is the held-out one, in nats a token. Training ends at a plateau: `PATIENCE` looks in a
    row at the held-out text, `CHECK` steps apart, without a relative gain of `GAIN` over the best;
    or where the loss is below `ENOUGH`, before the first step too; or after so many steps.
    """
    fixed = [_question(each, frequencies, knowledge, offset, generator) for each in held]
    losses = [_loss_on(each, fixed) for each in decoders]
    decoder = decoders[losses.index(min(losses))]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=RATE)
    usual = sum(int(each.real.sum()) for each in text) / len(text)
    order: list[int] = []
    number = iter(range(1, steps + 1))

    def stretch(waited: int) -> None:
        for step in islice(number, CHECK):
            if not order:
                order.extend(torch.randperm(len(text), generator=generator).tolist())
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, step / WARM_UP) / 2**waited
            asked = _question(text[order.pop()], frequencies, knowledge, offset, generator)
            optimizer.zero_grad()
            (_loss(decoder, *asked) / usual).backward()
            nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
            optimizer.step()

    kept, best = until_plateau(
        stretch,
        lambda: _loss_on(decoder, fixed),
        lambda: values(decoder),
        math.ceil(steps / CHECK),
        PATIENCE,
        GAIN,
        ENOUGH,
    )
    decoder.load_state_dict(kept)
    return decoder.eval(), best


Question = tuple[Rows, Choices]


def _question(
    each: Pushed,
    frequencies: Frequencies,
    knowledge: Knowledge,
    offset: int,
    generator: torch.Generator,
) -> Question:
    """Return a batch as sent, freshly drawn, and the words to tell apart in it."""
    a, truth = each.sent(knowledge, generator), each.batch.input_ids[each.real]
    rows = Rows.of(a, each.batch.attention_mask, offset)
    return rows, frequencies.choices(truth, generator)


def _loss(decoder: Decoder, rows: Rows, among: Choices) -> Tensor:
    """Return the sum of the tokens' cross-entropy, in nats."""
    _, scores = decoder(rows, among)
    last = torch.full_like(among.right, scores.shape[1] - 1)
    return F.cross_entropy(scores, last, reduction="sum")


def _loss_on(decoder: Decoder, asked: Sequence[Question]) -> float:
    """Return the mean cross-entropy over fixed questions, without dropout."""
    decoder.eval()
    with torch.no_grad():
        losses = [float(_loss(decoder, *each)) for each in asked]
    decoder.train()
    return sum(losses) / max(1, sum(len(among.right) for _, among in asked))
