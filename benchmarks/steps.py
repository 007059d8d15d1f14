"""Split step of one client against the whole model's, and the masked-LM head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import nn

from benchmarks.inputs import Setting, prepared, with_own_model
from benchmarks.measure import Row, interleave, row_of
from benchmarks.plain import default_adamw
from fedbert import client, copies
from fedbert.client import Client
from fedbert.data.batches import Batch
from fedbert.fleet import InProcess
from fedbert.last_layer import Pass
from fedbert.messages import Channel
from fedbert.optim import clip_gradients, optimizer_for
from fedbert.prepare import Prepared
from fedbert.receiving import Receiver
from fedbert.roster import Roster
from fedbert.round import SERVER, Round, client_name
from fedbert.server import Server
from fedbert.strategies import split_step
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

RATE = 5e-4
TINY = Setting(clients=1, batch=8, length=64, rounds=1000)
MINILM = replace(TINY, batch=32, model="MiniLM")
MLM = replace(TINY, batch=16, task="mlm")


def whole_step(inputs: Prepared, setting: Setting, **options: Any) -> Callable[[], None]:
    """Return a step of transformers' own model and loss; options are AdamW's."""
    whole = with_own_model(inputs).split.whole
    whole.train()
    names = dict(whole.named_parameters())
    config = setting.config().training
    optimizer = default_adamw(names, config, **options)
    data, steps = inputs.clients[0], count()

    def step() -> None:
        batch = data.batch(next(steps))
        optimizer.zero_grad()
        whole(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
        ).loss.backward()
        nn.utils.clip_grad_norm_(names.values(), config.max_grad_norm)
        optimizer.step()

    return step


def unsplit_step(inputs: Prepared, setting: Setting) -> Callable[[], None]:
    """Return a step of our model in one piece, its masked-LM head at masked positions alone."""
    split = with_own_model(inputs).split
    split.whole.train()
    names = dict(split.whole.named_parameters())
    config = setting.config().training
    optimizer = optimizer_for(names, config)
    data, steps = inputs.clients[0], count()

    def step() -> None:
        batch: Batch = data.batch(next(steps))
        optimizer.zero_grad()
        torch.autograd.backward(split.head.loss(split.hidden(batch), batch.labels))
        clip_gradients(names.values(), config.max_grad_norm)
        optimizer.step()

    return step


def our_step(inputs: Prepared, setting: Setting) -> Callable[[], None]:
    """Return a split step with all four messages, through the parties of a real training."""
    config, own = setting.config(), with_own_model(inputs)
    data = own.clients[0]
    fleet = Roster(InProcess(), stay=True)
    noise = NoiseSource.secret()
    fleet.spawn(SERVER, lambda: Server(own.split, config, Defence("none"), noise))
    fleet.spawn(
        client_name(0), lambda: Client(data, own.split, config, Defence("none"), False, noise)
    )
    round_ = Round(
        0, (0,), (len(data.encoded),), 1, config, fleet, Channel(), Receiver(1.0, True, False)
    )
    round_.begin(0, with_body=False)
    if setting.strategy == "sequential":
        fleet.call(SERVER, "open_turn", 0)
    else:
        fleet.call(SERVER, "open_group", (0,))
    return lambda: split_step(round_, (0,), RATE)


@contextmanager
def whole_graph() -> Iterator[None]:
    """Train with a graph of all of T, whatever the head reads."""
    before = client.forward_pass

    def whole(*given: Any) -> Pass:
        return before(*given[:-1], few=False)

    client.forward_pass = copies.forward_pass = whole
    try:
        yield
    finally:
        client.forward_pass = copies.forward_pass = before


def few_tokens(repeats: int) -> list[Row]:
    """Return the lines of a last layer whose graph is of the first token alone."""
    rows = []
    for setting in (MINILM, replace(MINILM, dropout=0.1)):
        inputs = prepared(setting)
        step = our_step(inputs, setting)

        def as_before(step: Callable[[], None] = step) -> None:
            with whole_graph():
                step()

        pairs = interleave(as_before, step, repeats)
        label = f"split step, MiniLM {setting.batch} x {setting.length}, dropout {setting.dropout}"
        rows.append(row_of(label, "whole graph of T's last layer", pairs))
    return rows


def single(repeats: int) -> list[Row]:
    """Return the lines of a single client's step."""
    rows = []
    for setting, calls in ((TINY, 20), (MINILM, 1)):
        name = f"split step, {setting.model} {setting.batch} x {setting.length}"
        inputs = prepared(setting)
        # Handed-on moments keep the whole vocabulary: the price of the split alone.
        full = replace(setting, strategy="sequential", optimizer_state="hand_on")
        fused = whole_step(inputs, setting, fused=True)
        cases = (
            (f"{name}, all rows", "whole, fused AdamW", fused, full),
            (f"{name}, rows that occur", "whole, fused AdamW", fused, setting),
            (
                f"{name}, rows that occur",
                "whole, default AdamW",
                whole_step(inputs, setting),
                setting,
            ),
        )
        for label, baseline, whole, ours in cases:
            pairs = interleave(whole, our_step(inputs, ours), repeats, calls)
            rows.append(row_of(label, baseline, pairs, 1.1))
    return rows


def mlm_head(repeats: int) -> list[Row]:
    """Return the line of the masked-LM head at masked positions alone."""
    inputs = prepared(MLM)
    whole = whole_step(inputs, MLM, fused=True)
    pairs = interleave(whole, unsplit_step(inputs, MLM), repeats, 2)
    plain = interleave(whole_step(inputs, MLM), our_step(inputs, MLM), repeats, 2)
    return [
        row_of("masked-LM, tiny 16 x 64, head at masked", "whole, fused AdamW", pairs),
        row_of("masked-LM, tiny 16 x 64, split step", "whole, default AdamW", plain),
    ]
