"""Whole `parallel` round against the plain loop: time, equal weights, peak memory."""

import time
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from benchmarks.inputs import Setting, prepared, with_own_model
from benchmarks.measure import Row, peak_gigabytes, row_of, seconds
from benchmarks.plain import PlainLoop
from fedbert.messages import ClientParts, ClientUpdate, Message, dense
from fedbert.trainer import Trained, train
from privacy.defence import Defence

TOLERANCE = 1e-5
GIGABYTES = 1.0
SIXTEEN = Setting(clients=16, batch=8, length=64)
THIRTY_TWO = Setting(clients=32, batch=4, length=32)


@dataclass
class Pacer:
    """Listens to our training and runs a round of the plain loop before each of its rounds.

    So both are interleaved in one process, and what is timed is the trainer itself, from one
    round's first message to the next one's.
    """

    loop: PlainLoop
    pairs: list[tuple[float, float]] = field(default_factory=list)
    plain: float = 0.0
    started: float = 0.0

    def hear(self, message: Message) -> None:
        """Take the time at every round's first message."""
        if isinstance(message, ClientParts) and message.client == 0:
            self.stop()
            self.plain = seconds(self.loop.run_round)
            self.started = time.process_time()

    def stop(self) -> None:
        """End our round, if one is running."""
        if self.started:
            self.pairs.append((self.plain, time.process_time() - self.started))


def paced(setting: Setting, repeats: int) -> tuple[Pacer, Trained]:
    """Return both trainings' times and our result; the first and the last round do not count."""
    setting = replace(setting, rounds=repeats + 2)
    config, inputs = setting.config(), prepared(setting)
    pacer = Pacer(PlainLoop(with_own_model(inputs), config.training))
    trained = train(config, inputs, Defence("none"), listeners=[pacer])
    return pacer, trained


def difference(pacer: Pacer, trained: Trained) -> float:
    """Return the largest absolute difference between both trainings' weights."""
    ours = trained.split.whole.state_dict()
    return max(float((pacer.loop.values[n] - ours[n]).abs().max()) for n in ours)


@dataclass
class Widest:
    """Listens for client updates and compares what the aggregator can see with the whole table."""

    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def hear(self, message: Message) -> None:
        """Take note of the shape of the word table in a client's update."""
        if isinstance(message, ClientUpdate):
            word = next(v for n, v in message.tensors.items() if "word_embeddings" in n)
            self.shapes.add(dense(word).shape)


def aggregator_view() -> set[tuple[int, ...]]:
    """Return the shapes of the word tables that an aggregator is sent."""
    setting = replace(SIXTEEN, clients=2, steps=1)
    widest = Widest()
    train(setting.config(), prepared(setting), Defence("none"), listeners=[widest])
    return widest.shapes


def run_ours(setting: Setting) -> None:
    """Train as the toolkit does."""
    torch.set_num_threads(1)
    train(setting.config(), prepared(setting), Defence("none"))


def run_plain(setting: Setting) -> None:
    """Train as the plain loop does."""
    torch.set_num_threads(1)
    loop = PlainLoop(prepared(setting), setting.config().training)
    for _ in range(setting.rounds):
        loop.run_round()


def round_row(setting: Setting, target: float, repeats: int) -> Row:
    """Return the line of one setting.

    Raises:
        RuntimeError: if without dropout the weights differ by more than the tolerance.
    """
    pacer, trained = paced(setting, repeats)
    note = ""
    if setting.dropout == 0:
        largest = difference(pacer, trained)
        if not largest <= TOLERANCE:
            raise RuntimeError(f"expected equal weights to {TOLERANCE}, got difference={largest}")
        note = f"largest weight difference {largest:.1e}"
    name = f"round, {setting.clients} clients, {setting.batch} x {setting.length}"
    return row_of(
        f"{name}, dropout {setting.dropout:g}", "plain loop", pacer.pairs[1:], target, note
    )


def sixteen(repeats: int) -> list[Row]:
    """Return the lines for 16 clients."""
    return [round_row(replace(SIXTEEN, dropout=rate), 0.35, repeats) for rate in (0.0, 0.1)]


def thirty_two(repeats: int) -> list[Row]:
    """Return the lines for 32 clients."""
    return [round_row(replace(THIRTY_TWO, dropout=rate), 0.2, repeats) for rate in (0.0, 0.1)]


def memory() -> list[str]:
    """Return sentences about peak memory with 32 clients, and about the aggregator's view."""
    setting = replace(THIRTY_TWO, rounds=2)
    idle = peak_gigabytes(partial(prepared, replace(setting, clients=1)))
    ours, plain = (peak_gigabytes(partial(work, setting)) for work in (run_ours, run_plain))
    verdict = "met" if ours <= GIGABYTES else "MISSED"
    return [
        f"peak memory, 32 clients: ours {ours:.2f} GB, plain loop {plain:.2f} GB, "
        f"imports and one model {idle:.2f} GB; target {GIGABYTES:g} GB {verdict}",
        f"word tables the aggregator is sent: {sorted(aggregator_view())}",
    ]
