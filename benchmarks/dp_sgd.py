"""DP-SGD step against the plain step, the noise it cannot do without, and Opacus.

Ours is measured whole: forward, backward, norms, noise, clipped sum, AdamW. The floor is the plain
step and filling a gradient's worth of Gaussian noise. Opacus' ghost mode is used as it must be:
its criterion around the loss, position and token-type ids for every example.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from benchmarks.inputs import SEED, SHAPES, VOCABULARY, Setting, encoded
from benchmarks.measure import Row, interleave, peak_gigabytes, row_of
from benchmarks.plain import default_adamw
from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.precision import autocast
from fedbert.seeding import scoped
from fedbert.split import cut
from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.engine import Recorder
from privacy.dp_sgd.mechanism import DPSGD
from privacy.dp_sgd.noising import noise_sums
from privacy.randomness.source import NoiseSource

MECHANISM = DPSGD(clip_norm=1.0, noise_multiplier=1.0, sample_rate=0.1)
MASKED = 0.15
WIDTHS = SHAPES | {"mini": (4, 256, 4, 1024)}
TINY = Setting(clients=1, batch=16, length=64)
CLASSIFICATION = (
    TINY,
    replace(TINY, batch=32, length=128),
    replace(TINY, batch=32, model="mini"),
    replace(TINY, batch=32, model="MiniLM"),
)
MLM = replace(TINY, task="mlm")
Step = Callable[[], None]


@dataclass(frozen=True)
class Inputs:
    """A transformers model of one's own, and the batches of one client."""

    setting: Setting
    whole: Any
    data: ClientData

    @property
    def names(self) -> dict[str, nn.Parameter]:
        return dict(self.whole.named_parameters())

    def optimizer(self) -> torch.optim.AdamW:
        return default_adamw(self.names, self.setting.config().training, fused=True)

    def own(self) -> "Inputs":
        return replace(self, whole=copy.deepcopy(self.whole))


def inputs_of(setting: Setting) -> Inputs:
    """Return an untrained BERT with the full vocabulary, without dropout."""
    layers, hidden, heads, wide = WIDTHS[setting.model]
    shape = BertConfig(
        vocab_size=VOCABULARY.size,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=wide,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    kind = BertForMaskedLM if setting.task == "mlm" else BertForSequenceClassification
    with scoped(SEED, "init"):
        whole = kind(shape).train()
    data = ClientData(0, encoded(setting, 0), VOCABULARY, setting.batch, SEED)
    return Inputs(setting, whole, data)


def plain_step(inputs: Inputs, noisy: bool = False) -> Step:
    """Return transformers' own step, with a gradient's worth of noise filled if noisy."""
    optimizer, steps = inputs.optimizer(), count()
    sizes = [p.numel() for p in inputs.names.values()] if noisy else []
    draws, room = NoiseSource.secret().draws("plain"), np.empty(max(sizes, default=0))

    def step() -> None:
        batch = inputs.data.batch(next(steps))
        optimizer.zero_grad()
        inputs.whole(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
        ).loss.backward()
        for size in sizes:
            draws.gaussian_into(room[:size], 1.0)
        optimizer.step()

    return step


def our_step(inputs: Inputs, config: Config | None = None) -> Step:
    """Return the step of our engine, the masked-LM head at masked positions alone.

    config: names the precision; without it, float32.
    """
    config = config or inputs.setting.config()
    split, names, size = cut(inputs.whole, 0), inputs.names, inputs.setting.batch
    ragged = ("head",) if split.head.kind == "mlm" else ()
    parts = {"bottom": split.bottom, "body": split.body, "head": split.head}
    recorder = Recorder(parts, names, ragged)
    optimizer, steps = inputs.optimizer(), count()
    grads, source = (
        {n: torch.empty_like(p, requires_grad=False) for n, p in names.items()},
        NoiseSource.secret(),
    )
    scale = 1.0 / (MASKED * inputs.setting.length) if ragged else 1.0

    def step() -> None:
        number = next(steps)
        batch = inputs.data.batch(number)
        for parameter in names.values():
            parameter.grad = None
        owner = (batch.labels != -100).nonzero()[:, 0] if ragged else None
        with recorder.record(owner):
            with autocast(config, private=True):
                losses = split.head.losses(split.hidden(batch), batch.labels)
            torch.autograd.backward(losses.sum() * scale)
        factors = clip_factors(recorder.squared_norms(size), MECHANISM.clip_norm)
        sums = recorder.lent_sum(factors / size)
        noise_sums(grads, sums, MECHANISM.noise_std / size, source.draws(number))
        recorder.clear()
        for name, parameter in names.items():
            parameter.grad = grads[name]
        optimizer.step()

    return step


def opacus_step(inputs: Inputs, ghost: bool) -> Step:
    """Return the step of Opacus: ghost clipping in two backward passes, or hooks."""
    from opacus import GradSampleModule
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    norm, size, steps = MECHANISM.clip_norm, inputs.setting.batch, count()
    settings = {
        "noise_multiplier": MECHANISM.noise_multiplier,
        "max_grad_norm": norm,
        "expected_batch_size": size,
    }
    if ghost:
        model: Any = GradSampleModuleFastGradientClipping(
            inputs.whole, max_grad_norm=norm, use_ghost_clipping=True
        )
        optimizer: Any = DPOptimizerFastGradientClipping(inputs.optimizer(), **settings)
        criterion: Any = DPLossFastGradientClipping(model, optimizer, nn.CrossEntropyLoss())
    else:
        model = GradSampleModule(inputs.whole)
        optimizer, criterion = DPOptimizer(inputs.optimizer(), **settings), F.cross_entropy

    def step() -> None:
        batch = inputs.data.batch(next(steps))
        places = torch.arange(batch.input_ids.shape[1]).repeat(size, 1)
        optimizer.zero_grad()
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            position_ids=places,
        ).logits
        criterion(logits, batch.labels).backward()
        optimizer.step()

    return step


