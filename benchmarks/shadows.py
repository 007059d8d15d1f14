"""Sixteen shadow models against the plain loop that trains them one by one.

The plain loop: a copy of the whole transformers model with the full vocabulary, torch's AdamW as it
comes. Ours: the trainer as `evaluation.adversary.shadow_models` calls it, its setting up and
reading out included.
Both start from the same model and see the same batches; every shadow is one pair.
"""

import copy
from dataclasses import replace

from torch import Tensor, nn

from benchmarks.inputs import SEED, VOCABULARY, Setting, prepared
from benchmarks.measure import Row, row_of, seconds
from benchmarks.plain import default_adamw
from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.data.repeats import coin_groups
from fedbert.optim import learning_rate
from fedbert.prepare import Prepared, flips
from fedbert.seeding import numpy_rng
from fedbert.split import cut
from fedbert.trainer import train
from privacy.defence import Defence

TOLERANCE = 1e-5
SHADOWS = 16
SETTING = Setting(clients=1, batch=16, length=32, strategy="centralised", steps=64, examples=1024)


def half(setting: Setting, inputs: Prepared, number: int) -> Prepared:
    """Return the inputs of one shadow: its half of the pool."""
    rng = numpy_rng(SEED, "shadow pair", number // 2)
    coin = flips(coin_groups(inputs.pool), rng)
    chosen = inputs.pool.take((coin if number % 2 == 0 else ~coin).nonzero()[0])
    data = ClientData(0, chosen, VOCABULARY, setting.batch, SEED + number)
    return replace(inputs, clients=(data,))


def plain_shadow(inputs: Prepared, config: Config) -> dict[str, Tensor]:
    """Return the weights after a training as one writes it without a thought for speed."""
    own, (data,) = cut(copy.deepcopy(inputs.split.whole), 0), inputs.clients
    own.whole.train()
    optimizer = default_adamw(dict(own.whole.named_parameters()), config.training)
    total = config.training.rounds * config.training.local_steps
    for step in range(total):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.training, step, total)
        batch = data.batch(step)
        optimizer.zero_grad()
        own.whole(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
        ).loss.backward()
        for part in (own.client_names, own.body_names):
            nn.utils.clip_grad_norm_(part.values(), config.training.max_grad_norm)
        optimizer.step()
    weights: dict[str, Tensor] = own.whole.state_dict()
    return weights


def sixteen(repeats: int) -> list[Row]:
    """Return the line of so many shadows; `repeats` pairs are enough below sixteen.

    Raises:
        RuntimeError: if the weights of a pair differ by more than the tolerance.
    """
    inputs, config = prepared(SETTING), SETTING.config()
    pairs, largest = [], 0.0
    for number in range(-1, min(SHADOWS, 3 * repeats)):  # the first is not measured
        own = half(SETTING, inputs, max(number, 0))
        pair, difference = _pair(own, config)
        largest = max(largest, difference)
        if not largest <= TOLERANCE:
            raise RuntimeError(f"expected equal weights to {TOLERANCE}, got difference={largest}")
        if number >= 0:
            pairs.append(pair)
    note = f"{len(pairs)} shadows; largest weight difference {largest:.1e}"
    return [row_of("shadow models, tiny 16 x 32", "plain loop, one by one", pairs, 0.4, note)]


def _pair(inputs: Prepared, config: Config) -> tuple[tuple[float, float], float]:
    """Return the seconds of both, and how far their weights lie apart at most."""
    found: list[dict[str, Tensor]] = []
    before = seconds(lambda: found.append(plain_shadow(inputs, config)))
    after = seconds(lambda: found.append(our_shadow(inputs, config)))
    gap = max(float((value - found[1][name]).abs().max()) for name, value in found[0].items())
    return (before, after), gap


def our_shadow(inputs: Prepared, config: Config) -> dict[str, Tensor]:
    """Return the weights after a training as the toolkit does it."""
    trained = train(config, inputs, Defence("none"))
    weights: dict[str, Tensor] = trained.split.whole.state_dict()
    return weights
