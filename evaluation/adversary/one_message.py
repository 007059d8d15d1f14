"""Sent messages of a one-message training, and what an adversary makes of them."""

from dataclasses import dataclass, field

import numpy as np
import torch

from fedbert.config import Config
from fedbert.data.batches import Encoded
from fedbert.messages import Message, SentLabels, SmashedData
from fedbert.one_message.codes import Codes, codes_of
from fedbert.one_message.facts import layout_of
from fedbert.one_message.layout import Layout
from fedbert.one_message.run import public_part
from fedbert.precision import settled
from fedbert.prepare import Prepared
from privacy.defence import Defence
from privacy.mechanism import Identity


@dataclass
class SentMessages:
    """A listener that keeps what every client sent: it crosses once."""

    messages: dict[int, SmashedData] = field(default_factory=dict)
    labels: dict[int, SentLabels] = field(default_factory=dict)

    def hear(self, message: Message) -> None:
        """Keep messages and labels."""
        if isinstance(message, SmashedData):
            self.messages[message.client] = message
        elif isinstance(message, SentLabels):
            self.labels[message.client] = message

    def by_record(self, prepared: Prepared) -> "SentRecords":
        """Return what was sent of each record, with its place in the pool."""
        held = [d for d in prepared.clients if d.client in self.messages]
        labels = [self.labels[d.client].labels for d in held if d.client in self.labels]
        return SentRecords(
            np.concatenate([d.in_pool for d in held]),
            np.concatenate([self.messages[d.client].activations[:, 0] for d in held]),
            np.concatenate(labels) if labels else None,
        )

    def heard(self, positions: np.ndarray, prepared: Prepared) -> np.ndarray:
        """Return those of the pool's positions whose client was heard, in their order."""
        held = [d.in_pool for d in prepared.clients if d.client in self.messages]
        return positions[np.isin(positions, np.concatenate(held))]


@dataclass(frozen=True)
class SentRecords:
    """What was sent: records' positions in the pool [record], messages [record, value], labels
    [record] as answered where they went beside.
    """

    positions: np.ndarray
    messages: np.ndarray
    labels: np.ndarray | None

    def of(self, positions: np.ndarray) -> "SentRecords":
        """Return what was sent of records at these positions of the pool, in that order."""
        order = np.argsort(self.positions)
        found = order[np.searchsorted(self.positions, positions, sorter=order)]
        labels = None if self.labels is None else self.labels[found]
        return SentRecords(positions, self.messages[found], labels)


@dataclass(frozen=True)
class MessageMaker:
    """What an adversary makes messages of its own with: all of it is public.

    Threat model: whoever knows the encoder, the projection and the mechanism (Kerckhoffs).
    """

    layout: Layout
    codes: Codes
    config: Config
    prepared: Prepared
    defence: Defence

    @staticmethod
    def of(config: Config, prepared: Prepared, defence: Defence) -> "MessageMaker":
        """Return what makes a training's messages."""
        codes = codes_of(config.data.chosen_task)
        config, _ = settled(config, prepared.split.whole.config)
        return MessageMaker(layout_of(config), codes, config, prepared, defence)

    def expected(self, records: Encoded) -> np.ndarray:
        """Return the messages [record, value] of records with their labels, before the noise."""
        part = public_part(self.config, self.prepared)
        rows = part.projection.inside(part.vectors.of(records))
        return self.clipped(self.layout.messages(rows, self.codes.of(records.labels)))

    def clipped(self, messages: np.ndarray) -> np.ndarray:
        """Return messages [record, value] after the mechanism's clip."""
        if isinstance(self.defence.smashed, Identity):
            return messages
        clipped: np.ndarray = self.defence.smashed.clip(torch.from_numpy(messages)).numpy()
        return clipped

    def answered(self, sent: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the log-chance of answered labels `sent` given true ones, of like shapes."""
        response = self.defence.labels
        same = sent == labels
        if response is None:
            keep, other = 1.0, 0.0
        else:
            keep = response.keep_probability
            other = (1.0 - keep) / (response.labels - 1)
        with np.errstate(divide="ignore"):
            found: np.ndarray = np.log(same * keep + ~same * other)
        return found
