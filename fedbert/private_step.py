"""DP-SGD step at one party: per-example norms, then the clipped and noised gradient."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from fedbert.protect import stream
from fedbert.seeding import generator
from privacy.dp_sgd.engine import Recorder
from privacy.dp_sgd.mechanism import DPSGD


class PrivateStep:
    """One party's share in DP-SGD: its own parameters, its own noise, the common clip factors.

    The clip bounds the gradient of E, T and H together: each party reports its squared norms, the
    client makes the factors (`privacy.dp_sgd.clipping.clip_factors`), all parties scale by them.
    Empty batches are noised like any other; every value of every parameter gets noise, and the
    sum is divided by the expected batch size.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        parameters: Mapping[str, nn.Parameter],
        mechanism: DPSGD,
        expected: float,
        seed: int,
        ragged: Collection[str] = (),
    ) -> None:
        """Hold a party's modules; `expected` is the expected batch size.

        ragged: parts that see lone positions (the masked-LM head) instead of whole sequences.
        """
        unused = _unused(parts, parameters)
        self.parameters = {n: p for n, p in parameters.items() if n not in unused}
        self.mechanism, self.expected, self.seed = mechanism, expected, seed
        self.recorder = Recorder(parts, parameters, ragged, unused) if parameters else None
        self._buffers: dict[str, Tensor] = {}

    def record(self, owner: Tensor | None = None) -> AbstractContextManager[object]:
        """Return the context of a step's forward; owner [row]: whose example each lone row is."""
        if self.recorder is None:
            return nullcontext()
        return self.recorder.record(owner=owner)

    def squared_norms(self, batch: int) -> Tensor:
        """Return the squared norm of every example's gradient, after the backward pass [batch]."""
        if self.recorder is None or batch == 0:
            return torch.zeros(batch, dtype=torch.float64)
        return self.recorder.squared_norms(batch).cpu()

    def gradients(self, factors: Tensor, *where: str | int) -> float:
        """Set every gradient: the clipped sum, noised, over the expected batch size.

        where: labels of the noise, such as the party and its step. Return the expected squared norm
        of the noise on the sum.
        """
        label = ("noise", "training", stream(self.mechanism), *where)
        std = self.mechanism.noise_std
        for name, parameter in self.parameters.items():
            own = generator(self.seed, *label, name)
            if name not in self._buffers:
                self._buffers[name] = torch.empty_like(parameter, requires_grad=False)
            buffer = self._buffers[name]
            if buffer.device.type == "cpu":
                buffer.normal_(0.0, std / self.expected, generator=own)
            else:
                draw = torch.empty(buffer.shape, dtype=buffer.dtype)
                buffer.copy_(draw.normal_(0.0, std / self.expected, generator=own))
        if self.recorder is not None and len(factors):
            self.recorder.clipped_sum(factors / self.expected, into=self._buffers)
        if self.recorder is not None:
            self.recorder.clear()
        for name, parameter in self.parameters.items():
            parameter.grad = self._buffers[name]
        return std**2 * sum(p.numel() for p in self.parameters.values())


def _unused(parts: Mapping[str, nn.Module], parameters: Mapping[str, nn.Parameter]) -> set[str]:
    """Return the bias that transformers keeps beside a decoder with a bias of its own.

    The recorder takes it for an error if it ever gets a gradient.
    """
    found = set()
    for part in parts.values():
        for module in part.modules():
            decoder = getattr(module, "decoder", None)
            bias = dict(module.named_parameters(recurse=False)).get("bias")
            if isinstance(decoder, nn.Linear) and bias is not None and decoder.bias is not bias:
                found |= {name for name, p in parameters.items() if p is bias}
    return found
