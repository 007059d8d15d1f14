"""Calibration: a few steps of a grid's own trainings, timed, and what its data ask for."""

import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from evaluation.adversary.inference import batches, by_length, predict
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.prices import Speed, Texts, memory, price
from evaluation.grid.spec import Cell
from fedbert.config import Config
from fedbert.data.batches import Encoded
from fedbert.data.client_data import ClientData
from fedbert.fault_settings import NO_FAULTS
from fedbert.frozen import unvaried
from fedbert.noise import noise_of
from fedbert.prepare import Prepared, poisson_sampled
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import give_back_memory, train
from privacy.defence import Defence

Clock = Callable[[], float]
BUDGET = 20.0
"""Seconds after which no further kind of training is timed; it counts as the nearest that was."""
PARTIES, FEW, MORE = 2, 2, 5
"""How many clients a timed training has, and how many local steps: it is run with either."""
SLOW = ("update", "training", "penalty")
"""Places where mechanisms take time beside a step's own."""
DRAWS = 64
"""Batches that are drawn to see how long they are."""


def texts_of(cell: Cell, prepared: Prepared) -> Texts:
    """Return what a cell's data ask for."""
    lengths = np.concatenate([each.encoded.lengths for each in prepared.clients])
    rng, size = np.random.default_rng(0), cell.config.training.batch_size
    drawn = rng.choice(lengths, (DRAWS, size))
    public = 0.0
    if cell.config.training.strategy == ONE_MESSAGE:
        public = float(cell.config.message.public_size * lengths.mean())
    return Texts(
        batch=float(drawn.max(1).mean() * size),
        held=float(lengths.sum()),
        examples=len(lengths),
        longest=float(lengths.max()),
        judged=float(sum(each.lengths.sum() for each in prepared.evaluation.values())),
        public=public,
    )


def kind_of(cell: Cell) -> tuple[object, ...]:
    """Return what cells have in common whose steps take the same time; the nearest come first."""
    config, training = cell.config, cell.config.training
    mechanisms = tuple(
        (place, spec.name) for place in SLOW if (spec := getattr(cell.defence, place)) is not None
    )
    step = (training.batch_size, training.micro_batch, training.optimizer, training.precision)
    data = replace(config.data, partition="iid", clients=1)
    return config.model, training.strategy, data, step, mechanisms


