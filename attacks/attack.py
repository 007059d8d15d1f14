"""Protocols of attacks, and `Knowledge`: the threat model as a value; others judge the answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch

from fedbert.data.batches import Batch
from fedbert.errors import InputError, expect
from fedbert.messages import SmashedData
from fedbert.split import Bottom, EmbeddingTables, SplitBert

Protect = Callable[[torch.Tensor, Batch, torch.Generator], torch.Tensor]
"""From E's output [batch, seq, hidden] of a batch to what is sent, drawn afresh at every call."""


class WordReader(Protocol):
    """Reads words off messages, such as a decoder that was trained before."""

    def shortlists(self, message: SmashedData) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each token's likeliest words, best first, and their log-scores [token, k].

        Tokens stand in the order of the message, the padding left out.
        """


if TYPE_CHECKING:
    from attacks.signals import Signals

T = TypeVar("T")


@dataclass(frozen=True)
class Lacks:
    """What an attack lacks, as a value: decisions read the fields, reports print the words.

    fields: of what the attack was given (`Knowledge`, `Signals`, ...), those that are not there or
        whose value does not fit it, such as `noise`.
    words: the same for a reader.
    """

    fields: tuple[str, ...]
    words: str

    @staticmethod
    def of(needs: Iterable[tuple[str, str]]) -> "Lacks | None":
        """Return what is lacking, given each field with the words for it; None if nothing is."""
        found = list(needs)
        if not found:
            return None
        fields = tuple(dict.fromkeys(name for name, _ in found))
        return Lacks(fields, "needs " + "; ".join(words for _, words in found))


NOISES = {"none": "no", "gaussian": "Gaussian", "laplace": "Laplace", "metric": "metric"}
"""The distributions of noise that an attack may know of, and their names; else "unknown"."""


def check_noise(noise: str, noise_std: float) -> None:
    """Check a distribution of noise and its root mean square per value.

    Raises:
        InputError: for a noise that cannot be.
    """
    kinds = (*NOISES, "unknown")
    expect(noise in kinds, f"one of {', '.join(kinds)}", "noise", noise)
    expect(0 <= noise_std < float("inf"), "noise_std >= 0", "noise_std", noise_std)
    expect(noise != "none" or noise_std == 0, "noise_std=0 without noise", "noise_std", noise_std)


def unfit_noise(noise: str, fitting: Sequence[str]) -> list[tuple[str, str]]:
    """Return what `Lacks.of` reads where noise is neither absent nor of a fitting distribution."""
    if noise in ("none", *fitting):
        return []
    if noise == "unknown":
        return [("noise", "a mechanism that says how its noise is distributed")]
    known = " or ".join(NOISES[each] for each in fitting)
    return [("noise", f"{known} noise or none, not {NOISES[noise]}")]


@dataclass(frozen=True)
class Knowledge:
    """The threat model as a value: what the adversary knows besides the messages of its view.

    None means that the adversary does not have it. That it knows the mechanism in force is the
    rule (Kerckhoffs), so its settings belong here.

    embedding: the tables of E; absent where the cut is deeper than the embeddings.
    bottom: E at any cut as the aggregator sent it out, in training mode where the clients' was.
        Attacks do not change it.
    protect: the mechanism in force, for the adversary's own batches.
    padded: the length that each example was padded to before `protect`; None: its message's.
    decoder: one that the adversary trained for just this knowledge, where there is one already.
    model: the released model.
    clip_norm: the bound on the L2 norm (L1 under Laplace noise) of each `clip_unit` ("token" or
        "sequence") of a message.
    noise_std: the root mean square of the noise on each coordinate.
    noise: its distribution: "none", "gaussian", "laplace" (independent values), "metric" (density
        proportional to exp(-eta |z|) per token) or "unknown": no likelihood is at hand, and what
        the noise does can be learnt through `protect` alone.
    basis: a public map [hidden, dimension] after which the noise is the same in all directions:
        what a mechanism projects to, or what undoes its covariance; None where it is already.
    dropout: the dropout rate that E applied when the messages were made, before clip and noise.
    auxiliary: text of the same kind as the private one, none of it private: token ids [seq] of
        each sequence, special tokens included, padding not.
    auxiliary_types: the token types [seq] of each; None: all 0, of the private text unknown.

    Raises:
        InputError: for a mechanism that cannot be.
    """

    embedding: EmbeddingTables | None = None
    bottom: Bottom | None = None
    protect: Protect | None = None
    padded: int | None = None
    decoder: WordReader | None = None
    model: SplitBert | None = None
    clip_norm: float | None = None
    noise_std: float = 0.0
    dropout: float = 0.0
    clip_unit: str = "token"
    noise: str = "gaussian"
    basis: torch.Tensor | None = None
    auxiliary: tuple[np.ndarray, ...] | None = None
    auxiliary_types: tuple[np.ndarray, ...] | None = None

    def __post_init__(self) -> None:
        """Check every setting of the mechanism."""
        bounded = self.clip_norm is None or self.clip_norm > 0
        expect(bounded, "clip_norm > 0 or None", "clip_norm", self.clip_norm)
        check_noise(self.noise, self.noise_std)
        expect(0 <= self.dropout < 1, "0 <= dropout < 1", "dropout", self.dropout)
        units = ("token", "sequence")
        expect(self.clip_unit in units, "token or sequence", "clip_unit", self.clip_unit)


class InversionAttack(Protocol):
    """Guesses the tokens behind messages. It never holds the truth and never grades itself."""

    @property
    def name(self) -> str:
        """The attack's name in reports."""

    @property
    def view(self) -> str:
        """Whose view the messages come from, such as "forward"."""

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the guessed token ids [batch, seq] int64 of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """


class MembershipAttack(Protocol):
    """Scores candidates by how likely they were trained on."""

    @property
    def name(self) -> str:
        """The attack's name in reports."""

    @property
    def view(self) -> str:
        """Whose view the attack needs, such as "release"."""

    def missing(self, signals: "Signals") -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""

    def score(self, signals: "Signals", generator: np.random.Generator) -> np.ndarray:
        """Return one finite number per candidate [candidate], higher = member, in their order.

        generator: what an attack draws from, so that its scores can be made again.

        Raises:
            InputError: if `missing` says that something is lacking.
        """


def served(value: T | None, lacks: Lacks | None, name: str) -> T:
    """Return a field of what an attack of this name was given.

    Raises:
        InputError: if the attack lacks something.
    """
    if lacks is not None or value is None:
        words = "needs a value, got None" if lacks is None else lacks.words
        raise InputError(f"expected knowledge that serves {name}: it {words}")
    return value
