"""A network that reads a message's rows with their neighbours, and how it is trained.

It starts from a score of every word by itself and learns, with fresh noise in every step, what the
neighbours add. Before the first step it is that score with the words' frequencies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.attack import Knowledge
from attacks.inversion.simulation import Pushed
from fedbert.split import position_offset

SHORTLIST = 64  # words per token among which the neighbours decide
STRANGERS = 1024  # words that the text lacks, drawn anew in each step
RATE, WARM_UP = 1e-3, 20  # learning rate, and the steps until it is reached
MOST_STEPS, CHECK, PATIENCE = 600, 30, 3  # steps, steps between two looks, looks without a gain
GAIN = 0.002  # of the held-out loss, relative: less is none


class FirstScores(Protocol):
    """Scores words from a token's row alone: see `attacks.inversion.first_scores`."""

    def __call__(self, rows: Tensor, place: Tensor, owner: Tensor, words: Tensor | None) -> Tensor:
        """Return log-likelihoods [token, word]."""


@dataclass(frozen=True)
class Rows:
    """The tokens of a message: rows [token, hidden]; owner, column [token]: where they stood.

    place [token]: the row of the position table; real [batch, seq]: where there is a token.
    """

    rows: Tensor
    owner: Tensor
    column: Tensor
    place: Tensor
    real: Tensor

    @staticmethod
    def of(a: Tensor, attention_mask: Tensor, offset: int) -> "Rows":
        """Return the tokens of A [batch, seq, hidden]; offset: E's `position_offset`."""
        real = attention_mask.bool()
        owner, column = real.nonzero().unbind(1)
        # RoBERTa (offset > 0) counts the tokens that are not padding, BERT counts columns.
        place = (offset - 1 + real.long().cumsum(1))[real] if offset else column
        return Rows(a[real].float(), owner, column, place, real)


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

    def choices(self, truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return words to tell apart in one step, and the log of how many each stands for.

        They are the seen ones, the truth's own, and a draw of the others in place of all of them.
        """
        own = torch.unique(truth)
        own = own[torch.isin(own, self.unseen)]
        others = self.unseen[~torch.isin(self.unseen, own)]
        few = others
        if len(others) > STRANGERS:
            few = others[torch.randint(len(others), (STRANGERS,), generator=generator)]
        words = torch.cat((self.seen, own, few))
        weight = torch.zeros(len(words))
        if len(few):
            weight[len(words) - len(few) :] = math.log(len(others) / len(few))
        return words, weight


class Decoder(nn.Module):
    """Scores each token's shortlist by first scores, frequencies and neighbours."""

    def __init__(self, first: FirstScores, table: Tensor, frequencies: Frequencies) -> None:
        """Start from first scores; table [vocab, hidden]: the words' rows, of length about 1."""
        super().__init__()
        width = table.shape[1]
        self.first, self.table = first, table
        self.prior = nn.Parameter(frequencies.log_prior.clone())
        self.sharpness = nn.Parameter(torch.ones(()))
        self.norm, self.from_row, self.from_word = nn.LayerNorm(width), *(
            nn.Linear(width, width) for _ in range(2)
        )
        self.layers = nn.ModuleList(Neighbours(width) for _ in range(2))
        self.last, self.out = nn.LayerNorm(width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        tokens: Rows,
        words: Tensor | None = None,
        weight: Tensor | None = None,
        truth: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return shortlists of words [token, k], and their log-scores [token, k].

        words, weight: see `Frequencies.choices`; None: all. truth [token], in training: a last
        column of its own, whether the shortlist has it or not; there it counts once.
        """
        with torch.no_grad():
            scores = self.first(tokens.rows, tokens.place, tokens.owner, words)
            prior = self.prior if words is None else self.prior[words] + weight
            best = torch.addcmul(prior, scores, self.sharpness)
            top = best.topk(min(SHORTLIST, best.shape[1]), dim=1).indices
            if truth is not None:
                where = _columns(truth, words, len(self.table))
                top = torch.cat((top, where[:, None]), 1)
            ids = top if words is None else words[top]
            near, score = self.table[ids], scores.gather(1, top)  # [token, k, hidden]
            fixed = 0.0 if weight is None else weight[top]
            twice = torch.zeros_like(score)
            if truth is not None:
                twice[:, :-1].masked_fill_(ids[:, :-1] == truth[:, None], -torch.inf)
        alone = self.sharpness * score + self.prior[ids] + fixed
        x = self._read(tokens, alone, near, truth)
        pull = self.out(self.last(x[tokens.real])) * math.sqrt(near.shape[2])
        return ids, alone + torch.bmm(near, pull[:, :, None])[:, :, 0] + twice

    def _read(self, tokens: Rows, alone: Tensor, near: Tensor, truth: Tensor | None) -> Tensor:
        """Return what the neighbours say [batch, seq, hidden]; the truth's column is not looked at."""
        k = alone.shape[1] - (truth is not None)
        likely = alone[:, :k].detach().softmax(1)
        word = torch.bmm(likely[:, None], near[:, :k])[:, 0] * math.sqrt(near.shape[2])
        x = word.new_zeros(*tokens.real.shape, near.shape[2])
        x[tokens.real] = self.from_row(self.norm(tokens.rows)) + self.from_word(word)
        for layer in self.layers:
            x = layer(x, tokens.real)
        return x


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
        return x + self.back(self.drop(found))


def train(
    decoders: Sequence[Decoder],
    text: Sequence[Pushed],
    held: Sequence[Pushed],
    frequencies: Frequencies,
    knowledge: Knowledge,
    offset: int,
    generator: torch.Generator,
) -> tuple[Decoder, float]:
    """Return the decoder that explains the held-out text best untrained, trained, and its loss.

    The loss is the held-out one, in nats a token. The plateau: `PATIENCE` looks in a row at text held out, each `CHECK` steps of training after the
    last, without a relative gain of `GAIN` over the best; or `MOST_STEPS` steps.
    """
    fixed = [_question(each, frequencies, knowledge, offset, generator) for each in held]
    losses = [_loss_on(each, fixed) for each in decoders]
    best = min(losses)
    decoder = decoders[losses.index(best)]
    kept, waited = _values(decoder), 0
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=RATE, weight_decay=0.01)
    order: list[int] = []
    for step in range(1, MOST_STEPS + 1):
        if not order:
            order = torch.randperm(len(text), generator=generator).tolist()
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, step / WARM_UP) / 2**waited
        asked = _question(text[order.pop()], frequencies, knowledge, offset, generator)
        optimizer.zero_grad()
        _loss(decoder, *asked).backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        if step % CHECK:
            continue
        loss = _loss_on(decoder, fixed)
        waited = 0 if loss < best * (1 - GAIN) else waited + 1
        if loss < best:
            best, kept = loss, _values(decoder)
        if waited == PATIENCE:
            break
    decoder.load_state_dict(kept)
    return decoder.eval(), best