STEPS: dict[str, Callable[[Inputs], Step]] = {
    "plain": plain_step,
    "floor": partial(plain_step, noisy=True),
    "ours": our_step,
    "Opacus ghost": partial(opacus_step, ghost=True),
    "Opacus hooks": partial(opacus_step, ghost=False),
}
# What ours may take of each: a ghost step must cost 1.5 of ours.
TARGETS = {"floor": 1.1, "Opacus ghost": 1 / 1.5}


def compare(repeats: int) -> list[Row]:
    """Return our DP-SGD step against every other one, for every setting."""
    rows = []
    for setting in (*CLASSIFICATION, MLM):
        inputs = inputs_of(setting)
        others = ["plain", "floor"]
        if setting is not MLM:  # Opacus' ghost mode does not know a tied decoder
            others += ["Opacus ghost"] + (["Opacus hooks"] if setting is TINY else [])
        calls = 4 if setting in (TINY, MLM) else 1
        for other in others:
            pairs = interleave(STEPS[other](inputs.own()), our_step(inputs.own()), repeats, calls)
            target = 0.4 if setting is MLM and other == "plain" else TARGETS.get(other)
            rows.append(row_of(title(setting), other, pairs, target))
    return rows


def title(setting: Setting) -> str:
    kind = "masked-LM" if setting.task == "mlm" else "classification"
    return f"DP-SGD step, {kind}, {setting.model} {setting.batch} x {setting.length}"


def _some_steps(setting: Setting, name: str | None) -> None:
    torch.set_num_threads(1)
    inputs = inputs_of(setting)
    if name is not None:
        step = STEPS[name](inputs)
        for _ in range(4):
            step()


def memory() -> list[str]:
    """Return our step's peak memory above the model's, against the plain step's."""
    lines = []
    for setting in (*CLASSIFICATION, MLM):
        at_rest, plain, ours = (
            peak_gigabytes(partial(_some_steps, setting, name)) for name in (None, "plain", "ours")
        )
        ratio = (ours - at_rest) / (plain - at_rest)
        verdict = "met" if ratio <= 1.5 else "MISSED"
        lines.append(
            f"{title(setting)}: peak above the model {1000 * (ours - at_rest):.0f} MB, plain "
            f"{1000 * (plain - at_rest):.0f} MB, ratio {ratio:.2f} (target 1.5 {verdict})"
        )
    return lines
