"""Knowledge of whoever infers an attribute of texts from vectors, and the protocol of attacks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from attacks.attack import Knowledge, Lacks, served
from attacks.inversion.parts.simulation import Pushed, Texts, pushed
from fedbert.messages import SmashedData

LEAST = 40
"""Auxiliary texts below which nothing can be learnt and checked."""


@dataclass(frozen=True)
class AttributeKnowledge:
    """The threat model as a value: what the adversary knows besides the vectors.

    Threat model: whoever sees one vector of each private text, can make such vectors of text of its
    own with the sender's own code, noise included, and knows the attribute of that text.

    vectors: returns vectors [text, hidden] of the auxiliary texts as they would be sent, the
        mechanism's noise drawn afresh at every call; None: the adversary cannot make any.
    values [text] int: the attribute of each; None: nobody told.
    noisy: whether two calls return different vectors.
    """

    vectors: Callable[[torch.Generator], np.ndarray] | None = None
    values: np.ndarray | None = None
    noisy: bool = False

    def missing(self) -> Lacks | None:
        """Return what is lacking for any attack on attributes, or None."""
        lacking = []
        if self.vectors is None:
            lacking.append(("vectors", "`vectors`: the sender's code, for text of its own"))
        if self.values is None:
            lacking.append(("values", "`values`: the attribute of auxiliary text"))
        elif len(self.values) < LEAST:
            words = f"`values`: at least {LEAST} auxiliary texts, not {len(self.values)}"
            lacking.append(("values", words))
        elif len(np.unique(self.values)) < 2:
            lacking.append(("values", "`values`: two different ones at least"))
        return Lacks.of(lacking)


class AttributeAttack(Protocol):
    """Infers an attribute of texts from one vector each. It never holds the truth."""

    @property
    def name(self) -> str:
        """The attack's name in reports."""

    @property
    def view(self) -> str:
        """Whose view the vectors come from; the reports say it of each."""

    def missing(self, knowledge: AttributeKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""

    def infer(
        self, vectors: np.ndarray, knowledge: AttributeKnowledge, generator: torch.Generator
    ) -> np.ndarray:
        """Return log-probabilities [record, value] for vectors [record, hidden].

        The values are those of the auxiliary texts, sorted, each once.

        Raises:
            InputError: if `missing` says that something is lacking.
        """


def smashed_vectors(knowledge: Knowledge, name: str) -> Callable[[torch.Generator], np.ndarray]:
    """Return what makes the mean rows [text, hidden] of auxiliary texts as clients would send them.

    Each call draws E's dropout, where there is any, and the mechanism's noise afresh.

    Raises:
        InputError: where E, or the auxiliary text, is not known.
    """
    bottom = served(knowledge.bottom, None, name)
    texts = Texts.of(knowledge, bottom)

    def means(generator: torch.Generator) -> Iterator[tuple[Pushed, torch.Tensor]]:
        for each in pushed(texts, bottom, knowledge, generator):
            weight = each.real[:, :, None].float()
            sent = each.sent(knowledge, generator)
            yield each, (sent * weight).sum(1) / weight.sum(1)

    def made(generator: torch.Generator) -> np.ndarray:
        found = np.zeros((len(texts), int(bottom.config.hidden_size)), dtype=np.float32)
        for each, rows in means(generator):
            found[each.batch.index.numpy()] = rows.numpy()
        return found

    return made


def mean_rows(message: SmashedData) -> np.ndarray:
    """Return the mean of each text's rows [batch, hidden] of a message, the padding left out."""
    weight = message.attention_mask[:, :, None].astype(np.float32)
    found: np.ndarray = (message.activations * weight).sum(1) / weight.sum(1)
    return found
