"""Clipped sums of per-example gradients from one forward and one backward pass.

A `Recorder` stands beside the parts of a model that one party holds. It freezes their parameters
for the pass, so that autograd forms no gradient of them, sees each layer's input and the gradient
of its output, and computes from these the squared norm of every example's gradient. Parties add
their squared norms (one scalar per example), form the same factors, and each adds up its own
clipped gradients:

    with recorder.record():
        losses = model(batch)             # [batch], each of one example alone
        losses.sum().backward()
    factors = clip_factors(recorder.squared_norms(batch_size), clip_norm)
    noise_sums(gradients, recorder.lent_sum(factors), noise_std, draws)
    recorder.clear()

| case | outcome |
|---|---|
| an empty batch | skip the forward; norms are empty, sums zero; the noise must not be skipped |
| a layer that no gradient reaches (an unused pooler) | norm 0 |
| a layer used twice in one pass, a second backward, an input changed in place | `RuntimeError` |
| a `.grad` on a recorded parameter, before or after: unclipped gradients | `RuntimeError` |
| no layer gets a gradient, though the batch is not empty | `RuntimeError` |
| norms that are not finite | `ValueError` |
| a clipped sum longer than its clipped gradients together | `RuntimeError`, before it is noised |

Squared norms are upper bounds of the true ones, for every input (`privacy.dp_sgd.bounds`).

Reference: Bu, Wang, Zha, Karypis (2023), "Differentially private optimization on large model at
small cost" (book-keeping).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from privacy.dp_sgd.bounds import parts_of
from privacy.dp_sgd.clipping import check_sum
from privacy.dp_sgd.embedding import Lookup
from privacy.dp_sgd.layers import Layer, layers_of
from privacy.dp_sgd.tap import tap
from privacy.dp_sgd.uses import Summed, Use, fitting, squared_of, tied, use_of
from privacy.dp_sgd.workspace import Workspace


class Recorder:
    """Norms and clipped sums of the gradients of some parts' trainable parameters.

    `parameters` names every trainable parameter of the parts. The modules of `ragged` parts see
    rows [row, width] instead of [batch, ...]: `record` is told the example of each row. `unused`
    names parameters that the forward never uses, whatever module lists them: they are left to
    autograd, and it is an error if they get a gradient.

    Raises:
        ValueError: a trainable parameter is in a module that the engine does not know, or shared
            in a way that it does not know (see `privacy.dp_sgd.layers`).
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module] | nn.Module,
        parameters: Mapping[str, nn.Parameter],
        ragged: Collection[str] = (),
        unused: Collection[str] = (),
    ) -> None:
        """Look at the modules; nothing is changed before `record`."""
        named = {"": parts} if isinstance(parts, nn.Module) else dict(parts)
        self._layers = layers_of(named, parameters, ragged, unused)
        self._watched = {n: p for n, p in parameters.items() if p.requires_grad}
        self._frozen = {n: p for n, p in self._watched.items() if n not in unused}
        self._ragged = any(layer.ragged for layer in self._layers)
        self._owner: Tensor | None = None
        self._uses: dict[str, Use] = {}
        self._workspace = Workspace()
        self._batch: int | None = None
        self._squared: Tensor | None = None
        self._zeros: dict[str, Tensor] = {}  # kept from step to step
        self._lent: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})  # sums, rows of tables
        self._recording = False

    @contextmanager
    def record(self, owner: Tensor | None = None) -> Iterator[None]:
        """Record the forward of the parts within, and every backward through it until the norms.

        `owner` [row] int64, in ascending order, is the example of each row that ragged parts see.

        Raises:
            ValueError: an owner without ragged parts, ragged parts without one, or not ascending.
            RuntimeError: already recording, the last step is not cleared, or a `.grad` is there.
        """
        if self._recording or self._uses:
            raise RuntimeError("expected clear() between two recorded passes")
        if (owner is not None) != self._ragged:
            got = "none" if owner is None else "one"
            raise ValueError(f"expected an owner exactly with ragged parts, got {got}")
        if owner is not None and (owner.ndim != 1 or bool((owner.diff() < 0).any())):
            raise ValueError("expected owner [row] in ascending order")
        self._refuse_leaks()
        self._workspace.next_step()
        self._owner, self._batch, self._recording = owner, None, True
        with ExitStack() as undo:
            undo.callback(self._stop)
            for layer in self._layers:
                handle = layer.module.register_forward_hook(self._hook(layer))
                undo.callback(handle.remove)
            for parameter in self._frozen.values():
                parameter.requires_grad_(False)
            yield

    def _stop(self) -> None:
        """Thaw the parameters."""
        self._recording = False
        for parameter in self._frozen.values():
            parameter.requires_grad_(True)

    def _hook(self, layer: Layer) -> Callable[..., Tensor]:
        """What to do after a forward of this layer."""

        def seen(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            if layer.name in self._uses:
                raise RuntimeError(f"expected {layer.name} once in a forward, got it twice")
            if len(inputs) != 1:
                raise RuntimeError(
                    f"expected one positional input, got {len(inputs)}: {layer.name}"
                )
            narrow = output.dtype == torch.bfloat16
            use = use_of(layer, inputs[0], self._workspace, self._owner, narrow)
            self._uses[layer.name] = use
            return tap(output, self._receiver(layer, use, inputs[0]))

        return seen

    def _receiver(self, layer: Layer, use: Use, value: Tensor) -> Callable[[Tensor], None]:
        """What to do with the gradient of this layer's output."""
        version = value._version

        def receive(grad: Tensor) -> None:
            if use.reached:
                raise RuntimeError(f"expected one backward, got a second through {layer.name}")
            if self._batch is not None or self._uses.get(layer.name) is not use:
                raise RuntimeError(f"expected no backward after the norms, got {layer.name}")
            if value._version != version:
                raise RuntimeError(f"expected the input of {layer.name} unchanged, got it changed")
            use.reached = True
            self._workspace.pin(grad)
            with torch.no_grad():
                use.receive(grad)

        return receive

    @torch.no_grad()
    def squared_norms(self, batch: int) -> Tensor:
        """The squared L2 norms [batch] float64 of each example's gradient, over these parts.

        After the backward of the sum of the per-example losses.

        Raises:
            RuntimeError: as in the module's table; or an input's first axis is not the batch.
        """
        self._refuse_leaks()
        reached = self._reached()
        if batch > 0 and self._layers and not reached:
            raise RuntimeError(f"expected gradients of {batch} examples, got none: no backward?")
        if self._owner is not None and len(self._owner) and int(self._owner[-1]) >= batch:
            raise RuntimeError(f"expected owners below {batch}, got {int(self._owner[-1])}")
        device = next((p.device for p in self._frozen.values()), None)
        total = torch.zeros(batch, dtype=torch.float64, device=device)
        self._batch = batch
        for use in reached if batch else ():
            total += squared_of(use, batch)
        for lookup, decoder in tied(reached if batch else []):
            total += lookup.cross(decoder.examples())
        self._squared = total.clamp_(min=0.0)
        return self._squared.clone()

    @torch.no_grad()
    def clipped_sum(
        self, factors: Tensor, into: Mapping[str, Tensor] | None = None, most: float = 1.0
    ) -> dict[str, Tensor]:
        """The sum over examples of factors[i] * gradient_i, by parameter.

        With `into`, it is added to these tensors in place (the noise, say) and they are returned.
        Parameters that no gradient reached add nothing; those said to be unused are left out.

        Raises:
            RuntimeError: before `squared_norms`, or a `.grad` is there; or the sum is longer than
                the clipped gradients together can be.
            ValueError: not one factor in [0, most] per example; or `into` lacks a parameter, or has
                another shape or type, or is not contiguous.
        """
        if into is not None:
            into = {name: fitting(name, p, into) for name, p in self._frozen.items()}
        found = self.lent_sum(factors, most)
        if into is None:
            return {name: value.clone() for name, value in self._lent[0].items()}
        for name, value in found.items():
            if value.rows is None:
                into[name] += value.values
            else:
                into[name].index_add_(0, value.rows, value.values)
        return dict(into)

    @torch.no_grad()
    def lent_sum(self, factors: Tensor, most: float = 1.0) -> dict[str, Summed]:
        """The sum over examples of factors[i] * gradient_i, by parameter; of tables some rows.

        Its tensors are lent: `clear`, or the next sum, makes zeros of them. most: what no factor
        may exceed; above 1 under automatic clipping, which enlarges short gradients.

        Raises:
            RuntimeError: before `squared_norms`, or a `.grad` is there; or the sum is longer than
                the clipped gradients together can be.
            ValueError: not one factor in [0, most] per example.
        """
        self._refuse_leaks()
        if self._batch is None or self._squared is None:
            raise RuntimeError("expected squared_norms() before clipped_sum()")
        if factors.shape != (self._batch,):
            got = list(factors.shape)
            raise ValueError(f"expected factors [{self._batch}], got shape={got}")
        if not bool(((factors >= 0) & (factors <= most)).all()):
            raise ValueError(f"expected factors from 0 to {most:g}, got others")
        self._take_back()
        sums = self._added_up(factors)
        rows = self._rows()
        found = {
            n: Summed(value[rows[n]], rows[n]) if n in rows else Summed(value)
            for n, value in sums.items()
        }
        lengths = factors.to(self._squared) * self._squared.sqrt()
        check_sum({n: each.values for n, each in found.items()}, float(lengths.sum()))
        self._lent = sums, rows
        return found

    def _take_back(self) -> None:
        """Make zeros of what was lent."""
        sums, rows = self._lent
        for name, value in sums.items():
            if name in rows:
                value.index_fill_(0, rows[name], 0.0)
            else:
                value.zero_()
        self._zeros, self._lent = sums or self._zeros, ({}, {})

    def _added_up(self, factors: Tensor) -> dict[str, Tensor]:
        """The clipped sum; of many examples in float64, part by part."""
        sums, self._zeros = self._zeros, {}  # lent: whoever fails does not give them back
        sums = sums or {n: torch.zeros_like(p).contiguous() for n, p in self._frozen.items()}
        parts = parts_of(len(factors))
        totals = {} if len(parts) < 2 else {n: s.double() for n, s in sums.items()}
        cast = {}  # the factors in the parameters' type, one tensor for each
        for use in self._reached() if len(factors) else ():
            names = [n for n in (use.layer.weight, use.layer.bias) if n is not None]
            kind = (sums[names[0]].dtype, sums[names[0]].device)
            if kind not in cast:
                cast[kind] = factors.to(device=kind[1], dtype=kind[0])
            for part in parts:
                use.add_sum(cast[kind], sums, part)
                for name in names if totals else ():
                    totals[name] += sums[name]
                    sums[name].zero_()
        self._workspace.forget()
        for name, total in totals.items():
            sums[name].copy_(total)
        return sums

    def _rows(self) -> dict[str, Tensor]:
        """Which rows of tables the sum is in; tables that decode as well are not listed."""
        lookups = [use for use in self._reached() if isinstance(use, Lookup)]
        return {
            use.layer.weight: torch.unique(use.ids)
            for use in lookups
            if use.layer.weight is not None and not use.layer.tied
        }

    def clear(self) -> None:
        """Let go of the step; memory that the next step uses again is kept."""
        self._take_back()
        self._uses = {}
        self._owner = self._batch = self._squared = None
        self._workspace.forget()

    def _reached(self) -> list[Use]:
        """The uses that a gradient came through."""
        return [use for use in self._uses.values() if use.reached]

    def _refuse_leaks(self) -> None:
        """Raises RuntimeError if a recorded parameter has a `.grad`: nobody clipped that."""
        leaked = [name for name, p in self._watched.items() if p.grad is not None]
        if leaked:
            raise RuntimeError(f"expected no .grad on recorded parameters, got one on {leaked[0]}")
