"""One-message run: public text, projection, messages and head together, the public part once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fedbert.config import Config
from fedbert.data.pairs import PairFrame
from fedbert.messages import Array, Channel, to_array
from fedbert.one_message.comparison import frame_of
from fedbert.one_message.facts import projection_of, public_text
from fedbert.one_message.learner import LinearHead
from fedbert.one_message.model import released
from fedbert.one_message.projection import Projection
from fedbert.one_message.training import train_once
from fedbert.one_message.vectors import Vectors
from fedbert.prepare import Prepared
from fedbert.protect import MechanismLog
from fedbert.receiving import Receiver
from fedbert.split import SplitBert
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

HEAD = "classifier.linear"


@dataclass(frozen=True)
class PublicPart:
    """What needs no record: the encoder's vectors, asked so far, and the projection."""

    vectors: Vectors
    projection: Projection


_vectors: dict[str, Vectors] = {}
_latest: dict[str, PublicPart] = {}


def public_part(config: Config, prepared: Prepared) -> PublicPart:
    """Return the public part of a training, that of the last one where it is the same."""
    public = public_text(config, prepared)
    key, vectors = _vectors_of(config, prepared)
    made = hashlib.sha256(public.tokens.tobytes() + public.offsets.tobytes())
    made.update(repr((key, config.message, config.directions)).encode())
    key = made.hexdigest()
    if key not in _latest:
        _latest.clear()
        _latest[key] = PublicPart(vectors, projection_of(config, public, vectors))
    return _latest[key]


def _vectors_of(config: Config, prepared: Prepared) -> tuple[str, Vectors]:
    """Return the vectors of an encoder, those of the last training where it is the same, and what
    tells them from others'.
    """
    made = hashlib.sha256()
    for name, value in sorted(prepared.split.bottom.state_dict().items()):
        made.update(name.encode() + to_array(value).tobytes())
    training, frame = config.training, frame_of(config, prepared.tokenizer)
    pad, pooling = prepared.vocabulary.pad, config.message.pooling
    told = pad, pooling, frame, training.precision, training.device
    made.update(repr((*told, prepared.split.cut_layer)).encode())
    key = made.hexdigest()
    if key not in _vectors:
        _vectors.clear()
        _vectors[key] = Vectors(prepared.split, config, pad, pooling, frame)
    return key, _vectors[key]


def one_message(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    channel: Channel,
    noise: NoiseSource,
    receiver: Receiver,
) -> tuple[SplitBert, MechanismLog]:
    """Return the released model, and what the mechanism did to the messages.

    Labels of the clients are those that may be sent.
    """
    part = public_part(config, prepared)
    head, log = train_once(
        config, prepared.clients, part.vectors, part.projection, defence, channel, noise, receiver
    )
    pooling, frame = config.message.pooling, part.vectors.frame
    return released(prepared.split, part.projection, pooling, frame, head), log


def values_of(split: SplitBert) -> dict[str, Array]:
    """Return what a training by one message made: head and projection, by name."""
    held = split.whole.state_dict()
    return {n: to_array(v) for n, v in held.items() if not n.startswith("encoder.bottom.")}


def from_values(
    config: Config, public: SplitBert, values: Mapping[str, Array], frame: PairFrame | None
) -> SplitBert:
    """Return the released model of a public one and the values that `values_of` named.

    frame: how its tokenizer frames pairs that are compared, as `frame_of` says.
    """
    values = {name: value.copy() for name, value in values.items()}  # theirs may be read-only
    centre, matrix = values["encoder.centre"], values["encoder.matrix"]
    head = LinearHead(values[f"{HEAD}.weight"], values[f"{HEAD}.bias"])
    projection = Projection(centre, matrix, matrix[:0])
    return released(public, projection, config.message.pooling, frame, head)
