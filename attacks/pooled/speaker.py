"""Recurrent network that says words, one after the other, about a pooled vector."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.inversion.parts.plateau import until_plateau, values
from attacks.inversion.parts.simulation import scoped
from attacks.pooled.evidence import Evidence
from attacks.pooled.lesson import Lesson, batches

CODE, STATE, DROPOUT = 128, 256, 0.3  # values per word and of the recurrent state
EPOCHS, BATCH, RATE = 20, 64, 3e-3
MOST_HELD = 200  # texts that decide when to stop
LIKELY, SAMPLED = 32, 256  # words per text that always compete, and others per batch
NEVER = -1e4  # logit of what cannot be said


class Speaker(nn.Module):
    """Logits of the next word from a vector, the evidence in it, and the words said so far.

    Index `size` stands for the stop, `size + 1` for the start. A word's logit is the evidence for
    it, times a learnt trust, plus what the state says, less a learnt amount if it was said before.
    """

    def __init__(self, evidence: Evidence, once: bool) -> None:
        """Start from the evidence alone; `once`: no word is ever said twice."""
        super().__init__()
        self.size, hidden = evidence.weight.shape
        codes = _codes(evidence.weight)
        width = codes.shape[1]
        self.once = once
        self.words = nn.Embedding(self.size + 2, width)
        with torch.no_grad():
            self.words.weight[: self.size] = codes
        self.begin = nn.Linear(hidden, STATE)
        self.aside = nn.Linear(hidden, width)
        self.cell = nn.GRU(width, STATE, batch_first=True)
        self.out = nn.Linear(STATE, width)
        self.stop = nn.Linear(STATE, 1)
        self.bias = nn.Parameter(torch.zeros(self.size))
        self.trust = nn.Parameter(torch.ones(()))
        self.again = nn.Parameter(torch.ones(()))
        self.drop = nn.Dropout(DROPOUT)
        nn.init.zeros_(self.out.weight)

    def first(self, vectors: Tensor) -> Tensor:
        """Return the state [1, text, state] before any word."""
        return torch.tanh(self.begin(vectors))[None]

    def step(self, vectors: Tensor, state: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [text, word, state] and the last state after words [text, word]."""
        inputs = self.words(before) + self.aside(vectors)[:, None]
        out, state = self.cell(self.drop(inputs), state)
        return self.drop(out), state

    def logits(
        self, out: Tensor, evidence: Tensor, said: Tensor, among: Tensor | None = None
    ) -> Tensor:
        """Return logits [text, word, choice + 1], the stop last, of all words or those `among`.

        evidence [text, choice]; said [text, word, choice], bool.
        """
        codes: Tensor = self.words.weight[: self.size]
        bias: Tensor = self.bias
        if among is not None:
            codes, bias = self.words(among), bias[among]
        spoken = self.out(out) @ codes.T + bias + self.trust * evidence[:, None]
        spoken = spoken.masked_fill(said, NEVER) if self.once else spoken - self.again * said
        return torch.cat([spoken, self.stop(out)], dim=2)


@dataclass(frozen=True)
class Lines:
    """What is to be said of each text: words [text, word], the stop thereafter.

    wanted [text, word, choice]: what may come at each position; weight, alike: with which share.
    """

    words: Tensor
    wanted: Tensor
    weight: Tensor

    def take(self, some: Tensor) -> "Lines":
        """Return the lines of some texts."""
        return Lines(self.words[some], self.wanted[some], self.weight[some])


