"""Frozen E against E in every step, and few clients of very many against few."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from benchmarks.inputs import Setting, prepared, with_own_model
from benchmarks.measure import Row, interleave, peak_gigabytes, row_of
from benchmarks.rounds import run_ours
from benchmarks.steps import whole_graph
from fedbert import frozen
from fedbert.messages import ClientParts, Message
from fedbert.prepare import Prepared
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.gaussian import Gaussian

EPOCHS = Setting(
    clients=1, batch=32, length=32, model="MiniLM", examples=128, steps=4, rounds=5,
    cut=5, frozen=True, ragged=True,
)  # fmt: skip
HEAD = replace(EPOCHS, cut=6)
MANY = Setting(
    clients=10_000, few=256, batch=8, length=32, examples=32, steps=2, optimizer_state="reset"
)
SIXTEEN = replace(MANY, clients=16, few=None)
GIGABYTES = 1.5
NOISE = Gaussian(10.0, 0.1, "token")


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Compute A in every step."""
    before, frozen.KEPT_BYTES = frozen.KEPT_BYTES, 0
    try:
        yield
    finally:
        frozen.KEPT_BYTES = before


def anew(setting: Setting, inputs: Prepared, defence: Defence) -> None:
    """Train with E computed in every step."""
    with nothing_kept():
        train(setting.config(), inputs, defence)


def anew_whole(setting: Setting, inputs: Prepared, defence: Defence) -> None:
    """Train with E computed in every step, and a graph of all of T."""
    with whole_graph():
        anew(setting, inputs, defence)


def five_epochs(repeats: int) -> list[Row]:
    """Return the lines of five epochs behind a frozen E."""
    none, noise = Defence("none"), Defence("noise", smashed=NOISE)
    once = replace(noise, one_shot=True)
    rows = []
    fedavg = replace(EPOCHS, strategy="fedavg")
    for name, setting, baseline, before, after, target in (
        ("cut 5 of 6", EPOCHS, anew_whole, none, none, 0.3),
        ("cut 5 of 6", EPOCHS, anew, none, none, 0.3),
        ("cut 5 of 6, noise once", EPOCHS, anew, noise, once, 0.3),
        ("cut 5 of 6, fedavg", fedavg, anew, none, none, 0.3),
        ("cut 6 of 6", HEAD, anew, none, none, None),
    ):
        inputs = prepared(setting)
        pairs = interleave(
            partial(baseline, setting, inputs, before),
            partial(train, setting.config(), inputs, after),
            repeats,
        )
        label = f"five epochs, MiniLM {setting.batch} x {setting.length}, {name}"
        told = "E in every step" + (", whole graph" if baseline is anew_whole else "")
        rows.append(row_of(label, told, pairs, target))
    return rows


@dataclass
class Laps:
    """Listens for the beginnings of rounds and takes the time of each.

    inputs: of a training of `setting`, which runs before each round; other: the mean of its rounds.
    """

    setting: Setting = SIXTEEN
    inputs: Prepared | None = None
    seconds: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)
    started: float = 0.0
    number: int = -1

    def hear(self, message: Message) -> None:
        """Take the time at every round's first message."""
        if not isinstance(message, ClientParts) or message.round == self.number:
            return
        self.stop()
        self.number = message.round
        if self.inputs is not None:
            own = Laps()
            inputs = with_own_model(self.inputs)
            train(self.setting.config(), inputs, Defence("none"), listeners=[own])
            self.other.append(sum(own.seconds) / len(own.seconds))
        self.started = time.process_time()

    def stop(self) -> None:
        """End a round, if one is running."""
        if self.started:
            self.seconds.append(time.process_time() - self.started)


def absent(repeats: int) -> list[Row]:
    """Return the line of a client's turn, where few of very many clients take part."""
    many = replace(MANY, rounds=repeats + 2)
    sixteen = replace(SIXTEEN, rounds=9)
    laps = Laps(setting=sixteen, inputs=prepared(sixteen))
    train(many.config(), prepared(many), Defence("none"), listeners=[laps])
    pairs = [
        (before / 16, after / 256)
        for before, after in zip(laps.other[1:], laps.seconds[1:], strict=False)
    ]
    return [row_of("turn of a client, 256 of 10,000", "16 of 16", pairs, 1.1)]


def memory() -> list[str]:
    """Return a sentence about peak memory with 10,000 clients."""
    many = replace(MANY, rounds=2)
    idle = peak_gigabytes(partial(prepared, many))
    ours = peak_gigabytes(partial(run_ours, many))
    verdict = "met" if ours <= GIGABYTES else "MISSED"
    return [
        f"peak memory, 256 of 10,000 clients: {ours:.2f} GB, imports, data and one model "
        f"{idle:.2f} GB; target {GIGABYTES:g} GB {verdict}"
    ]
