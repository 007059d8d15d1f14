"""Optimiser of every party, its schedule, its gradient clip, its moments as arrays."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from fedbert.messages import Array, to_array
from fedbert.training_settings import TrainingConfig


def decays(name: str) -> bool:
    """Return whether weight decay applies to a parameter: not to biases and LayerNorms."""
    return not (name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name)


def optimizer_for(
    parameters: Mapping[str, Tensor], config: TrainingConfig
) -> torch.optim.Optimizer:
    """Return AdamW or plain SGD over named parameters, in one fused kernel.

    Without momentum, weight decay added to the gradient is decoupled weight decay: a step leaves
    1 - rate * weight_decay of each value and takes rate * gradient off. SGD has no moments.
    """
    groups = [
        {
            "params": [p for n, p in parameters.items() if decays(n)],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for n, p in parameters.items() if not decays(n)], "weight_decay": 0.0},
    ]
    kind = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.AdamW
    return kind([g for g in groups if g["params"]], lr=config.learning_rate, fused=True)


def learning_rate(config: TrainingConfig, step: int, total: int) -> float:
    """Return the learning rate of step 0 <= step < total: linear warm-up, then linear decay.

    >>> config = TrainingConfig(learning_rate=1.0, warmup_fraction=0.5)
    >>> [learning_rate(config, step, 4) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = int(config.warmup_fraction * total)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * (total - step) / (total - warmup)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = value


def clip_gradients(parameters: Iterable[Tensor], max_norm: float, copies: int = 1) -> None:
    """Scale gradients in place so that their joint L2 norm is at most max_norm.

    With several stacked copies [copy, ...], every copy is scaled by itself.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    if copies == 1:
        norms = [torch.linalg.vector_norm(g) for g in grads]
    else:
        norms = [torch.linalg.vector_norm(g, dim=tuple(range(1, g.dim()))) for g in grads]
    total = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # [] or [copy]
    factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
    if bool((factor == 1.0).all()):
        return
    for g in grads:
        g.mul_(factor if copies == 1 else factor.view(-1, *[1] * (g.dim() - 1)))


def moments(optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor]) -> dict[str, Array]:
    """Return the moments as arrays: "name/exp_avg", "name/exp_avg_sq" and "name/step"."""
    found = {}
    for name, parameter in names.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}/{key}"] = to_array(value)
    return found


def load_moments(
    optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor], values: Mapping[str, Array]
) -> None:
    """Set the moments from arrays as `moments` returns them; names without a value start anew."""
    optimizer.state.clear()
    for name, parameter in names.items():
        found = {
            key: torch.tensor(values[f"{name}/{key}"], device=parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}/{key}" in values
        }
        if found:
            optimizer.state[parameter] = found
