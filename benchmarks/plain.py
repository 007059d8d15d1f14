"""Plain-loop baseline: split federated training as one writes it without a thought for speed.

Every client has deep copies of E, T and H with the whole vocabulary and torch's AdamW as it comes;
one client trains after the other; whole state dictionaries are averaged, weighted by examples.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedbert.data.batches import Batch
from fedbert.data.client_data import ClientData
from fedbert.optim import decays, learning_rate
from fedbert.prepare import Prepared
from fedbert.split import cut
from fedbert.training_settings import TrainingConfig


def default_adamw(
    parameters: Mapping[str, Tensor], config: TrainingConfig, **options: Any
) -> torch.optim.AdamW:
    """Return AdamW with torch's defaults and the usual two weight decay groups."""
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in parameters.items() if decays(n)]},
        {"params": [p for n, p in parameters.items() if not decays(n)], "weight_decay": 0.0},
    ]
    decay, rate = config.weight_decay, config.learning_rate
    return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, **options)


class PlainClient:
    """One client with its own whole model, split at the embeddings."""

    def __init__(self, whole: nn.Module, data: ClientData, config: TrainingConfig) -> None:
        """Copy the model."""
        self.split = cut(copy.deepcopy(whole), 0)
        self.whole: nn.Module = self.split.whole
        self.whole.train()
        self.data, self.config, self.step = data, config, 0
        self.edge, self.body = self.split.client_names, self.split.body_names
        self.optimizers = [default_adamw(own, config) for own in (self.edge, self.body)]

    def train_step(self, batch: Batch, rate: float) -> float:
        """Take one split step: A up, Z down, G_Z up, G_A down. Return the loss."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = rate
        smashed = self.split.bottom(batch)
        received = smashed.detach().requires_grad_()
        hidden = self.split.body(received, batch.attention_mask)
        returned = hidden.detach().requires_grad_()
        loss = self.split.head.loss(returned, batch.labels)
        torch.autograd.backward(loss)
        hidden.backward(returned.grad)
        smashed.backward(received.grad)
        for own in (self.edge, self.body):
            nn.utils.clip_grad_norm_(own.values(), self.config.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach())


class PlainLoop:
    """All clients and the server of the baseline."""

    def __init__(self, inputs: Prepared, config: TrainingConfig) -> None:
        """Make every client."""
        self.config, self.round = config, 0
        whole = inputs.split.whole
        self.values = {n: v.clone() for n, v in whole.state_dict().items()}
        self.clients = [PlainClient(whole, data, config) for data in inputs.clients]

    def run_round(self) -> None:
        """Train every client for its local steps, then average."""
        steps, total = self.config.local_steps, self.config.rounds * self.config.local_steps
        for client in self.clients:
            client.whole.load_state_dict(self.values)
            for step in range(self.round * steps, (self.round + 1) * steps):
                client.train_step(client.data.batch(step), learning_rate(self.config, step, total))
        self.values = self.average()
        self.round += 1

    def average(self) -> dict[str, Tensor]:
        """Return the average of the clients' state dictionaries, weighted by examples."""
        total = sum(len(client.data.encoded) for client in self.clients)
        average = {n: torch.zeros_like(v) for n, v in self.values.items()}
        for client in self.clients:
            share = len(client.data.encoded) / total
            for name, value in client.whole.state_dict().items():
                average[name] += share * value
        return average
