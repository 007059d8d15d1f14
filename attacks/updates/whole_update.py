"""Client steps as attacks on updates see them, and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from attacks.attack import Lacks, check_noise, unfit_noise
from fedbert.errors import InputError, expect
from fedbert.messages import ClientParts, ClientUpdate, Message, dense
from fedbert.split import SplitBert, duplicate

EDGE = 1.5
"""The largest singular value of rounding errors, over that of independent normal ones, at most."""

ARITHMETIC = 1e-12
"""What float64 arithmetic itself leaves, relative to the largest singular value."""

SLACK = 4.0
"""Units in the last place by which a value may move that no gradient touched."""


@dataclass(frozen=True)
class UpdateKnowledge:
    """What the aggregator knows of one client's local training in one round.

    model: the model as sent out; its values are those of the messages' ClientParts.
    whole: whether an update holds the whole model, as under `fedavg`, or E and H alone.
    word, position: transformers' names of these tables; None where they are frozen.
    tied: whether masked-LM's decoder is the word table.
    optimizer: "sgd" or "adamw"; fresh: whether its moments started the round at zero.
    learning_rate: of each local step [step]. kept: what weight decay leaves of each tensor over
        the round (1 where it is not named).
    batch_size: how many sequences a step sees, at most.
    noise_std: of the noise on each value of the update, whatever made it. noise: its distribution,
        as in `attacks.attack.Knowledge`.
    dropout: the rate at which the client's model dropped values in training.
    start, stop, pad, mask: token ids; sequences read start ... stop.
    auxiliary: text of the same kind as the private one, none of it private: token ids [seq] each.

    Raises:
        InputError: for settings that cannot be.
    """

    model: SplitBert | None = None
    whole: bool = False
    word: str | None = None
    position: str | None = None
    tied: bool = False
    optimizer: str = "adamw"
    fresh: bool = True
    learning_rate: tuple[float, ...] = ()
    kept: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 1
    noise_std: float = 0.0
    dropout: float = 0.0
    start: int = 0
    stop: int = 0
    pad: int = 0
    mask: int | None = None
    auxiliary: tuple[np.ndarray, ...] | None = None
    noise: str = "gaussian"

    def __post_init__(self) -> None:
        """Check every setting."""
        kinds = ("sgd", "adamw")
        expect(self.optimizer in kinds, "sgd or adamw", "optimizer", self.optimizer)
        rates = all(0 < rate < float("inf") for rate in self.learning_rate)
        expect(rates, "finite rates > 0", "learning_rate", self.learning_rate)
        expect(self.batch_size >= 1, "batch_size >= 1", "batch_size", self.batch_size)
        check_noise(self.noise, self.noise_std)
        expect(0 <= self.dropout < 1, "0 <= dropout < 1", "dropout", self.dropout)


@dataclass(frozen=True)
class NotApplicable:
    """An attack's answer to an update that its method says nothing about, and why."""

    reason: str


@dataclass(frozen=True)
class Step:
    """What one client's round did to each tensor, over the learning rate and less weight decay.

    One step of SGD: `taken` is the gradient, up to a clip's scale. One step of AdamW on fresh
    moments: nearly its sign. rounding: the standard deviation that rounding to the values' own
    precision puts on each value. moved: whether it is more than that. before: where it began.
    """

    before: Mapping[str, np.ndarray]
    taken: Mapping[str, np.ndarray]
    rounding: Mapping[str, float]
    moved: Mapping[str, np.ndarray]


def steps_of(messages: Sequence[Message], knowledge: UpdateKnowledge) -> list[Step]:
    """Return the step behind each ClientUpdate, in their order, in float64.

    Raises:
        InputError: for a ClientUpdate without the ClientParts of its client and round.
    """
    starts = {(m.client, m.round): m for m in messages if isinstance(m, ClientParts)}
    found = []
    for message in messages:
        if not isinstance(message, ClientUpdate):
            continue
        start = starts.get((message.client, message.round))
        if start is None:
            got = f"client={message.client} round={message.round}"
            raise InputError(f"expected the ClientParts of each ClientUpdate, got none for {got}")
        found.append(_step(start, message, knowledge))
    return found


def _step(start: ClientParts, update: ClientUpdate, knowledge: UpdateKnowledge) -> Step:
    rate = sum(knowledge.learning_rate)
    taken, rounding, moved = {}, {}, {}
    for name, values in update.tensors.items():
        after = dense(values)
        own = start.tensors[name].astype(np.float64)
        change = own * knowledge.kept.get(name, 1.0) - after
        unit = float(np.finfo(after.dtype).eps) * len(knowledge.learning_rate)
        taken[name] = change / rate
        largest = np.square(np.maximum(np.abs(own), np.abs(after)))
        rounding[name] = unit * float(np.sqrt(largest.mean() / 12)) / rate
        moved[name] = np.abs(change) > SLACK * unit * np.abs(own)
    return Step(start.tensors, taken, rounding, moved)


def floor_of(rows: np.ndarray, rounding: float, largest: float) -> float:
    """Return the singular value up to which a matrix [row, column] may be rounding alone."""
    edge = float(np.sqrt(rows.shape[0]) + np.sqrt(rows.shape[1]))
    return max(EDGE * rounding * edge, ARITHMETIC * largest)


def model_at(step: Step, model: SplitBert, dtype: torch.dtype = torch.float64) -> SplitBert:
    """Return the model as the client got it, without dropout."""
    own = duplicate(model)
    with torch.no_grad():
        for name, parameter in own.whole.named_parameters():
            if name in step.before:
                parameter.copy_(torch.tensor(step.before[name]))
    own.whole.to(device="cpu", dtype=dtype).eval()
    own.whole.requires_grad_(True)
    return own


def layers_of(split: SplitBert) -> list[Any]:
    """Return the encoder layers of a whole model, from the first to the last."""
    return [*split.bottom.layers, *split.body.layers]


def exact_values(knowledge: UpdateKnowledge, words: str) -> Lacks | None:
    """Return why the update's values are not exact, or None if they are; words: if noise is."""
    if knowledge.noise_std > 0:
        return Lacks(("noise_std",), words)
    return Lacks.of(unfit_noise(knowledge.noise, ("gaussian", "laplace", "metric")))


def missing_step(knowledge: UpdateKnowledge, adaptive: bool, steps: bool) -> Lacks | None:
    """Return why an update is not one known step, or None if it is.

    adaptive: whether AdamW's first step will do. steps: whether several steps of SGD will do.
    """
    if not knowledge.learning_rate:
        return Lacks(("learning_rate",), "needs `learning_rate`: that of the client's local steps")
    if knowledge.optimizer == "adamw" and not adaptive:
        return Lacks(("optimizer",), "not applicable: AdamW's step is no gradient")
    if knowledge.optimizer == "adamw" and not knowledge.fresh:
        words = "not applicable: AdamW's step depends on moments that the client kept"
        return Lacks(("fresh",), words)
    if len(knowledge.learning_rate) > 1 and not (steps and knowledge.optimizer == "sgd"):
        count = len(knowledge.learning_rate)
        words = f"not applicable: {count} local steps, of which the later ones used other values"
        return Lacks(("learning_rate",), words)
    return None
