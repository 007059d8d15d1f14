"""Learned decoder of tokens, trained on auxiliary text: what a cut at any layer gives away."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge, Lacks, served
from attacks.inversion.language_prior import viterbi
from attacks.inversion.parts.decoder import Decoder, FirstScores, Frequencies, Rows, fit_best
from attacks.inversion.parts.first_scores import Exact, Linear, exact_for, word_rows
from attacks.inversion.parts.ngram import Ngram
from attacks.inversion.parts.simulation import Texts, bank, pushed, scoped
from fedbert.errors import InputError
from fedbert.messages import SmashedData
from fedbert.split import Bottom, position_offset

MOST_STEPS = 400  # of training
HELD_OUT = 0.1  # of the auxiliary text
WEIGHTS = (0.0, 0.3, 0.6, 1.0)  # of the bigrams, to choose from
ROWS = 16  # sequences read at a time


@dataclass(frozen=True)
class FittedDecoder:
    """A decoder at its plateau, and a bigram model to read its shortlists with.

    weight: what the bigrams count for, beyond how frequent their words are, beside the decoder's
    scores; offset: E's `position_offset`; loss: what training ended at, held out, nats a token.
    """

    decoder: Decoder
    ngram: Ngram
    weight: float
    offset: int
    loss: float

    def shortlists(self, message: SmashedData) -> tuple[Tensor, Tensor]:
        """Return each token's words, the one on the best path first, then by score [token, k].

        The second tensor holds their log-scores; the first word's is never below another's.
        """
        mask = torch.tensor(message.attention_mask)
        a = torch.tensor(message.activations)
        parts = zip(a.split(ROWS), mask.split(ROWS), strict=True)
        found = [self.read(some, real) for some, real in parts]
        return torch.cat([ids for ids, _ in found]), torch.cat([logs for _, logs in found])

    def read(self, a: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same for A [batch, seq, hidden] and its mask [batch, seq]."""
        with torch.no_grad():
            ids, logs = self.decoder(Rows.of(a, mask, self.offset))
        order = logs.argsort(dim=1, descending=True, stable=True)
        ids, logs = ids.gather(1, order), logs.gather(1, order).double()
        if self.weight > 0 and len(ids):
            chosen = self._path(ids, logs, mask.bool().sum(1))
            order = (ids != chosen[:, None]).long().argsort(dim=1, stable=True)  # it comes first
            ids = ids.gather(1, order)
            logs = torch.cat((logs[:, :1], logs.gather(1, order)[:, 1:]), 1)
        return ids, logs

    def _path(self, ids: Tensor, logs: Tensor, lengths: Tensor) -> Tensor:
        """Return the words [token] of each sequence's best path through its shortlists.

        The decoder's scores count words' frequencies already: of a bigram counts how far it raises
        a word above its own, so the unigram is taken out before Viterbi puts the bigram in.
        """
        frequent = torch.from_numpy(self.ngram.log_unigram)[ids]
        rows = (logs - self.weight * frequent) / self.weight
        ends = lengths[lengths > 0].cumsum(0)[:-1].numpy()
        parts = zip(np.split(ids.numpy(), ends), np.split(rows.numpy(), ends), strict=True)
        return torch.from_numpy(np.concatenate([viterbi(self.ngram, *part) for part in parts]))


def fit_decoder(
    knowledge: Knowledge, generator: torch.Generator, steps: int | None = None
) -> FittedDecoder:
    """Return a decoder for the E and the mechanism that are known.

    Of two first scores, where both are at hand, it starts from the one that explains the held-out
    text better; there too the weight of the bigrams is chosen. steps: at most; None: `MOST_STEPS`.

    Raises:
        InputError: if E is lacking, or the auxiliary text is none of its vocabulary.
    """
    bottom = knowledge.bottom
    if bottom is None:
        raise InputError("expected knowledge.bottom, got None")
    texts = Texts.of(knowledge, bottom)
    order = torch.randperm(len(texts), generator=generator)
    few = max(1, int(HELD_OUT * len(texts)))
    held, rest = texts.take(order[:few]), texts.take(order[few:] if len(order) > few else order)
    vocab = int(bottom.config.vocab_size)
    frequencies = Frequencies.of(rest.tokens(), vocab)
    plain, strange = bank(rest, frequencies.rare, bottom, knowledge, generator)
    asked = pushed(held, bottom, knowledge, generator)
    offset, table = position_offset(bottom.config), word_rows(bottom)
    firsts: list[FirstScores] = [Linear.of([*plain, *strange], bottom, knowledge, generator)]
    if knowledge.embedding is not None and exact_for(knowledge):
        every = torch.arange(len(knowledge.embedding.token_type))
        kinds = every if knowledge.auxiliary_types is None else torch.unique(texts.kinds)
        firsts.append(Exact.of(knowledge.embedding, knowledge, kinds))
    with scoped(generator):
        decoders = [Decoder(first, table, frequencies) for first in firsts]
        decoder, loss = fit_best(
            decoders, plain, asked, frequencies, knowledge, offset, steps or MOST_STEPS, generator
        )
    ngram = Ngram.of(rest.rows(), vocab)
    made = [FittedDecoder(decoder, ngram, weight, offset, loss) for weight in WEIGHTS]
    right = [0] * len(made)
    for each in asked:
        a, truth = each.sent(knowledge, generator), each.batch.input_ids[each.real]
        for i, one in enumerate(made):
            right[i] += int((one.read(a, each.batch.attention_mask)[0][:, 0] == truth).sum())
    return made[right.index(max(right))]


