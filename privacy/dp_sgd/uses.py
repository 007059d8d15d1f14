"""Uses of a layer: which record one forward makes, and what the records say together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from privacy.dp_sgd.bounds import widened
from privacy.dp_sgd.embedding import Lookup
from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.linear import BatchedLinear, RaggedLinear
from privacy.dp_sgd.norm import Norm
from privacy.dp_sgd.workspace import Workspace


@dataclass(frozen=True)
class Summed:
    """A parameter's clipped sum; of a table the rows [row] named, all others zeros."""

    values: Tensor
    rows: Tensor | None = None


Use = BatchedLinear | RaggedLinear | Norm | Lookup


def use_of(
    layer: Layer, value: Tensor, workspace: Workspace, owner: Tensor | None, narrow: bool = False
) -> Use:
    """The record of one forward of this layer; `owner` is the pass's, for ragged layers.

    narrow: it was computed in bf16, and so a Linear multiplied its input in bf16.

    Raises:
        RuntimeError: a ragged layer's input is not one row for every owner.
    """
    owner = owner if layer.ragged else None
    if owner is not None and (value.ndim != 2 or len(value) != len(owner)):
        shape = list(value.shape)
        raise RuntimeError(f"expected rows [{len(owner)}, width] in {layer.name}, got {shape}")
    if isinstance(layer.module, nn.Embedding):
        return Lookup(layer, value, workspace)
    if isinstance(layer.module, nn.LayerNorm):
        return Norm(layer, value, workspace, owner)
    if narrow:
        value = value.to(torch.bfloat16)
    if owner is not None:
        return RaggedLinear(layer, widened(value), owner, narrow)
    return BatchedLinear(layer, value, workspace, narrow)


def squared_of(use: Use, batch: int) -> Tensor:
    """The squared norms [batch] float64 of the examples' gradients in one layer.

    Raises:
        RuntimeError: the layer saw another number of examples.
    """
    if isinstance(use, RaggedLinear) or (isinstance(use, Norm) and use.owner is not None):
        use.settle(batch)
    elif use.batch != batch:
        name = use.layer.name
        raise RuntimeError(f"expected a first axis of {batch}, got {use.batch} in {name}")
    elif not isinstance(use, Norm):
        use.settle()
    if use.squared is None:
        raise RuntimeError(f"expected a norm of the gradients of {use.layer.name}, got none")
    return use.squared


def tied(uses: list[Use]) -> Iterator[tuple[Lookup, BatchedLinear | RaggedLinear]]:
    """The pairs of an Embedding and a decoder that share their weight."""
    lookups = [use for use in uses if isinstance(use, Lookup) and use.layer.tied]
    decoders = [use for use in uses if isinstance(use, BatchedLinear | RaggedLinear)]
    for lookup in lookups:
        for decoder in decoders:
            if lookup.layer.weight == decoder.layer.weight:
                yield lookup, decoder


def fitting(name: str, parameter: Tensor, into: Mapping[str, Tensor]) -> Tensor:
    """The tensor to add a parameter's sum to.

    Raises:
        ValueError: there is none, or it has another shape or type, or is not contiguous.
    """
    out = into.get(name)
    if out is None:
        raise ValueError(f"expected a tensor for {name}, got none")
    if out.shape != parameter.shape or out.dtype != parameter.dtype or not out.is_contiguous():
        want, got = list(parameter.shape), list(out.shape)
        raise ValueError(
            f"expected {name} as contiguous {parameter.dtype} {want}, got {out.dtype} {got}"
        )
    return out
