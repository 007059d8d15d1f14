"""Precision: a step in bf16 against the same step in float32, with and without DP-SGD."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Literal

import torch

from benchmarks import dp_sgd
from benchmarks.inputs import Setting, prepared, with_own_model
from benchmarks.measure import Row, interleave, row_of
from fedbert.config import Config
from fedbert.optim import clip_gradients, optimizer_for
from fedbert.precision import autocast, processor_units
from fedbert.prepare import Prepared

MINILM = Setting(clients=1, batch=32, length=64, model="MiniLM", rounds=1000)
BASE = replace(MINILM, batch=16, length=128, model="base")
PLAIN = ((MINILM, 0.45), (replace(MINILM, dropout=0.1), None), (BASE, 0.3))
PRIVATE = ((MINILM, 0.55),)
NONE_HERE = "no bf16 here: neither AMX nor AVX512-BF16"


Kind = Literal["float32", "bf16"]
KINDS: tuple[Kind, Kind] = ("float32", "bf16")


def in_precision(setting: Setting, name: Kind) -> Config:
    """Return the setting's configuration in another precision."""
    config = setting.config()
    return replace(config, training=replace(config.training, precision=name))


def plain_step(inputs: Prepared, setting: Setting, name: Kind) -> Callable[[], None]:
    """Return a step of our model in one piece: forward, backward, gradient clip, AdamW."""
    split, config = with_own_model(inputs).split, in_precision(setting, name)
    split.whole.config._attn_implementation = "sdpa"
    split.whole.train()
    names = dict(split.whole.named_parameters())
    optimizer = optimizer_for(names, config.training)
    data, steps = inputs.clients[0], count()

    def step() -> None:
        batch = data.batch(next(steps))
        optimizer.zero_grad()
        with autocast(config):
            loss = split.head.loss(split.hidden(batch), batch.labels)
        torch.autograd.backward(loss)
        clip_gradients(names.values(), config.training.max_grad_norm)
        optimizer.step()

    return step


def compare(repeats: int) -> list[Row]:
    """Return the lines of bf16 against float32; where nothing multiplies bf16, what it costs."""
    note = processor_units() or NONE_HERE
    rows = []
    for setting, target in PLAIN:
        inputs = prepared(setting)
        wide, narrow = (plain_step(inputs, setting, name) for name in KINDS)
        pairs = interleave(wide, narrow, repeats)
        dropout = f", dropout {setting.dropout}" if setting.dropout else ""
        label = f"bf16 step, {setting.model} {setting.batch} x {setting.length}{dropout}"
        rows.append(row_of(label, "float32", pairs, target, note))
    for setting, target in PRIVATE:
        own = dp_sgd.inputs_of(setting)
        wide, narrow = (dp_sgd.our_step(own.own(), in_precision(setting, name)) for name in KINDS)
        label = f"bf16 DP-SGD step, {setting.model} {setting.batch} x {setting.length}"
        rows.append(row_of(label, "float32", interleave(wide, narrow, repeats), target, note))
    return rows
