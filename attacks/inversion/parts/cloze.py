"""Masked language model trained on auxiliary text alone: which word stands in a gap?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.inversion.parts.decoder import INNER, Choices, Frequencies, Neighbours
from attacks.inversion.parts.ngram import Ngram
from attacks.inversion.parts.plateau import until_plateau, values
from attacks.inversion.parts.simulation import scoped
from fedbert.errors import InputError

GAPS = 4  # one position in so many is a gap at a time
BATCH = 32
RATE, WARM_UP, SCALE = 1e-3, 20, 2.0
CHECK, PATIENCE, GAIN = 40, 2, 0.005  # steps between looks at held-out text; looks without a gain
MOST_STEPS = 400
FOLDS = 5
HELD_OUT = 0.1  # of the texts


@dataclass(frozen=True)
class Page:
    """Texts side by side: ids [text, seq], of which there are lengths [text]."""

    ids: Tensor
    lengths: Tensor

    @staticmethod
    def of(texts: Sequence[np.ndarray]) -> "Page":
        """Return texts, token ids [seq] each, side by side."""
        lengths = torch.tensor([len(each) for each in texts])
        ids = np.zeros((len(texts), int(lengths.max())), np.int64)
        for row, each in zip(ids, texts, strict=True):
            row[: len(each)] = each
        return Page(torch.from_numpy(ids), lengths)

    @property
    def real(self) -> Tensor:
        """Where there is a token [text, seq]."""
        return torch.arange(self.ids.shape[1]) < self.lengths[:, None]

    def gaps(self, turn: int) -> Tensor:
        """Return where the gaps of one turn are [text, seq], of `GAPS` turns in all."""
        positions = torch.arange(self.ids.shape[1])
        return self.real & (positions % GAPS == turn % GAPS)

    def beside(self, edge: int) -> tuple[Tensor, Tensor]:
        """Return the words before and after each position [text, seq]; at the ends, the edge."""
        ids = torch.where(self.real, self.ids, edge)
        return F.pad(ids, (1, 0), value=edge)[:, :-1], F.pad(ids, (0, 1), value=edge)[:, 1:]


class Cloze(nn.Module):
    """Scores words for gaps by the words to either side, and by a wider window.

    Before training a word's score is log P(word | before) + log P(after | word), which is exact for
    text of the bigram model. The rest is learnt: a vector per gap that is multiplied with the rows
    of the word table, so that words which the text lacks are scored too.
    """

    def __init__(self, ngram: Ngram, table: Tensor) -> None:
        """Start from the bigrams; table [vocab, hidden]: the words' rows, of length about 1."""
        super().__init__()
        width = table.shape[1]
        self.ngram, self.table = ngram, table
        self.trust = nn.Parameter(torch.ones(2))
        self.enter, self.gap = nn.Linear(width, INNER), nn.Parameter(torch.zeros(INNER))
        self.layers = nn.ModuleList(Neighbours(INNER) for _ in range(3))
        self.last, self.out = nn.LayerNorm(INNER), nn.Linear(INNER, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def among(self, page: Page, gaps: Tensor, words: Tensor, ngram: Ngram) -> Tensor:
        """Return the scores of the same words [word] in every gap [gap, word], by these bigrams."""
        before, after = (each[gaps].numpy() for each in page.beside(ngram.edge))
        left = torch.from_numpy(ngram.log_bigram(before, words.numpy())).float()
        right = torch.from_numpy(ngram.log_bigram(words.numpy(), after).T).float()
        return self._sum(left, right, self.pull(page, gaps) @ self.table[words].T)

    def each(self, page: Page, gaps: Tensor, words: Tensor) -> Tensor:
        """Return the scores of each gap's own words [gap, k]."""
        before, after = (each[gaps].numpy()[:, None] for each in page.beside(self.ngram.edge))
        left = torch.from_numpy(self.ngram.log_pairs(before, words.numpy())).float()
        right = torch.from_numpy(self.ngram.log_pairs(words.numpy(), after)).float()
        pulled = torch.bmm(self.table[words], self.pull(page, gaps)[:, :, None])[:, :, 0]
        return self._sum(left, right, pulled)

    def pull(self, page: Page, gaps: Tensor) -> Tensor:
        """Return the vector of each gap [gap, hidden]: what stands there plays no part."""
        x = self.enter(self.table[page.ids] * self.table.shape[1] ** 0.5)
        x = torch.where(gaps[:, :, None], self.gap, x)
        for layer in self.layers:
            x = layer(x, page.real)
        found: Tensor = self.out(self.last(x[gaps])) * SCALE
        return found

    def _sum(self, left: Tensor, right: Tensor, pulled: Tensor) -> Tensor:
        return self.trust[0] * left + self.trust[1] * right + pulled


def fit_cloze(texts: Sequence[np.ndarray], table: Tensor, generator: torch.Generator) -> Cloze:
    """Return a model of texts, token ids [seq] each, as good on the held-out ones as it got.

    Raises:
        InputError: if there is no text, or it is not of the table's vocabulary.
    """
    texts = [each for each in texts if len(each)]
    if not texts:
        raise InputError("expected auxiliary text, got none")
    order = torch.randperm(len(texts), generator=generator).tolist()
    few = max(1, int(HELD_OUT * len(texts)))
    held, rest = [texts[i] for i in order[:few]], [texts[i] for i in order[few:] or order]
    ngram = Ngram.of(rest, len(table))
    known = Frequencies.of(torch.from_numpy(np.concatenate(rest)), len(table))
    with scoped(generator):
        return _fit(Cloze(ngram, table), rest, held, known, generator)


def _fit(
    model: Cloze,
    rest: Sequence[np.ndarray],
    held: Sequence[np.ndarray],
    known: Frequencies,
    generator: torch.Generator,
) -> Cloze:
    """Return the model, trained until the held-out loss is at its plateau."""
    asked = [(page, page.gaps(turn)) for page in _pages(held) for turn in range(GAPS)]
    fixed = [
        (page, gaps, known.choices(page.ids[gaps], generator)) for page, gaps in asked if gaps.any()
    ]
    # What stands in a text raises its own bigrams: a part is learnt from with those of the others.
    parts = [rest[i::FOLDS] or rest for i in range(FOLDS)]
    others = [[r for i, r in enumerate(rest) if i % FOLDS != fold] for fold in range(FOLDS)]
    ngrams = [Ngram.of(each, len(model.table)) for each in others]
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    number = iter(range(1, MOST_STEPS + 1))

    def stretch(waited: int) -> None:
        for step in islice(number, CHECK):
            own, ngram = parts[step % FOLDS], ngrams[step % FOLDS]
            some = torch.randint(len(own), (min(BATCH, len(own)),), generator=generator).tolist()
            page = Page.of([own[i] for i in some])
            gaps = page.gaps(int(torch.randint(GAPS, (), generator=generator)))
            if not gaps.any():
                continue
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, step / WARM_UP) / 2**waited
            optimizer.zero_grad()
            among = known.choices(page.ids[gaps], generator)
            _loss(model, page, gaps, among, ngram).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    kept, _ = until_plateau(
        stretch,
        lambda: _loss_on(model, fixed),
        lambda: values(model),
        math.ceil(MOST_STEPS / CHECK),
        PATIENCE,
        GAIN,
    )
    model.load_state_dict(kept)
    return model.eval()


def _pages(texts: Sequence[np.ndarray]) -> list[Page]:
    return [Page.of(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]


def _loss(model: Cloze, page: Page, gaps: Tensor, among: Choices, ngram: Ngram) -> Tensor:
    """Return each gap's cross-entropy [gap], in nats."""
    scores = model.among(page, gaps, among.words, ngram) + among.weight
    return F.cross_entropy(scores, among.right, reduction="none")


def _loss_on(model: Cloze, asked: Sequence[tuple[Page, Tensor, Choices]]) -> float:
    """Return the mean cross-entropy over fixed questions, without dropout."""
    model.eval()
    with torch.no_grad():
        losses = torch.cat([_loss(model, *each, model.ngram) for each in asked])
    model.train()
    return float(losses.mean())
