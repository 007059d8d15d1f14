"""Training settings: who holds what, how many steps of how many examples, how they learn."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fedbert.errors import expect
from fedbert.setting_types import BATCH, CLIENTS, Fraction, Optimizer, Positive, Steps, Strategy
from fedbert.settings import settings

Averaging = Literal["mean", "median", "trimmed_mean", "norm_bound", "krum"]
LATER: dict[str, Any] = {
    "micro_batch": None,
    "participation": "random",
    "loss_traces": False,
    "quorum": 1.0,
    "below_quorum": "stop",
    "averaging": "mean",
    "faulty_share": 0.2,
    "update_norm": None,
    "secure_aggregation": False,
}
"""Settings that came later, and their defaults."""


@settings
class TrainingConfig:
    """How the parties train: rounds x local_steps steps for every client that takes part in all.

    strategy: who holds what: "centralised", "fedavg", "parallel" (FedBERT), "sequential", or
        "one_message", which sends each record once and reads none of the settings below but
        precision and device.
    rounds: how often the parties' models are averaged.
    local_steps: optimiser steps of a client in a round.
    batch_size: examples in a step.
    micro_batch: "centralised" and "fedavg" only: at most so many examples of a step are in memory
        at once; their gradients are added up before the step's noise and update. None = all.
    clients_per_round: how many take part; None = all.
    participation: who they are: "random" (drawn anew for each round), or "cyclic" (in one order
        that is drawn once, so that nobody comes again before all have been).
    learning_rate: the peak of a linear warm-up over warmup_fraction of all steps and a linear
        decay to zero.
    warmup_fraction: of all steps.
    weight_decay: AdamW's, decoupled from the gradient.
    max_grad_norm: each party clips the gradient of what it holds (client parts; body).
    optimizer: "adamw", or "sgd" (without momentum: one local step then gives its gradient away).
    optimizer_state: "keep" (each party keeps its own moments from round to round), "reset" (fresh
        moments in every round), or "hand_on" (sequential only: the client parts' moments travel
        with the client parts to the next client, who can read from them which tokens were seen).
    client_parts: sequential only: "hand_on" from client to client, or "average" after each round.
    loss_traces: each record's loss at each of its steps is kept in the checkpoint, for `audit
        --records`; no message or export holds it, and no noise covers it.
    quorum: the share of a round's clients whose updates have to come and be taken. Under a
        mechanism on the sum of updates it counts who answers, whatever comes.
    below_quorum: "stop" the training with a line, or "skip" the round: nothing of it is kept.
    averaging: what is made of a round's updates: their "mean", weighted by examples, or what fewer
        of them can spoil: "median", "trimmed_mean", "norm_bound" or "krum".
    faulty_share: of the clients, what "trimmed_mean" cuts off either end, and "krum" allows for.
    update_norm: to which "norm_bound" shortens longer changes; None: the round's median norm.
    secure_aggregation: "fedavg" with the mean only: the aggregator's view holds each round's
        average alone, and no update of one client. Simulated: nothing is masked or enciphered here.
    precision: what the parties compute in: "float32", "float64", "bf16" (products alone; weights,
        moments and sums stay float32), or "auto": bf16 where this machine gains by it.
    device: "cpu", "cuda" or "cuda:N".
    """

    strategy: Strategy = "parallel"
    rounds: Steps = 4
    local_steps: Steps = 8
    batch_size: Annotated[int, Field(ge=1, le=BATCH)] = 32
    clients_per_round: Annotated[int | None, Field(ge=1, le=CLIENTS)] = None
    micro_batch: Annotated[int | None, Field(ge=1, le=BATCH)] = None
    participation: Literal["random", "cyclic"] = "random"
    learning_rate: Positive = 5e-4
    warmup_fraction: Fraction = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: Positive = 1.0
    optimizer: Optimizer = "adamw"
    optimizer_state: Literal["keep", "reset", "hand_on"] = "keep"
    client_parts: Literal["hand_on", "average"] = "hand_on"
    precision: Literal["float32", "float64", "bf16", "auto"] = "float32"
    device: str = "cpu"
    loss_traces: bool = False
    quorum: Annotated[float, Field(gt=0, le=1)] = 1.0
    below_quorum: Literal["stop", "skip"] = "stop"
    averaging: Averaging = "mean"
    faulty_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.2
    update_norm: Positive | None = None
    secure_aggregation: bool = False

    def __post_init__(self) -> None:
        """Check what concerns more than one field."""
        device, _, number = self.device.partition(":")
        named = device in ("cpu", "cuda") and (number.isdecimal() or ":" not in self.device)
        expect(named, "cpu, cuda or cuda:N", "device", self.device)
        local = self.strategy in ("centralised", "fedavg")
        told = "micro_batch with strategy centralised or fedavg alone, where no batch is sent"
        expect(self.micro_batch is None or local, told, "strategy", self.strategy)
        averaged = self.strategy != "sequential" or self.client_parts == "average"
        told = 'client_parts "average" with averaging other than the mean'
        expect(averaged or self.averaging == "mean", told, "client_parts", self.client_parts)
        if self.secure_aggregation:
            told = "with secure_aggregation, which makes a sum of whole updates and nothing else"
            expect(self.strategy == "fedavg", f'"fedavg" {told}', "strategy", self.strategy)
            expect(self.averaging == "mean", f'the "mean" {told}', "averaging", self.averaging)
        if self.optimizer_state != "hand_on":
            return
        for name, needed, told in (
            ("strategy", "sequential", "sequential with optimizer_state hand_on"),
            ("optimizer", "adamw", "adamw with optimizer_state hand_on: sgd has no moments"),
            ("client_parts", "hand_on", "client parts handed on together with their moments"),
        ):
            found = getattr(self, name)
            expect(found == needed, told, name, found)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a file; LATER ones where they are not the default.

        A training without them is written, and hashed, as it was before there was a choice.
        """
        return {k: v for k, v in vars(self).items() if k not in LATER or v != LATER[k]}
