"""Isolation audit of a whole message: two records and their labels through a client's own sender.

The mechanism at `smashed` by itself is tried elsewhere. Here the code that a training runs makes
the message (projection, clip, layout, noise), and what crosses beside it is the answered label: an
adversary who knows both records weighs the two together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.adversary.simulated_noise import source_from
from evaluation.auditing.mechanisms.distinguish import SIGNIFICANCE, Probe, Statistics, distinguish
from evaluation.auditing.mechanisms.isolation import claim_of
from evaluation.auditing.verdict import Finding
from fedbert.one_message.codes import Codes
from fedbert.one_message.layout import Layout
from fedbert.one_message.projection import Projection
from fedbert.one_message.training import Sender
from fedbert.seeding import generator
from privacy.defence import Defence
from privacy.events import Event
from privacy.randomised_response import RandomisedResponse

SAMPLES = 400_000  # where a label goes beside: no sharper bound than that of counts is known
FEWER = 100_000  # of Gaussian noise alone
AT_ONCE = 2_000_000  # values of messages in one call: bounds memory
FAR = 1e3  # the length of a record's vector, in clips


@dataclass(frozen=True)
class Records:
    """Records alike, in the place of a client's data and of E, whose answers are the projection's
    own directions: vector [direction], labels [record].
    """

    vector: np.ndarray
    labels: np.ndarray
    client: int = 0

    @property
    def encoded(self) -> "Records":
        """What a sender asks for the labels."""
        return self

    def of(self, records: "Records") -> np.ndarray:
        """Return the vector of each record [record, direction]."""
        return np.tile(records.vector, (len(records.labels), 1))


@dataclass(frozen=True)
class Sending:
    """How a message is made: by a defence, in a layout, of labels' codes."""

    defence: Defence
    layout: Layout
    codes: Codes

    def __call__(self, vector: np.ndarray, label: float, count: int, draws: Any) -> np.ndarray:
        """Return so many messages [message, width] of one record."""
        width, kind = self.layout.directions, np.int64 if self.codes.corners is not None else float
        projection = Projection(np.zeros(width), np.eye(width), np.eye(width))
        alike: Any = Records(vector, np.full(count, label, dtype=kind))
        sender = Sender(alike, alike, projection, self.layout, self.codes, self.defence, draws)
        sent: np.ndarray = sender.message()[0].activations[:, 0]
        return sent.astype(np.float64)


def audit_message(
    sending: Sending, event: Event, delta: float, seed: int, samples: int | None = None
) -> Finding:
    """Return what the messages of two records, with their labels, show of the claim about one.

    event: what the ledger says that one message and its label did together.
    """
    name = "message" if sending.layout.labels == "within" else "message with its label"
    claim = claim_of(event, delta)
    count = samples or (FEWER if claim.gaussian else SAMPLES)
    return distinguish(name, claim, _probes(sending, seed), count, SIGNIFICANCE)


def _probes(sending: Sending, seed: int) -> Iterator[Probe]:
    """Yield neighbours: vectors far out, on one side or on opposite ones, with labels apart."""
    codes, width = sending.codes, sending.layout.directions
    low, high = codes.low, codes.high
    if codes.corners is not None:
        low, high = 0, len(codes.corners) - 1
    along = np.full(width, FAR / np.sqrt(width))
    pairs = {"opposite records with other labels": ((along, low), (-along, high))}
    if sending.layout.labels == "within":
        pairs["opposite records with one label"] = ((along, low), (-along, low))
        pairs["one record with other labels"] = ((along, low), (along, high))
    for name, pair in pairs.items():
        yield Probe(name, _draw(sending, pair, (seed, "probe", name)))


def _draw(
    sending: Sending, pair: tuple[tuple[np.ndarray, float], ...], label: tuple[int, str, str]
) -> Callable[[int, int], Statistics]:
    """Return the statistics of messages of one of two records."""
    clean = sending.layout.messages(
        np.stack([vector / np.linalg.norm(vector) for vector, _ in pair]),
        sending.codes.of(np.array([each for _, each in pair])),
    )
    mechanism, answers = sending.defence.smashed, sending.defence.labels
    beside = None if sending.layout.labels == "within" else answers
    step, (seed, *words) = max(1, AT_ONCE // clean.shape[1]), label
    done = [0, 0]  # messages of either record so far

    def draw(side: int, samples: int) -> Statistics:
        found: dict[str, list[np.ndarray]] = {}
        for start in range(0, samples, step):
            count = min(step, samples - start)
            noise = source_from(generator(seed, *words, side, done[side] + start))
            sent = sending(*pair[side], count, noise)
            told = np.zeros(count) if beside is None else _told(beside, pair, side, count, noise)
            scale = mechanism.noise_std
            lengths = [np.abs(sent - each).sum(1) for each in clean]
            for name, value in {
                "projection and label": sent @ (clean[0] - clean[1]) / scale**2 + told,
                "L1 lengths and label": (lengths[1] - lengths[0]) * 2**0.5 / scale + told,
            }.items():
                found.setdefault(name, []).append(value)
        done[side] += samples
        return {name: np.concatenate(parts) for name, parts in found.items()}

    return draw


def _told(
    beside: RandomisedResponse,
    pair: tuple[tuple[np.ndarray, float], ...],
    side: int,
    count: int,
    noise: Any,
) -> np.ndarray:
    """Return what the answered labels add to the log-likelihood ratio [message]."""
    first, second = (int(each) for _, each in pair)
    labels = np.full(count, (first, second)[side], dtype=np.int64)
    answered = beside.randomise(labels, noise.draws("labels", 0))
    towards = (answered == first).astype(float) - (answered == second)
    return np.asarray(beside.epsilon * towards)
