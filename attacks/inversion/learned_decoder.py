"""A token decoder trained on auxiliary text: what a cut at any layer gives away."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.decoder import Decoder, FirstScores, Frequencies, Rows, train
from attacks.inversion.first_scores import Exact, Linear, exact_for, word_rows
from attacks.inversion.simulation import Texts, bank, pushed, scoped
from fedbert.config import InputError
from fedbert.messages import SmashedData
from fedbert.split import Bottom, position_offset

HELD_OUT = 0.1  # of the auxiliary text
SEQUENCES_AT_ONCE = 16


@dataclass(frozen=True)
class Trained:
    """A decoder at its plateau, with the shape that messages must have."""

    decoder: Decoder
    offset: int
    held_out_loss: float

    def shortlists(self, message: SmashedData) -> tuple[Tensor, Tensor]:
        """Return each token's likeliest words, best first, and their log-scores [token, k].

        Tokens stand in the order of the message, the padding left out.
        """
        found = []
        with torch.no_grad():
            mask = torch.tensor(message.attention_mask)
            a = torch.tensor(message.activations)
            for some, real in zip(
                a.split(SEQUENCES_AT_ONCE), mask.split(SEQUENCES_AT_ONCE), strict=True
            ):
                ids, scores = self.decoder(Rows.of(some, real, self.offset))
                order = scores.argsort(dim=1, descending=True, stable=True)
                found.append((ids.gather(1, order), scores.gather(1, order)))
        return torch.cat([ids for ids, _ in found]), torch.cat([logs for _, logs in found])


def trained(knowledge: Knowledge, generator: torch.Generator) -> Trained:
    """Return a decoder for the E and the mechanism that are known.

    Of two first scores, where both are at hand, the one that explains the held-out text better.
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
    text = [*plain, *strange]
    asked = pushed(held, bottom, knowledge, generator)
    offset, table = position_offset(bottom.config), word_rows(bottom)
    firsts: list[FirstScores] = [Linear.of(text, bottom, knowledge, generator)]
    if knowledge.embedding is not None and exact_for(knowledge):
        every = torch.arange(len(knowledge.embedding.token_type))
        kinds = every if knowledge.auxiliary_types is None else torch.unique(texts.kinds)
        firsts.append(Exact.of(knowledge.embedding, knowledge, kinds))
    with scoped(generator):
        decoders = [Decoder(first, table, frequencies) for first in firsts]
        decoder, loss = train(decoders, text, asked, frequencies, knowledge, offset, generator)
    return Trained(decoder, offset, loss)


@dataclass(frozen=True)
class LearnedDecoder:
    """The words that a trained decoder names for each token, from its row and its neighbours.

    Threat model: the honest-but-curious server, which sees A and the attention mask, knows E as it
    sent it out (encoder layers included), the mechanism in force, and text like the clients' own.
    It pushes that text through E and the mechanism, drawn afresh in every step of training.

    What it learns to say is a word of the whole table, by its row there: words that its text lacks
    are named too. See `attacks.inversion.decoder` for the network and for the rule by which training
    ends; where `adaptive` is False the decoder is trained without the mechanism, to be reported
    beside the adaptive one.

    References: Song and Raghunathan (2020), section 4, for learned inversion of embeddings; Chen et
    al. (2024), "Unveiling the vulnerability of private fine-tuning in split-based frameworks for
    large language models: a bidirectionally enhanced attack" (BiSR), for noise-aware training.
    """

    adaptive: bool = True
    view: str = "forward"

    @property
    def name(self) -> str:
        """The attack's name in reports."""
        return "learned decoder" if self.adaptive else "learned decoder, noise-unaware"

    def missing(self, knowledge: Knowledge) -> str | None:
        """Return what the attack lacks, in words, or None if it can run."""
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
        found = trained(knowledge if self.adaptive else unprotected(knowledge), generator)
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


def lacking(knowledge: Knowledge) -> str | None:
    """Return what an attack lacks to train a decoder, in words, or None."""
    needs = {
        "`bottom`: E as it was sent out": knowledge.bottom is None,
        "`protect`: the mechanism in force": knowledge.protect is None,
        "`auxiliary`: text like the private one": not knowledge.auxiliary,
    }
    missing = [need for need, lacks in needs.items() if lacks]
    return "needs " + "; ".join(missing) if missing else None


def refuse(name: str, knowledge: Knowledge, messages: Sequence[SmashedData]) -> Bottom:
    """Return E.

    Raises:
        InputError: if it or anything else is lacking, or a message is not of its shape.
    """
    reason, bottom = lacking(knowledge), knowledge.bottom
    if reason is not None or bottom is None:
        raise InputError(f"expected knowledge that serves {name}: it {reason}")
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
        protect=lambda a, batch, generator: a,
        clip_norm=None,
        noise_std=0.0,
        noise="gaussian",
        basis=None,
        padded=None,
        clip_unit="token",
    )