@dataclass(frozen=True)
class LearnedDecoder:
    """The words that a trained decoder names for each token, from its row and its neighbours.

    Threat model: the honest-but-curious server, which sees A and the attention mask, knows E as it
    sent it out (encoder layers included), the mechanism in force, and text like the clients' own.
    It pushes that text through E and the mechanism, drawn afresh in every step of training.

    It names words by their rows of the word table, so also those that its text lacks. See
    `attacks.inversion.parts.decoder` for the network and the rule by which training ends. Where
    `adaptive` is False it is trained without the mechanism, to be reported beside the other.

    References: Song and Raghunathan (2020), section 4, for learned inversion of embeddings; Chen et
    al. (2024), "Unveiling the vulnerability of private fine-tuning in split-based frameworks for
    large language models: a bidirectionally enhanced attack" (BiSR), for noise-aware training.
    """

    adaptive: bool = True
    steps: int | None = None
    view: str = "forward"

    @property
    def uses_decoder(self) -> bool:
        """Whether `Knowledge.decoder`, trained for the mechanism in force, serves this attack."""
        return self.adaptive

    @property
    def name(self) -> str:
        """The attack's name in reports."""
        return "learned decoder" if self.adaptive else "learned decoder, noise-unaware"

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return lacking(knowledge)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the likeliest words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, or E does not fit the messages
                or the auxiliary text.
        """
        refuse(self.name, knowledge, messages)
        believed = knowledge if self.adaptive else unprotected(knowledge)
        found = believed.decoder or fit_decoder(believed, generator, self.steps)
        guesses = []
        for message in messages:
            guess = np.zeros(message.attention_mask.shape, dtype=np.int64)
            if guess.size:
                guess[message.attention_mask != 0] = found.shortlists(message)[0][:, 0].numpy()
            guesses.append(guess)
        return guesses


def noise_unaware() -> LearnedDecoder:
    """Return the decoder that does not know of the mechanism."""
    return LearnedDecoder(adaptive=False)


def lacking(knowledge: Knowledge) -> Lacks | None:
    """Return what an attack lacks to train a decoder, or None."""
    needs = {
        "bottom": "`bottom`: E as it was sent out",
        "protect": "`protect`: the mechanism in force",
        "auxiliary": "`auxiliary`: text like the private one",
    }
    return Lacks.of((name, words) for name, words in needs.items() if not getattr(knowledge, name))


def refuse(name: str, knowledge: Knowledge, messages: Sequence[SmashedData]) -> Bottom:
    """Return E.

    Raises:
        InputError: if it or anything else is lacking, or a message is not of its shape.
    """
    bottom = served(knowledge.bottom, lacking(knowledge), name)
    config = bottom.config
    room = config.max_position_embeddings - position_offset(config)
    for message in messages:
        shape, mask = message.activations.shape, message.attention_mask.shape
        if shape != (*mask, config.hidden_size) or mask[1] > room:
            most = (*mask[:1], min(mask[1], room), config.hidden_size)
            raise InputError(f"expected activations {most}, got shape={shape}")
    return bottom


def unprotected(knowledge: Knowledge) -> Knowledge:
    """Return what an adversary believes that does not know of any mechanism."""
    return replace(
        knowledge,
        decoder=None,
        protect=lambda a, batch, generator: a,
        clip_norm=None,
        noise_std=0.0,
        noise="none",
        basis=None,
        padded=None,
        clip_unit="token",
    )