def fit_speaker(
    lesson: Lesson,
    evidence: Evidence,
    lines: Callable[[list[int], Tensor], Lines],
    positions: range,
    once: bool,
    generator: torch.Generator,
) -> Speaker:
    """Return a speaker trained until held-out texts gain nothing more.

    lines: of texts at these positions, given the evidence [text, vocab] for them.
    """
    with scoped(generator):
        speaker = Speaker(evidence, once)
        held = list(lesson.held_out)[:MOST_HELD]
        lengths = [len(text) for text in lesson.texts]
        rows = lesson.seen(held, generator)
        speaks = evidence.logits(rows)
        truth = lines(held, speaks)
        optimizer = torch.optim.Adam(speaker.parameters(), lr=RATE)

        def epoch(_waited: int) -> None:
            speaker.train()
            for some in batches(positions, BATCH, generator, lengths):
                seen = lesson.seen(some, generator)
                logits = evidence.logits(seen)
                batch = lines(some, logits)
                few = _few(batch.words, logits, generator)
                total, number = _missed(speaker, seen, logits, batch, few)
                optimizer.zero_grad()
                (total / number).backward()
                nn.utils.clip_grad_norm_(speaker.parameters(), 1.0)
                optimizer.step()

        def loss() -> float:
            speaker.eval()
            with torch.no_grad():
                parts = [
                    _missed(speaker, rows[i], speaks[i], truth.take(i))
                    for i in torch.arange(len(rows)).split(BATCH)
                ]
            return float(sum(total for total, _ in parts) / sum(number for _, number in parts))

        kept, _ = until_plateau(epoch, loss, lambda: values(speaker), EPOCHS)
        speaker.load_state_dict(kept)
    return speaker.eval()


def _missed(
    speaker: Speaker,
    rows: Tensor,
    evidence: Tensor,
    lines: Lines,
    few: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the sum over positions of minus the log share of what may come, and their number.

    evidence [text, vocab]; few: the words [choice] that compete, the lines' among them, and what
    the logit of each gains [choice].
    """
    start = torch.full_like(lines.words[:, :1], speaker.size + 1)
    before = torch.cat([start, lines.words[:, :-1]], 1)
    out, _ = speaker.step(rows, speaker.first(rows), before)
    words, wanted, size = lines.words, lines.wanted, speaker.size
    among, gain = few if few is not None else (None, None)
    if among is not None:
        column = torch.zeros(speaker.size + 1, dtype=torch.int64)
        column[among], size = torch.arange(len(among)), len(among)
        column[-1] = size  # the stop
        words, wanted, evidence = column[words], column[wanted], evidence[:, among]
    logits = speaker.logits(out, evidence, said_before(words, size), among)
    if gain is not None:
        logits = logits + F.pad(gain, (0, 1))
    chosen = (logits.gather(2, wanted) * lines.weight).sum()
    placed = lines.weight.sum(2)
    return (logits.logsumexp(2) * placed).sum() - chosen, placed.sum()


def _few(words: Tensor, evidence: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the words [choice] that compete in a batch, and what their logits gain [choice].

    All words of the batch, those that the evidence of each text speaks for most, and a sample of
    the rest, each of which stands for as many as were left out (importance sampling).
    """
    size = evidence.shape[1]
    sure = torch.zeros(size + 1, dtype=torch.bool)
    sure[words.unique()] = True
    sure[evidence.topk(min(LIKELY, size), dim=1).indices.unique()] = True
    inside, rest = (x.nonzero()[:, 0] for x in (sure[:size], ~sure[:size]))
    sample = rest[torch.randperm(len(rest), generator=generator)[:SAMPLED]]
    gain = math.log(max(1, len(rest)) / max(1, len(sample)))
    return torch.cat([inside, sample]), torch.cat(
        [torch.zeros(len(inside)), torch.full((len(sample),), gain)]
    )


def said_before(words: Tensor, size: int) -> Tensor:
    """Return which words [text, word, size] were said before each position."""
    hot = F.one_hot(words, size + 1)[:, :, :size].to(torch.int8)
    before = hot.cumsum(1, dtype=torch.int8) - hot
    return before > 0


def _codes(weight: Tensor) -> Tensor:
    """Return a code [vocab, CODE or fewer] per word: alike for words with alike evidence."""
    _, axes = torch.linalg.eigh(weight.T.double() @ weight.double())
    codes = weight @ axes[:, -CODE:].float()
    unit: Tensor = codes / codes.square().mean().sqrt().clamp(min=1e-6)
    return unit
