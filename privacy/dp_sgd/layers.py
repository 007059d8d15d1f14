"""Layers that the engine knows, and who owns which parameter.

| parameter | outcome |
|---|---|
| frozen (`requires_grad` false) | skipped; the backward pass need not reach it |
| of a Linear, Embedding or LayerNorm | recorded |
| the table of one Embedding that is also the weight of one Linear (tied decoder) | recorded |
| also listed by a module that does not use it (transformers' `predictions.bias`) | recorded |
| of any other module, or shared in any other way | `ValueError` |
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from torch import nn

KNOWN = (nn.Linear, nn.Embedding, nn.LayerNorm)


@dataclass(frozen=True, eq=False)
class Layer:
    """A module and the names of its trainable parameters; None where it has none.

    `ragged`: its inputs are rows [row, width], each of the example that the owner tells;
    `tied`: another layer has the same weight.
    """

    name: str
    module: nn.Module
    weight: str | None
    bias: str | None
    ragged: bool = False
    tied: bool = False


def layers_of(
    parts: Mapping[str, nn.Module],
    parameters: Mapping[str, nn.Parameter],
    ragged: Collection[str],
    unused: Collection[str],
) -> list[Layer]:
    """The layers that own the trainable ones of these parameters, each once.

    Raises:
        ValueError: as in the table; or a parameter that no part has, or a part's trainable
            parameter that is not among `parameters`, which nothing would clip.
    """
    for name in ragged:
        if name not in parts:
            raise ValueError(f"expected ragged parts among {sorted(parts)}, got ragged={name!r}")
    for name in unused:
        if name not in parameters:
            raise ValueError(f"expected unused to name given parameters, got unused={name!r}")
    names = {id(p): name for name, p in parameters.items() if p.requires_grad}
    skipped = {id(parameters[name]) for name in unused}
    layers: list[Layer] = []
    others: dict[int, str] = {}
    for name, module, rows in _modules(parts, ragged):
        own = {key: p for key, p in module.named_parameters(recurse=False) if p.requires_grad}
        for key, parameter in own.items():
            if id(parameter) not in names:
                raise ValueError(f"expected every trainable parameter, got none for {name}.{key}")
        if type(module) not in KNOWN:
            others |= {id(p): f"{key} of {type(module).__name__} {name}" for key, p in own.items()}
        elif any(id(p) not in skipped for p in own.values()):
            held = {k: names[id(p)] for k, p in own.items() if id(p) not in skipped}
            layers.append(Layer(name, module, held.get("weight"), held.get("bias"), rows))
    found = {n for layer in layers for n in (layer.weight, layer.bias)} | set(unused)
    for key_id, name in names.items():
        if name not in found:
            where = others.get(key_id, "no part that was given")
            kinds = ", ".join(kind.__name__ for kind in KNOWN)
            raise ValueError(f"expected a parameter of {kinds}, got {name}: {where}")
    return [_checked(layer, layers) for layer in layers]


def _modules(
    parts: Mapping[str, nn.Module], ragged: Collection[str]
) -> Iterator[tuple[str, nn.Module, bool]]:
    """Every module once, with its name and whether its part is ragged."""
    seen: dict[int, bool] = {}
    for part, root in parts.items():
        for name, module in root.named_modules(prefix=part):
            rows = part in ragged
            if id(module) not in seen:
                seen[id(module)] = rows
                yield name, module, rows
            elif seen[id(module)] != rows:
                raise ValueError(f"expected {name} in ragged parts or in others, got it in both")


def _checked(layer: Layer, layers: Collection[Layer]) -> Layer:
    """The layer, knowing whether it is tied.

    Raises:
        ValueError: its parameters are shared in a way that the engine does not know, or it does
            what the engine does not.
    """
    module = layer.module
    if isinstance(module, nn.Embedding):
        if module.max_norm is not None or module.scale_grad_by_freq:
            raise ValueError(f"expected no max_norm or scale_grad_by_freq, got {layer.name}")
        if layer.ragged:
            raise ValueError(f"expected no Embedding in a ragged part, got {layer.name}")
    for name in (layer.weight, layer.bias):
        users = [o for o in layers if name is not None and name in (o.weight, o.bias)]
        kinds = sorted(type(o.module).__name__ for o in users)
        if len(users) > 1 and (kinds != ["Embedding", "Linear"] or name != layer.weight):
            raise ValueError(
                f"expected {name} in one module, or in an Embedding and a Linear, got {kinds}"
            )
    tied = layer.weight is not None and sum(o.weight == layer.weight for o in layers) > 1
    return replace(layer, tied=tied)
