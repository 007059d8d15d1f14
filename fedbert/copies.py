"""Server body T as it runs: one plain module, or several clients' copies stacked in one."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from fedbert.config import Config
from fedbert.last_layer import Pass, forward_pass, has_dropout
from fedbert.messages import (
    Array,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    SmashedData,
    SmashedGradient,
    to_array,
    to_tensor,
)
from fedbert.optim import (
    clip_gradients,
    load_moments,
    moments,
    optimizer_for,
    set_learning_rate,
)
from fedbert.pooling import through_mean
from fedbert.precision import autocast
from fedbert.private_step import PrivateStep
from fedbert.seeding import coins, generator, scoped
from fedbert.split import Body
from fedbert.stacked import Ragged, StackedPass, run_stacked, stack, unstack

STACK_PARAMETERS = 16_000_000
"""Copies of T are stacked up to this many parameters: a larger body gains nothing from it."""

STACK_VALUES = 2**20
"""And up to this many values of the widest layer's output: beyond, they fall out of the cache."""


def stack_size(parameters: int, width: int, config: Config) -> int:
    """Return how many copies of a T to run stacked; width: of its widest layer's output."""
    wide = config.training.batch_size * config.data.max_length * width
    most = min(STACK_PARAMETERS // max(parameters, 1), STACK_VALUES // wide)
    return max(1, most) if parameters else 1


class Copies(Protocol):
    """The bodies of one or more clients during their local steps."""

    def restart(self, values: Mapping[str, Array]) -> None:
        """Set the parameters of every copy; moments stay."""

    def forward(self, messages: Sequence[SmashedData]) -> list[HiddenStates]:
        """Return Z for every client's A."""

    def backward(self, messages: Sequence[HiddenGradient], rate: float) -> list[SmashedGradient]:
        """Take every client's G_Z, update T at this learning rate, return every G_A."""

    def values(self) -> list[dict[str, Array]]:
        """Return every copy's parameters."""

    def moments(self) -> list[dict[str, Array]]:
        """Return every copy's optimiser moments."""


class PlainCopy:
    """One body, run by transformers' own layers."""

    def __init__(
        self,
        body: Body,
        names: Mapping[str, nn.Parameter],
        config: Config,
        training: PrivateStep | None = None,
    ) -> None:
        """Take over a body; `names` are its parameters by transformers' name; training: DP-SGD."""
        self.body, self.names, self.config, self.private = body, names, config, training
        self.optimizer = optimizer_for(names, config.training) if names else None
        self.seed = coins(config.seed, None if training is None else training.share.noise)
        self._graph: tuple[Tensor, Pass] | None = None

    def load(self, values: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Set the parameters, and the moments (empty: start anew)."""
        self.restart(values)
        if self.optimizer is not None:
            load_moments(self.optimizer, self.names, state)

    def restart(self, values: Mapping[str, Array]) -> None:
        """Set the parameters; moments stay."""
        with torch.no_grad():
            for name, parameter in self.names.items():
                parameter.copy_(to_tensor(values[name]))

    def forward(self, messages: Sequence[SmashedData]) -> list[HiddenStates]:
        """Return Z for the one client's A."""
        (m,) = messages
        device = self.config.training.device
        a = to_tensor(m.activations, device).requires_grad_(not self.config.model.freeze_embeddings)
        mask = to_tensor(m.attention_mask, device)
        self.body.train()
        if self.optimizer is not None:  # gradients are as large as T: not while a graph is made
            self.optimizer.zero_grad(set_to_none=True)
        quiet = self.private is None or len(a) == 0
        recorded = nullcontext() if quiet else self._private().record()
        with (
            scoped(self.seed, "body", m.client, m.step, device=device),
            autocast(self.config, self.private is not None),
            recorded,
        ):
            few = self.private is None
            done = forward_pass(self.body, a, mask, self.config, few) if len(a) else Pass(a)
        self._graph = (a, done)
        return [HiddenStates(m.client, m.round, m.step, to_array(done.z))]

    def backward(self, messages: Sequence[HiddenGradient], rate: float) -> list[SmashedGradient]:
        """Take the one client's G_Z, update T, return G_A (none where E is frozen)."""
        (m,) = messages
        if self._graph is None:
            raise RuntimeError("expected a forward message before a backward message")
        a, done = self._graph
        self._graph = None
        done.backward(to_tensor(m.gradient, self.config.training.device), self.config)
        if self.optimizer is not None and self.private is None:
            clip_gradients(self.names.values(), self.config.training.max_grad_norm)
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
        if a.grad is None:
            return []
        return [SmashedGradient(m.client, m.round, m.step, to_array(a.grad))]

    def norms(self, message: HiddenGradient) -> ExampleNorms:
        """Return what each example's gradient of T measures, after the backward pass."""
        squared = self._private().squared_norms(len(message.gradient))
        return ExampleNorms(message.client, message.round, message.step, to_array(squared))

    def apply(self, message: ClipFactors, rate: float) -> float:
        """Update T by the clipped and noised gradient; return the noise's expected squared norm."""
        noise = self._private().gradients(to_tensor(message.factors), message.client, message.step)
        if self.optimizer is not None:
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return noise

    def _private(self) -> PrivateStep:
        if self.private is None:
            raise RuntimeError("expected a defence with DP-SGD")
        return self.private

    def values(self) -> list[dict[str, Array]]:
        """Return the parameters."""
        return [{name: to_array(p) for name, p in self.names.items()}]

    def moments(self) -> list[dict[str, Array]]:
        """Return the optimiser's moments."""
        return [{} if self.optimizer is None else moments(self.optimizer, self.names)]


class StackedCopies:
    """Several clients' bodies in one computation; same results as one by one, up to rounding.

    `names` holds the stacked parameters [copy, ...], matrices transposed [copy, in, out]: that is
    how a batched product's gradients come out, so that none has to be copied.
    """

    def __init__(
        self,
        body: Body,
        names: Mapping[str, nn.Parameter],
        config: Config,
        values: Mapping[str, Array],
        states: Sequence[Mapping[str, Array]],
    ) -> None:
        """Make one copy of T per client: the same values, each its own moments."""
        self.body, self.config = body, config
        self.count = len(states)
        self.names = {
            name: torch.stack([_turned(to_tensor(values[name]))] * self.count)
            .to(config.training.device)
            .requires_grad_()
            for name in names
        }
        self.optimizer = optimizer_for(self.names, config.training)
        self._load(states)
        of = {id(p): self.names[name] for name, p in names.items()}
        self._layers = [
            {n: of[id(p)] for n, p in layer.named_parameters()} for layer in body.layers
        ]
        self._graph: tuple[Tensor, StackedPass, list[Tensor]] | None = None

    def restart(self, values: Mapping[str, Array]) -> None:
        """Set the parameters of every copy; moments stay."""
        with torch.no_grad():
            for name, parameter in self.names.items():
                parameter.copy_(_turned(to_tensor(values[name])))

    def _load(self, states: Sequence[Mapping[str, Array]]) -> None:
        """Set the moments; all copies have taken the same number of steps."""
        if not states[0]:
            return
        for name, parameter in self.names.items():
            self.optimizer.state[parameter] = {"step": to_tensor(states[0][f"{name}/step"])}
            for key in ("exp_avg", "exp_avg_sq"):
                parts = [_turned(to_tensor(state[f"{name}/{key}"])) for state in states]
                self.optimizer.state[parameter][key] = torch.stack(parts).to(parameter.device)

    def forward(self, messages: Sequence[SmashedData]) -> list[HiddenStates]:
        """Return Z for every client's A."""
        config, device = self.config, self.config.training.device
        a = stack([to_tensor(m.activations, device) for m in messages])
        mask = stack([to_tensor(m.attention_mask, device) for m in messages])
        a.values.requires_grad_(not config.model.freeze_embeddings)
        draws = None
        if has_dropout(self.body):
            draws = [generator(config.seed, "body", m.client, m.step) for m in messages]
        with autocast(config):
            layers = [
                {n: p.mT if p.dim() == 3 else p for n, p in own.items()} for own in self._layers
            ]
            done = run_stacked(layers, a, mask, self.body.config, draws)
        self._graph = (a.values, done, unstack(mask))
        pool = self.body.pool
        return [
            HiddenStates(m.client, m.round, m.step, to_array(pool(own, real)))
            for m, own, real in zip(messages, unstack(done.z), unstack(mask), strict=True)
        ]

    def backward(self, messages: Sequence[HiddenGradient], rate: float) -> list[SmashedGradient]:
        """Take every client's G_Z, update T, return every G_A (none where E is frozen)."""
        if self._graph is None:
            raise RuntimeError("expected a forward message before a backward message")
        a, done, masks = self._graph
        self._graph = None
        each = [to_tensor(m.gradient, self.config.training.device) for m in messages]
        if self.body.mean:
            each = [through_mean(own, mask) for own, mask in zip(each, masks, strict=True)]
        gradient = stack(each)
        with autocast(self.config):
            z, at_z = done.tokens(gradient.values)
        z.backward(at_z.to(z.dtype))
        clip_gradients(self.names.values(), self.config.training.max_grad_norm, self.count)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if a.grad is None:
            return []
        return [
            SmashedGradient(m.client, m.round, m.step, to_array(own))
            for m, own in zip(messages, unstack(Ragged(a.grad, done.z.sizes)), strict=True)
        ]

    def values(self) -> list[dict[str, Array]]:
        """Return every copy's parameters: read-only views, which the next step changes."""
        return [{n: _view(_turned(p[i])) for n, p in self.names.items()} for i in range(self.count)]

    def moments(self) -> list[dict[str, Array]]:
        """Return every copy's optimiser moments."""
        held = {n: self.optimizer.state.get(p, {}) for n, p in self.names.items()}
        return [
            {
                f"{n}/{key}": to_array(v if key == "step" else _turned(v[i]))
                for n, state in held.items()
                for key, v in state.items()
            }
            for i in range(self.count)
        ]


def _view(value: Tensor) -> Array:
    """Return a tensor's values without a copy, for reading."""
    array = value.detach().cpu().numpy()
    array.flags.writeable = False
    return array


def _turned(value: Tensor) -> Tensor:
    """Return a matrix transposed, anything else as it is."""
    return value.T if value.dim() == 2 else value
