"""Auxiliary text as clients would send it: through the known E and the mechanism in force."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.attack import Knowledge
from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.split import Bottom, position_offset

SEQUENCES_AT_ONCE = 32
MOST_TOKENS = 60_000  # pushed through E for one decoder, at most
TOKENS_PER_WIDTH = 120  # and at least so many per value of a row, where the text is short
STRANGE = 0.5  # the share of words replaced by random ones in every other pass over the text


@dataclass(frozen=True)
class Texts:
    """Auxiliary text side by side: ids and kinds (token types) [text, seq], lengths [text]."""

    ids: Tensor
    kinds: Tensor
    lengths: Tensor
    pad: int

    @staticmethod
    def of(knowledge: Knowledge, bottom: Bottom) -> "Texts":
        """Return the auxiliary text; one that is longer than E's position table is cut.

        Raises:
            InputError: if there is no token of text, or one is not of E's vocabulary.
        """
        config = bottom.config
        room = config.max_position_embeddings - position_offset(config)
        given = knowledge.auxiliary or ()
        types = knowledge.auxiliary_types or tuple(np.zeros_like(each) for each in given)
        pairs = [(a[:room], b[:room]) for a, b in zip(given, types, strict=True) if len(a)]
        if not pairs:
            raise InputError(f"expected auxiliary text, got texts={len(given)} without a token")
        lengths = np.array([len(ids) for ids, _ in pairs])
        padded = np.full((2, len(pairs), int(lengths.max())), int(config.pad_token_id), np.int64)
        padded[1] = 0
        for row, (ids, kinds) in enumerate(pairs):
            padded[0, row, : len(ids)], padded[1, row, : len(ids)] = ids, kinds
        if padded[0].min() < 0 or padded[0].max() >= config.vocab_size:
            worst = int(padded[0].min() if padded[0].min() < 0 else padded[0].max())
            raise InputError(f"expected 0 <= token id < {config.vocab_size}, got id={worst}")
        ids, kinds = torch.from_numpy(padded)
        return Texts(ids, kinds, torch.from_numpy(lengths), int(config.pad_token_id))

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.ids)

    def take(self, some: Tensor) -> "Texts":
        """Return the chosen texts."""
        return replace(self, ids=self.ids[some], kinds=self.kinds[some], lengths=self.lengths[some])

    def tokens(self) -> Tensor:
        """Return all tokens [token], the padding left out."""
        return self.ids[torch.arange(self.ids.shape[1]) < self.lengths[:, None]]

    def rows(self) -> list[np.ndarray]:
        """Return each text's tokens [seq]."""
        return [ids[:n].numpy() for ids, n in zip(self.ids, self.lengths.tolist(), strict=True)]

    def batch(self, some: Tensor, length: int | None) -> Batch:
        """Return the chosen texts as a batch, padded to the longest of them or to `length`."""
        lengths = self.lengths[some]
        seq = int(lengths.max()) if length is None else max(length, int(lengths.max()))
        more = max(0, seq - self.ids.shape[1])
        ids = F.pad(self.ids[some, :seq], (0, more), value=self.pad)
        kinds = F.pad(self.kinds[some, :seq], (0, more))
        mask = (torch.arange(seq) < lengths[:, None]).long()
        return Batch(ids, mask, kinds, torch.zeros(len(some), dtype=torch.int64), some)

    def estranged(self, rate: float, words: Tensor, generator: torch.Generator) -> "Texts":
        """Return the texts, each inner token replaced with probability `rate` by one of `words`.

        A text's first and last token stay: they are special ones.
        """
        position = torch.arange(self.ids.shape[1])
        inner = (position > 0) & (position < self.lengths[:, None] - 1)
        chosen = inner & (torch.rand(self.ids.shape, generator=generator) < rate)
        drawn = words[torch.randint(len(words), self.ids.shape, generator=generator)]
        return replace(self, ids=torch.where(chosen, drawn, self.ids))


@dataclass(frozen=True)
class Pushed:
    """A batch of auxiliary text and E's output of it [batch, seq, hidden], not yet protected."""

    batch: Batch
    clean: Tensor

    @property
    def real(self) -> Tensor:
        """Where there is a token [batch, seq]."""
        return self.batch.attention_mask.bool()

    def sent(self, knowledge: Knowledge, generator: torch.Generator) -> Tensor:
        """Return A as the mechanism in force sends it, drawn afresh [batch, seq, hidden]."""
        if knowledge.protect is None:
            return self.clean
        with torch.no_grad(), scoped(generator):
            return knowledge.protect(self.clean, self.batch, generator).float()


def pushed(
    texts: Texts, bottom: Bottom, knowledge: Knowledge, generator: torch.Generator
) -> list[Pushed]:
    """Return all texts in batches, pushed through E once.

    Where padding plays no part in the mechanism, texts of one length stand together, to save work.
    """
    order = torch.randperm(len(texts), generator=generator)
    if knowledge.clip_unit == "token" and knowledge.padded is None:
        order = order[torch.argsort(texts.lengths[order], stable=True)]
    found = []
    with torch.no_grad(), scoped(generator):
        for some in order.split(SEQUENCES_AT_ONCE):
            batch = texts.batch(some, knowledge.padded)
            found.append(Pushed(batch, bottom(batch).float()))
    return found


def bank(
    texts: Texts, rare: float, bottom: Bottom, knowledge: Knowledge, generator: torch.Generator
) -> tuple[list[Pushed], list[Pushed]]:
    """Return what a decoder learns from: the text nearly as it is, and estranged.

    In the first kind words are replaced at the rate `rare`, at which new words are to be expected,
    by words that occur nowhere in the text; in the other at the rate `STRANGE` by any word, so that
    the way back is learnt for every word. Short text is passed over several times.
    """
    everything = torch.arange(int(bottom.config.vocab_size))
    known = torch.bincount(texts.tokens(), minlength=len(everything)) > 0
    new = everything if bool(known.all()) else everything[~known]
    least = min(TOKENS_PER_WIDTH * (int(bottom.config.hidden_size) + 1), MOST_TOKENS) // 2

    def passed(rate: float, words: Tensor, most: int) -> list[Pushed]:
        found: list[Pushed] = []
        total = 0
        while total < least:
            order = torch.randperm(len(texts), generator=generator)
            few = int((texts.lengths[order].cumsum(0) <= most - total).sum())
            some = texts.take(order[: max(1, few)])
            changed = some.estranged(rate, words, generator)
            found += pushed(changed, bottom, knowledge, generator)
            total += int(some.lengths.sum())
        return found

    return passed(rare, new, MOST_TOKENS - least), passed(STRANGE, everything, least)


@contextmanager
def scoped(generator: torch.Generator) -> Iterator[None]:
    """Run the block with torch's default generator seeded from `generator`, then restore it.

    Dropout draws from the default one and takes no other.
    """
    with torch.random.fork_rng(devices=[]):
        number = int(torch.randint(2**62, (), generator=generator))
        torch.default_generator.manual_seed(number)
        yield
