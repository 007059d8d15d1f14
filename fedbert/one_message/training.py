"""Training by one message: each client sends every record once, and the server learns from that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedbert.arrivals import where
from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.errors import InputError
from fedbert.fault_settings import GOES
from fedbert.faults.draws import NONE, faults_of
from fedbert.faults.spoilt import Delivery, messages
from fedbert.messages import Channel, SentLabels, SmashedData, to_array
from fedbert.one_message.codes import Codes, codes_of
from fedbert.one_message.facts import layout_of
from fedbert.one_message.layout import Layout, moments_beside
from fedbert.one_message.learner import LinearHead, Moments, linear_head
from fedbert.one_message.projection import Projection
from fedbert.one_message.vectors import Vectors
from fedbert.protect import MechanismLog, protect
from fedbert.receiving import FAILED, STALE, Receiver, RefusedError
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource


@dataclass(frozen=True)
class Sender:
    """A client's part: what a record is sent as, once and for all."""

    data: ClientData
    vectors: Vectors
    projection: Projection
    layout: Layout
    codes: Codes
    defence: Defence
    noise: NoiseSource

    def message(self) -> tuple[SmashedData, MechanismLog]:
        """Return all of the client's messages [record, 1, width], protected, in their order."""
        encoded = self.data.encoded
        rows = self.projection.inside(self.vectors.of(encoded))
        values = self.layout.messages(rows, self.codes.of(encoded.labels))
        clean = torch.from_numpy(values).float()[:, None, :]
        everywhere = torch.ones(clean.shape[:2], dtype=torch.int64)
        draws = self.noise.draws("smashed once", 0)
        sent, log = protect(self.defence.smashed, clean, everywhere, draws)
        client = self.data.client
        return SmashedData(client, 0, 0, to_array(sent), to_array(everywhere)), log

    def labels(self) -> SentLabels:
        """Return the labels [record] that go beside the messages; answered at random before."""
        labels = self.data.encoded.labels.copy()
        labels.flags.writeable = False
        return SentLabels(self.data.client, 0, labels)


@dataclass
class Learner:
    """The server's part: it sees what was sent, and public text's spread."""

    layout: Layout
    codes: Codes
    kept: float
    _rows: list[np.ndarray]
    _codes: list[np.ndarray]

    def take(self, message: SmashedData, labels: SentLabels | None) -> None:
        """Take a client's messages, and labels where they go beside."""
        self._rows.append(message.activations[:, 0].astype(np.float64))
        if labels is not None:
            self._codes.append(self.codes.of(labels.labels))

    def moments(self) -> Moments:
        """Return the means over all records, as far as noise lets them be seen."""
        rows = np.concatenate(self._rows)
        if self.layout.labels == "within":
            return self.layout.moments(rows.mean(0))
        return moments_beside(rows, np.concatenate(self._codes), self.kept)

    def head(self, projection: Projection) -> LinearHead:
        """Return the head that follows."""
        known = projection.likeness
        return linear_head(self.moments(), projection.covariance, self.codes, known)


def train_once(
    config: Config,
    clients: Sequence[ClientData],
    vectors: Vectors,
    projection: Projection,
    defence: Defence,
    channel: Channel,
    noise: NoiseSource,
    receiver: Receiver,
) -> tuple[LinearHead, MechanismLog]:
    """Return the head that the server learns, and what the mechanism did to the messages.

    Labels of the clients' data are those that may be sent: `fedbert.prepare.under` answered them.
    What does not come, or not as it should be, is left out of the means.

    Guarantee: that of `privacy.message_claims`: all that is returned is made from what was sent.

    Raises:
        InputError: fewer clients than the quorum were heard.
    """
    codes, layout = codes_of(config.data.chosen_task), layout_of(config)
    learner = Learner(layout, codes, kept_of(defence), [], [])
    total, wrong = MechanismLog(), faults_of(config, 0)
    receiver.open(0, [data.client for data in clients])
    for data in clients:
        fault = wrong.get(data.client, NONE)
        if fault.kind in GOES:
            continue
        own = noise.under("client", data.client)
        sender = Sender(data, vectors, projection, layout, codes, defence, own)
        try:
            made, log = _made(sender)
        except RefusedError as error:
            receiver.refuse(data.client, error)
            continue
        total += log
        labels = sender.labels() if layout.labels == "beside" else None
        for each in messages(fault, made):
            try:
                learner.take(*_arrived(each, made, labels, channel, receiver, config))
            except RefusedError as error:
                receiver.refuse(data.client, error)
            else:
                receiver.took(data.client)
    receiver.close()
    return learner.head(projection), total


def _made(sender: Sender) -> tuple[SmashedData, MechanismLog]:
    """Return a client's messages, with the mechanism's log.

    Raises:
        RefusedError: for values that its mechanism refuses, such as NaN.
    """
    try:
        return sender.message()
    except InputError:
        raise
    except ValueError as error:
        told = f"round 1, client {sender.data.client}, at its one message: {error}"
        raise RefusedError(FAILED, told) from error


def _arrived(
    delivery: Delivery[SmashedData],
    expected: SmashedData,
    labels: SentLabels | None,
    channel: Channel,
    receiver: Receiver,
    config: Config,
) -> tuple[SmashedData, SentLabels | None]:
    """Return a client's messages, and its labels where they go beside, as they arrive.

    Raises:
        RefusedError: they are not as they should be, late, or come again.
    """
    client = expected.client
    if (delivery.message.client, delivery.message.round) != (client, 0):
        told = f"{where(delivery.message)}: expected the one message of client {client}"
        raise RefusedError(STALE, told)
    message = channel.send(delivery.message)
    sent = None if labels is None else channel.send(labels)
    receiver.check(client, delivery.delay, config.faults.deadline, where(message))
    return message, sent


def kept_of(defence: Defence) -> float:
    """Return what is left on average of a code whose label is answered at random: 1 without that.

    Another class than the true one comes as often as any other, and all codes add up to zero.
    """
    if defence.labels is None:
        return 1.0
    keep = defence.labels.keep_probability
    return keep - (1.0 - keep) / (defence.labels.labels - 1)
