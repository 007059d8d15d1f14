"""Client: holds its data, E and H (and T in plain federated averaging); sends messages only."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedbert.averaging import Noised
from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.data.client_data import ClientData
from fedbert.frozen import Frozen
from fedbert.head import mean_of
from fedbert.holding import bench_of, compact_rows
from fedbert.last_layer import forward_pass
from fedbert.loss_trace import Losses
from fedbert.messages import (
    Array,
    ClientParts,
    ClientUpdate,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    RowValues,
    SmashedData,
    SmashedGradient,
    handed,
    to_array,
    to_tensor,
)
from fedbert.micro_batches import MicroBatch, micro_batches, own_width
from fedbert.optim import clip_gradients, decays, load_moments, moments, set_learning_rate
from fedbert.precision import autocast
from fedbert.private_step import private_step
from fedbert.protect import MechanismLog
from fedbert.seeding import scoped
from fedbert.smashing import Smashing, pull
from fedbert.split import SplitBert
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource


class Client:
    """One data owner. Dropout follows (seed, part, client, step); noise has a source of its own."""

    def __init__(
        self,
        data: ClientData,
        split: SplitBert,
        config: Config,
        defence: Defence,
        with_body: bool,
        noise: NoiseSource,
        frozen: Frozen | None = None,
    ) -> None:
        """Make a client with its own copies of E (or the `frozen` one), H and, `with_body`, T."""
        self.data, self.config, self.defence = data, config, defence
        frozen = Frozen(split, config) if config.model.freeze_embeddings and not frozen else frozen
        self.step, self._began, self.noise, self.frozen = 0, 0, noise, frozen
        self.smashing = Smashing(defence, data, config, noise, frozen)
        self.logs = {place: MechanismLog() for place in ("training", "update")}
        self.losses = Losses(data.in_pool, config.training.loss_traces)
        self.rows = compact_rows(data, split, config, defence)
        self.bench = bench_of(split, self.rows, with_body, config, frozen)
        self.parts, self.word = self.bench.parts, self.bench.word
        self.trained, self.optimizer = self.bench.trained, self.bench.optimizer
        values, held = sum(p.numel() for p in split.whole.parameters()), dict(self.parts.items())
        self.private = private_step(defence, data, held, self.trained, values, noise)
        widths = own_width(config, split.whole.config, data.vocabulary.pad)
        self.widths = None if self.private is None else widths
        self._base, self._factor = dict[str, Array](), 1.0
        self._graph, self._recording = dict[str, Any](), ExitStack()

    def start(self, parts: ClientParts) -> None:
        """Take the values to start the round from (and moments, where handed on)."""
        if self.frozen is not None:
            self.frozen.start(parts.tensors)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                value = parts.tensors[name]
                own = value[self.rows] if name == self.word and self.rows is not None else value
                parameter.copy_(to_tensor(own))
        self._base, self._factor, self._began = dict(parts.tensors), 1.0, self.step
        if parts.moments:
            load_moments(self.optimizer, self.trained, parts.moments)

    def forward(self, round_: int) -> SmashedData:
        """Return A of the next batch, protected by the mechanism in force."""
        bottom = self.parts["bottom"]
        batch = self._next_batch() if self.widths is None else self.widths.whole(self._next_batch())
        batch = self.smashing.rewritten(bottom, batch, self.step)
        self._recording.enter_context(self._recorded(batch))
        a = self.smashing(bottom, batch, self.step)
        self._graph = {"batch": batch, "a": a if self.frozen is None else None}
        sent = to_array(a) if self.frozen is None else handed(a)
        return SmashedData(
            self.data.client, round_, self.step, sent, to_array(batch.attention_mask)
        )

    def head(self, message: HiddenStates) -> HiddenGradient:
        """Return G_Z of the batch's loss.

        Of its mean loss; of the mean of its examples' losses where a mechanism acts on gradients,
        so that rows of one example depend on no other; under DP-SGD of each example's own loss.
        """
        if (sent := self._graph["batch"].attention_mask.shape) != (got := message.hidden.shape[:2]):
            raise ValueError(f"expected Z of the shape of A, {list(sent)}, got {list(got)}")
        read = message.hidden if self.parts["head"].kind == "mlm" else message.hidden[:, :1]
        z = to_tensor(read, self.config.training.device).requires_grad_()
        with self._recording:
            loss = self._loss(z, MicroBatch(self._graph["batch"]))
        loss.backward()
        if z.grad is None:
            raise RuntimeError("expected the loss to depend on the hidden states")
        gradient = np.zeros(message.hidden.shape, message.hidden.dtype)  # pages nobody touches
        gradient[:, : z.shape[1]] = to_array(z.grad)
        gradient.flags.writeable = False
        return HiddenGradient(message.client, message.round, message.step, gradient)

    def finish(self, message: SmashedGradient | None, rate: float) -> None:
        """Take G_A (None where E is frozen), update E and H at this learning rate."""
        self._back(message)
        self._update(rate)

    def factors(self, message: SmashedGradient | None, norms: ExampleNorms) -> ClipFactors:
        """Take G_A and what each example's gradient of T measures, return the clip factors."""
        self._back(message)
        factors = self._graph["factors"] = self._factors(to_tensor(norms.squared_norms))
        return ClipFactors(norms.client, norms.round, norms.step, to_array(factors))

    def apply(self, rate: float) -> None:
        """Update E and H by the clipped and noised gradient."""
        self._noised(self._graph["factors"])
        self._update(rate)

    def train(self, rates: list[float]) -> None:
        """Run local steps on the whole model, one per learning rate (plain federated averaging)."""
        private, most = self.private, self.config.training.micro_batch
        for rate in rates:
            factors = torch.zeros(0, dtype=torch.float64)  # of an empty batch, which is noised too
            for own in micro_batches(self._next_batch(), most, self.widths):
                if private is not None and not own.begins:
                    private.keep(factors)
                self._pass(own)
                if private is not None:
                    factors = self._factors(torch.zeros(len(own.batch), dtype=torch.float64))
            if private is not None:
                self._noised(factors)
            self._update(rate)

    def _pass(self, own: MicroBatch) -> None:
        """Pass some of a step's examples through the whole model, there and back."""
        body: Any = self.parts["body"]
        few = self.private is None
        with self._recorded(own.batch):
            a = self.smashing(self.parts["bottom"], own.batch, self.step, *own.part)
            with self._scope("body", own), autocast(self.config, not few):
                done = forward_pass(body, a, own.batch.attention_mask, self.config, few)
            loss = self._loss(done.z, own)
        done.backward_from(loss, self.config)

    def update(self, round_: int) -> ClientUpdate:
        """Return the values that the local steps arrived at, of everything this client trains."""
        carried = self.config.training.optimizer_state
        if carried == "reset":  # the next round does not start from them
            self.optimizer.state.clear()
        if self.defence.local_update:
            return ClientUpdate(self.data.client, round_, 1, self._noisy(round_))
        tensors: dict[str, Array | RowValues] = {}
        for name, parameter in self.trained.items():
            value = to_array(parameter)
            if name == self.word and self.rows is not None:
                tensors[name] = RowValues(self.rows, value, self._base[name], self._factor)
            else:
                tensors[name] = value
        state = moments(self.optimizer, self.trained) if carried == "hand_on" else {}
        return ClientUpdate(self.data.client, round_, len(self.data.encoded), tensors, state)

    def abandon(self, steps: int) -> None:
        """End a turn of so many steps early; none is taken twice, with the noise of before."""
        self._recording.close()
        self.optimizer.zero_grad(set_to_none=True)
        if self.config.training.optimizer_state == "reset":
            self.optimizer.state.clear()
        self.step, self._graph = self._began + steps, {}

    def _noisy(self, round_: int) -> dict[str, Array | RowValues]:
        """Return the values of a whole update that is clipped and noised here."""
        base = {name: self._base[name] for name in self.trained}
        own = Noised(self.defence.update, base, 1, self.noise.draws("update", round_))
        came = {name: to_array(p) for name, p in self.trained.items()}
        if not all(np.isfinite(v).all() for v in (*came.values(), np.array(self.losses.total))):
            came = base  # whether it diverged is its records' matter
            self.losses.diverged()
            self.optimizer.state.clear()  # else it would diverge for ever
        own.add(1, came)
        values = own.result()
        self.logs["update"] += own.log
        return dict(values)

    def steps_taken(self) -> int:
        """Return the client's running step number."""
        return self.step

    def mean_loss(self) -> float:
        """Return the mean training loss since the last call (nats, or squared error)."""
        return self.losses.mean()

    def report(self) -> dict[str, MechanismLog]:
        """Return the logs of the mechanisms at work here, by place."""
        return {"smashed": self.smashing.log} | self.logs

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what the client carries from round to round: arrays, and plain values."""
        keep = self.config.training.optimizer_state == "keep"
        state = moments(self.optimizer, self.trained) if keep else {}
        logs = {place: log.to_json() for place, log in self.report().items()}
        return state | self.losses.snapshot(), {"step": self.step, "logs": logs}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Set what `snapshot` returned."""
        self.step = values["step"]
        logs = {place: MechanismLog.from_json(log) for place, log in values["logs"].items()}
        self.smashing.log, self.logs = logs.pop("smashed"), logs
        self.losses.restore(arrays)
        load_moments(self.optimizer, self.trained, arrays)

    def leave(self) -> None:
        """Leave the bench to the next client; this one is asked no more."""
        if self.frozen is not None:
            self.optimizer.state.clear()
            self.frozen.benches.append(self.bench)

    def _next_batch(self) -> Batch:
        return self.data.batch(self.step).to(self.config.training.device)

    def _scope(self, part: str, own: MicroBatch) -> AbstractContextManager[None]:
        labels, device = (self.data.client, self.step, *own.part), self.config.training.device
        if part == "body":
            return scoped(self.smashing.seed, "body", *labels, device=device)
        return scoped(self.smashing.seed, "head", *labels, device=device)

    def _loss(self, z: Tensor, own: MicroBatch) -> Tensor:
        batch = own.batch
        with self._scope("head", own), autocast(self.config, self.private is not None):
            head: Any = self.parts["head"]
            each: Tensor = head.losses(z, batch.labels)
            examples = head.by_example(each, batch.labels)
            if self.private is not None or self.defence.on_gradients:
                each = examples  # none may scale another's rows
            mean = mean_of(each)
        self.losses.add(own, mean, examples)
        return each.sum() if self.private is not None else mean * own.share

    def _recorded(self, batch: Batch) -> AbstractContextManager[object]:
        """Return the context of a step's forward passes, which DP-SGD looks into."""
        if self.private is None or len(batch) == 0:
            return nullcontext()
        lone = batch.labels.dim() == 2  # masked-LM: the head sees masked positions alone
        return self.private.record((batch.labels != -100).nonzero()[:, 0] if lone else None)

    def _back(self, message: SmashedGradient | None) -> None:
        """Pass G_A back through E, with the gradient of the penalty where there is one."""
        a, batch = self._graph["a"], self._graph["batch"]
        if message is None or a is None or not a.requires_grad:
            return
        gradient = to_tensor(message.gradient, self.config.training.device).to(a.dtype)
        penalty = self.defence.penalty if len(batch) else None
        a.backward(gradient if penalty is None else gradient + pull(penalty, a, batch))

    def _factors(self, others: Tensor) -> Tensor:
        """Return the clip factors [batch], given the squared norms of what others hold [batch]."""
        if self.private is None:
            raise RuntimeError("expected a defence with DP-SGD")
        squared = self.private.squared_norms(len(others)) + others
        factors = self.private.mechanism.factors(squared)
        signal = float((factors.double().square() * squared).sum())
        self.logs["training"] += MechanismLog(len(others), int((factors < 1).sum()), signal)
        return factors

    def _noised(self, factors: Tensor) -> None:
        """Set the clipped and noised gradients of what this client trains."""
        if self.private is None:
            raise RuntimeError("expected a defence with DP-SGD")
        self.logs["training"] += MechanismLog(noise=self.private.gradients(factors, self.step))

    def _update(self, rate: float) -> None:
        held = (self.bench.edge, self.bench.body) if self.private is None else ()
        for own in held:
            clip_gradients(own.values(), self.config.training.max_grad_norm)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # clients of a group do not hold theirs at once
        decay = self.config.training.weight_decay
        self._factor *= 1 - rate * decay if self.word is not None and decays(self.word) else 1
        self.step, self._graph = self.step + 1, {}
