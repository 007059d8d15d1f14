"""Round-by-round record of an aggregator: losses of candidates, directions of updates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from attacks.membership.updates import Gradients, last_gradients, last_layer
from attacks.signals import Answers
from evaluation.adversary.inference import answers_on, batches
from fedbert.messages import Array, ClientUpdate, Message, RowValues, dense
from fedbert.prepare import Prepared
from fedbert.split import SplitBert, duplicate
from fedbert.trainer import State, load_values


@dataclass
class RoundWatch:
    """Listens to updates, and looks at the global model after every round.

    The gradients of a round's start are laid against each of its updates, so nothing as large as a
    model is kept. secure: under secure aggregation, against each round's average alone.
    """

    prepared: Prepared
    examples: np.ndarray
    seed: int
    secure: bool = False
    model: SplitBert = field(init=False)
    losses: list[np.ndarray] = field(default_factory=list)
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = field(default_factory=list)
    _start: Gradients | None = None
    _names: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        """Look at the first model."""
        self.model = duplicate(self.prepared.split)
        layer = last_layer(self.model)
        own = {id(p): n for n, p in self.model.whole.named_parameters()}
        self._names = own[id(layer.weight)], own[id(layer.bias)]
        self._look()

    def hear(self, message: Message) -> None:
        """Lay a client's update of the last layer against the candidates' gradients."""
        if isinstance(message, ClientUpdate) and not self.secure:
            self._compare(message.client, message.tensors)

    def _compare(self, client: int, tensors: Mapping[str, Array | RowValues]) -> None:
        """Lay new values of the last layer, a client's or the average, against the gradients."""
        if self._start is None or set(self._names) - set(tensors):
            return
        layer = last_layer(self.model)
        before = [value.detach().double().numpy() for value in (layer.weight, layer.bias)]
        after = [dense(tensors[name]).astype(np.float64) for name in self._names]
        moved = self._start.against(after[0] - before[0], after[1] - before[1])
        self.found[-1][client] = moved

    def on_round(self, state: State) -> None:
        """Look at the global model after a round."""
        if self.secure:
            self._compare(0, state.values)
        load_values(self.model, state.values)
        self._look()

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return losses [round, candidate]; cosines and differences [round, client, candidate]."""
        rounds = [each for each in self.found if each]
        clients = sorted({client for each in rounds for client in each})
        if not rounds:
            return np.array(self.losses), None, None
        shape = (len(rounds), len(clients), len(self.examples))
        both = np.full((2, *shape), np.nan)
        for r, each in enumerate(rounds):
            for client, moved in each.items():
                both[:, r, clients.index(client)] = moved
        return np.array(self.losses), both[0], both[1]

    def _look(self) -> None:
        answers: Answers = answers_on(self.model, self.prepared, self.examples, self.seed)
        self.losses.append(answers.losses)
        self.found.append({})
        if self.prepared.task.kind == "classification":
            shown = batches(
                self.prepared, self.prepared.pool, self.examples, self.seed, "candidates"
            )
            self._start = last_gradients(self.model, shown)