@dataclass
class Calibration:
    """Speeds by kind of training, each timed where there is time left, or that of the nearest.

    work: a clock that stands while others have the processor, by which steps are compared; what it
    says is stretched by how much faster the wall's ran over all of them.
    """

    work: Clock = time.process_time
    wall: Clock = time.perf_counter
    budget: float = BUDGET

    def speeds(
        self, cells: Iterable[Cell], make: Callable[[Config], Prepared]
    ) -> "dict[str, Speed]":
        """Return the speed of every cell, by its id; none where nothing could be timed."""
        found, kinds = dict[tuple[object, ...], Speed](), list(cells)
        worked, began = self.work(), self.wall()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for cell in sorted(kinds, key=lambda each: len(kind_of(each)[-1]) > 0):  # type: ignore[arg-type]
                kind = kind_of(cell)
                if kind in found or (found and self.wall() - began > self.budget):
                    continue
                found[kind] = self._timed(cell, make(cell.config))
        finally:
            torch.set_num_threads(threads)
        spent = self.work() - worked
        busy = max(1.0, (self.wall() - began) / spent) if spent > 0 else 1.0
        slowed = {kind: _slowed(each, busy) for kind, each in found.items()}
        return {cell.id: _nearest(slowed, kind_of(cell)) for cell in kinds} if found else {}

    def _timed(self, cell: Cell, prepared: Prepared) -> Speed:
        """Return the speed of one kind of training."""
        facts = facts_of(cell.config, prepared, cell.defence, cell.delta)
        defence = make_defence(cell.defence, facts)
        few = _few(cell.config, prepared)
        answer = self._answering(cell, prepared)
        encode = self._encoding(cell.config, few) if cell.config.model.freeze_embeddings else 0.0
        if cell.config.training.strategy == ONE_MESSAGE:
            return Speed(answer, encode or answer, answer, 0.0, 1.0, _memory())
        parties = len(few.clients)
        tokens = _padded(few) / 1000
        self._training(cell, few, defence, 1, FEW)  # what is made once, is made
        one = self._training(cell, few, defence, 1, FEW)
        longer = self._training(cell, few, defence, 1, MORE)
        again = self._training(cell, few, defence, 2, FEW)
        step = max(1e-6, (longer - one) / ((MORE - FEW) * parties))
        turn = max(0.0, (again - one) / parties - FEW * step)
        start = max(0.0, one - parties * (turn + FEW * step) - tokens * parties * encode)
        size = sum(p.numel() for p in prepared.split.whole.parameters()) * 4
        give_back_memory()
        return Speed(step / tokens, encode, answer, turn, start, _memory(), 3 * size // 10)

    def _training(
        self, cell: Cell, few: Prepared, defence: Defence, rounds: int, steps: int
    ) -> float:
        """Return the seconds of a short training."""
        config = cell.config
        config = replace(
            config,
            training=replace(
                config.training, rounds=rounds, local_steps=steps, clients_per_round=None
            ),
            data=replace(config.data, clients=len(few.clients)),
            faults=NO_FAULTS,
        )
        noise = noise_of(config, few, defence, cell.asked())
        inputs = few if defence.training is None else poisson_sampled(few, noise)
        began = self.work()
        train(config, inputs, defence, noise=noise)
        return self.work() - began

    def _answering(self, cell: Cell, prepared: Prepared) -> float:
        """Return the seconds for 1,000 tokens of answers."""
        every = next(iter(prepared.evaluation.values()), prepared.pool)
        middle = by_length(every, np.arange(len(every)))
        middle = middle[max(0, len(middle) // 2 - 32) :][:64]
        shown = list(batches(prepared, every, middle, 0, "calibration"))
        predict(prepared.split, shown[:1])
        began = self.work()
        predict(prepared.split, shown)
        return (self.work() - began) * 1000 / sum(b.attention_mask.numel() for b in shown)

    def _encoding(self, config: Config, few: Prepared) -> float:
        """Return the seconds for 1,000 tokens of encoding by a frozen E."""
        batch = few.clients[0].batch(0)
        unvaried(few.split.bottom, batch, config)
        began = self.work()
        unvaried(few.split.bottom, batch, config)
        return (self.work() - began) * 1000 / batch.attention_mask.numel()


def _few(config: Config, prepared: Prepared) -> Prepared:
    """Return inputs with few clients, who hold a batch each."""
    clients = prepared.clients[:PARTIES]
    return replace(
        prepared, clients=tuple(_trimmed(c, config.training.batch_size) for c in clients)
    )


def _trimmed(data: ClientData, size: int) -> ClientData:
    kept: Encoded = data.encoded.take(np.arange(min(size, len(data.encoded))))
    return replace(data, encoded=kept, pool_positions=data.in_pool[: len(kept)])


def _padded(few: Prepared) -> float:
    """Return the tokens of a client's batch, padding included."""
    sizes = [len(each.encoded) * int(each.encoded.lengths.max()) for each in few.clients]
    return float(np.mean(sizes))


def _memory() -> int:
    """Return the most bytes that this process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _slowed(speed: Speed, busy: float) -> Speed:
    """Return a speed of a machine that others keep busy."""
    times = ("step", "encode", "answer", "turn", "start")
    return replace(speed, **{name: getattr(speed, name) * busy for name in times})


def _nearest(found: "dict[tuple[object, ...], Speed]", kind: tuple[object, ...]) -> Speed:
    """Return the speed of the kind that has most in common with one, from the model on."""
    return found[max(found, key=lambda each: [a == b for a, b in zip(each, kind, strict=True)])]


@dataclass(frozen=True)
class Forecast:
    """What cells will take, in seconds by id, and the bytes of the largest one's process."""

    seconds: dict[str, float]
    memory: int


def forecast(
    cells: Iterable[Cell],
    make: Callable[[Config], Prepared],
    calibration: Calibration | None = None,
) -> Forecast:
    """Return what cells will take on this machine, by a few timed steps of each kind.

    make: returns a cell's inputs. Encodings that cells of one seed share are counted with the
    first of them.
    """
    every = list(cells)
    speeds = (calibration or Calibration()).speeds(every, make)
    seconds, most, encoded = dict[str, float](), 0, set[object]()
    texts: dict[object, Texts] = {}
    for cell in every:
        config = cell.config
        size, strategy = config.training.batch_size, config.training.strategy
        own = (config.model, replace(config.data, partition="iid"), size, strategy)
        if own not in texts:
            texts[own] = texts_of(cell, make(config))
        told = price(cell, texts[own], speeds[cell.id])
        shares = (config.model, config.data, config.seed, strategy)
        seconds[cell.id] = told.seconds - (told.shared if shares in encoded else 0.0)
        encoded.add(shares)
        width = make(config).split.whole.config.hidden_size
        most = max(most, memory(cell, texts[own], speeds[cell.id], width))
    return Forecast(seconds, most)
