"""DP-SGD step at one party: per-example norms, then the clipped and noised gradient."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedbert.data.client_data import ClientData
from fedbert.messages import to_array
from fedbert.witness import Witness
from privacy.defence import Defence
from privacy.dp_sgd.engine import Recorder
from privacy.dp_sgd.mechanism import DPSGD
from privacy.dp_sgd.noising import noise_sums
from privacy.dp_sgd.part_sums import PartSums
from privacy.dp_sgd.uses import Summed
from privacy.randomness.release import widened
from privacy.randomness.source import NoiseSource


@dataclass(frozen=True)
class Share:
    """What a party needs to know to add its part of the noise.

    expected: the expected batch size. values: of the whole model, over all parties, at least: the
    noise makes up for cutting as many to its grid. noise: the party's own.
    """

    expected: float
    values: int
    noise: NoiseSource


class PrivateStep:
    """One party's share in DP-SGD: its own parameters, its own noise, the common clip factors.

    The clip bounds the gradient of E, T and H together: each party reports its squared norms, the
    client makes the factors (`DPSGD.factors`), all parties scale by them.
    Empty batches are noised like any other; every value of every parameter gets noise, and the
    sum is divided by the expected batch size.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        parameters: Mapping[str, nn.Parameter],
        mechanism: DPSGD,
        share: Share,
        ragged: Collection[str] = (),
    ) -> None:
        """Hold a party's modules.

        ragged: parts that see lone positions (the masked-LM head) instead of whole sequences.
        """
        unused = _unused(parts, parameters)
        self.parameters = {n: p for n, p in parameters.items() if n not in unused}
        self.mechanism, self.share = mechanism, share
        # A sum that is divided first has the same noise in terms of the clip.
        wider = widened(mechanism.noise_multiplier, share.values)
        self.noise_std = mechanism.noise_std * wider / share.expected
        self.recorder = Recorder(parts, parameters, ragged, unused) if parameters else None
        self._buffers: dict[str, Tensor] = {}
        self._kept = PartSums(self.parameters)
        self.witness: Witness | None = None

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

    def keep(self, factors: Tensor) -> None:
        """Keep the clipped sum of one part of a step's batch; the next part may come."""
        if self.recorder is not None:
            self._kept.add(self._clipped(factors))
            self.recorder.clear()

    def _clipped(self, factors: Tensor) -> Mapping[str, Summed]:
        """Return the clipped sum at hand over the expected batch size; {} of no examples."""
        if self.recorder is None or len(factors) == 0:
            return {}
        most = self.mechanism.largest_factor / self.share.expected
        return self.recorder.lent_sum(factors / self.share.expected, most)

    def gradients(self, factors: Tensor, *where: int) -> float:
        """Set every gradient: the clipped sum over the expected batch size, noised as one.

        Of the part at hand together with all that were kept: one step, noised once.
        where: what labels the step's noise within the party's, such as its running number. Return
        the expected squared norm of the noise on the sum.
        """
        draws = self.share.noise.draws("training", *where)
        for name, parameter in self.parameters.items():
            if name not in self._buffers:
                self._buffers[name] = torch.empty_like(parameter, requires_grad=False)
        if self._kept:
            self.keep(factors)
        sums = self._kept.taken() or self._clipped(factors)
        clean = {} if self.witness is None else self._copied(sums)
        noise_sums(self._buffers, sums, self.noise_std, draws)
        self._tell(clean)
        if self.recorder is not None:
            self.recorder.clear()
        for name, parameter in self.parameters.items():
            parameter.grad = self._buffers[name]
        std = self.noise_std * self.share.expected
        return std**2 * sum(p.numel() for p in self.parameters.values())

    def _copied(self, sums: Mapping[str, Summed]) -> dict[str, Tensor]:
        """Return the sums before their noise, each as large as its parameter."""
        found = {}
        for name, parameter in self.parameters.items():
            whole = torch.zeros_like(parameter, requires_grad=False)
            if name in sums:
                rows, values = sums[name].rows, sums[name].values
                _ = whole.copy_(values) if rows is None else whole.index_copy_(0, rows, values)
            found[name] = whole
        return found

    def _tell(self, clean: Mapping[str, Tensor]) -> None:
        """Let the witness hear the sums before their noise, and what came of them."""
        if self.witness is None:
            return
        for name, before in clean.items():
            sums, noised = (to_array(each).ravel() for each in (before, self._buffers[name]))
            step = float(torch.finfo(before.dtype).eps)
            self.witness.heard(name, sums, noised, step * float(before.abs().max()))
        self.witness.ended()


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


def private_step(
    defence: Defence,
    data: ClientData,
    parts: Mapping[str, nn.Module],
    parameters: Mapping[str, nn.Parameter],
    values: int,
    noise: NoiseSource,
) -> PrivateStep | None:
    """Return a client's share in DP-SGD; None without it. values: as `Share` has them."""
    if defence.training is None:
        return None
    ragged = ("head",) if data.encoded.task.kind == "mlm" else ()
    share = Share(data.sample_rate * len(data.encoded), values, noise)
    return PrivateStep(parts, parameters, defence.training, share, ragged)
