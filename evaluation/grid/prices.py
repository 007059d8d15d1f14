"""Prices of cells: what the data at hand ask for, by what a step takes on this machine.

A frozen encoder reads each example once, and a step then begins from what is kept; texts are as
long as they are, not as `max_length` allows; a shadow model is one more training and its answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.grid.catalogue import FAMILIES
from evaluation.grid.durations import PREPARE, WATCHING, asked, attacked
from evaluation.grid.spec import Cell
from fedbert.setting_types import ONE_MESSAGE

MASKINGS = 8
"""Of a masked-LM candidate."""
BLIND = 0.0035
"""Seconds of judging, for each candidate: of the classifier that sees its text alone, above all."""
JUDGING = 2 * 10**8
"""Bytes of what judging needs beside a training: libraries, answers, that classifier."""
HEAD = 1.0
"""Seconds of all that one message needs beside its encodings."""


@dataclass(frozen=True)
class Texts:
    """What of a cell's data its price goes by, in tokens as they are.

    batch: of a step's batch, padding included. held: of all examples that clients hold. examples:
    how many those are. longest: of the pool's examples. judged: of all evaluation splits. public:
    of the public text of a training by one message.
    """

    batch: float
    held: float
    examples: int
    longest: float
    judged: float
    public: float = 0.0

    @property
    def mean(self) -> float:
        """Tokens of an example."""
        return self.held / max(1, self.examples)


@dataclass(frozen=True)
class Speed:
    """What this machine takes, in seconds: for 1,000 tokens of a step (where E is frozen: from what
    is kept), of an encoding by a frozen E and of an answer; for a client's turn beside its steps;
    for a training beside its turns.

    memory: bytes of a process at the end of a short training. client: of each client more.
    """

    step: float
    encode: float
    answer: float
    turn: float
    start: float
    memory: int = 0
    client: int = 0


@dataclass(frozen=True)
class Price:
    """Seconds of a cell, by phase. shared: those of encodings that cells of one seed share."""

    phases: Mapping[str, float]
    shared: float = 0.0

    @property
    def seconds(self) -> float:
        """All of them."""
        return sum(self.phases.values()) + self.shared


def price(cell: Cell, texts: Texts, speed: Speed) -> Price:
    """Return what a cell takes on a machine of this speed.

    Attacks are priced by the catalogue, for as many tokens as the messages have.
    """
    training, attacks, wanted = cell.config.training, cell.attacks, asked(cell)
    mlm = cell.config.data.task == "mlm"
    once, each = _training(cell, texts, speed)
    asks = 2 * attacks.candidates + attacks.population
    if any(name in WATCHING for name in wanted["membership"]):
        each += (training.rounds + 1) * asks * texts.mean / 1000 * 2 * speed.answer
    answers = asks * texts.mean * (MASKINGS if mlm else 1) / 1000 * speed.answer
    found = {"prepare": PREPARE, "train": each, "evaluate": texts.judged / 1000 * speed.answer}
    for family in FAMILIES:
        if family not in ("backward", "membership"):
            found[family] = attacked(cell, family, texts.batch)
    found["membership"] = (1 + attacks.shadows) * answers if wanted["membership"] else 0.0
    if wanted["membership"]:
        found["membership"] += attacks.shadows * (each + once) + BLIND * asks
    return Price(found, once)


def _training(cell: Cell, texts: Texts, speed: Speed) -> tuple[float, float]:
    """Return the seconds of the encodings that a training keeps, and of all else in it."""
    training, data = cell.config.training, cell.config.data
    if training.strategy == ONE_MESSAGE:
        return (texts.held + texts.public) / 1000 * speed.encode, speed.start + HEAD
    senders = training.clients_per_round or data.clients
    steps = training.rounds * training.local_steps * senders
    each = steps * texts.batch / 1000 * speed.step
    turns = training.rounds * senders * speed.turn + speed.start
    if not cell.config.model.freeze_embeddings:
        return 0.0, each + turns
    passes = steps * training.batch_size / max(1, texts.examples)
    if passes > 1:
        return texts.held / 1000 * speed.encode, each + turns
    return 0.0, each + turns + steps * texts.batch / 1000 * speed.encode


def memory(cell: Cell, texts: Texts, speed: Speed, width: int) -> int:
    """Return the bytes that a process takes at its peak; width: of a row of A."""
    training, data = cell.config.training, cell.config.data
    stays = training.clients_per_round in (None, data.clients)
    kept = 4 * width * texts.held if cell.config.model.freeze_embeddings else 0.0
    return round(speed.memory + JUDGING + (data.clients if stays else 1) * speed.client + kept)