Question = tuple[Rows, Tensor, Tensor, Tensor]


def _question(
    each: Pushed,
    frequencies: Frequencies,
    knowledge: Knowledge,
    offset: int,
    generator: torch.Generator,
) -> Question:
    """Return a batch as sent, freshly drawn; the words to tell apart, their weights, the truth."""
    a, truth = each.sent(knowledge, generator), each.batch.input_ids[each.real]
    rows = Rows.of(a, each.batch.attention_mask, offset)
    return rows, *frequencies.choices(truth, generator), truth


def _loss(decoder: Decoder, rows: Rows, words: Tensor, weight: Tensor, truth: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats."""
    _, scores = decoder(rows, words, weight, truth)
    return F.cross_entropy(scores, torch.full_like(truth, scores.shape[1] - 1))


def _loss_on(decoder: Decoder, asked: Sequence[Question]) -> float:
    """Return the mean cross-entropy over fixed questions, without dropout."""
    decoder.eval()
    with torch.no_grad():
        losses = [(float(_loss(decoder, *each)), len(each[-1])) for each in asked]
    decoder.train()
    return sum(loss * n for loss, n in losses) / max(1, sum(n for _, n in losses))


def _values(decoder: Decoder) -> dict[str, Tensor]:
    """Return a copy of the decoder's parameters."""
    return {name: value.detach().clone() for name, value in decoder.state_dict().items()}


def _columns(truth: Tensor, words: Tensor | None, vocab: int) -> Tensor:
    """Return where each true word stands among the words."""
    if words is None:
        return truth
    places = torch.empty(vocab, dtype=torch.int64)
    places[words] = torch.arange(len(words))
    return places[truth]
