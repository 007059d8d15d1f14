"""What the adversary of the forward view gets to see: messages, and E as it was sent out."""

from collections import Counter
from dataclasses import dataclass, field

from fedbert.messages import ClientParts, Message, SmashedData, to_tensor
from fedbert.split import EmbeddingTables, SplitBert, tables_of


@dataclass(frozen=True)
class Overheard:
    """A message, and the client parts that its sender started the round from."""

    message: SmashedData
    parts: ClientParts


@dataclass
class Wiretap:
    """Keeps the first message of up to `each` senders in each of some rounds.

    The aggregator sends E out, so it knows E exactly as it is at a client's first local step. Parts
    that no kept message refers to are let go.
    """

    rounds: frozenset[int]
    each: int
    kept: list[Overheard] = field(default_factory=list)
    _started: dict[int, ClientParts] = field(default_factory=dict)
    _count: Counter[int] = field(default_factory=Counter)

    def hear(self, message: Message) -> None:
        """Keep the message if it is one of those asked for."""
        if message.round not in self.rounds:
            self._started.clear()
        elif isinstance(message, ClientParts):
            self._started[message.client] = message
        elif isinstance(message, SmashedData) and message.client in self._started:
            parts = self._started.pop(message.client)
            if self._count[message.round] < self.each:
                self._count[message.round] += 1
                self.kept.append(Overheard(message, parts))


def spread(rounds: int, senders: int, messages: int) -> frozenset[int]:
    """Return the rounds to listen to: evenly spread, the first and the last among them.

    >>> sorted(spread(rounds=10, senders=2, messages=6))
    [0, 4, 9]
    """
    wanted = max(2, messages // senders)
    if wanted >= rounds:
        return frozenset(range(rounds))
    return frozenset(i * (rounds - 1) // (wanted - 1) for i in range(wanted))


def same_values(one: ClientParts, other: ClientParts) -> bool:
    """Return whether two clients were sent the very same arrays."""
    return all(other.tensors[name] is value for name, value in one.tensors.items())


def tables_from(parts: ClientParts, split: SplitBert) -> EmbeddingTables | None:
    """Return the tables of E in what the aggregator sent; None where E has encoder layers too."""
    if split.cut_layer > 0:
        return None
    config = split.whole.config
    prefix = f"{config.model_type}.embeddings."
    names = {
        "word": "word_embeddings.weight",
        "position": "position_embeddings.weight",
        "token_type": "token_type_embeddings.weight",
        "norm_weight": "LayerNorm.weight",
        "norm_bias": "LayerNorm.bias",
    }
    tensors = {key: to_tensor(parts.tensors[prefix + name]) for key, name in names.items()}
    return tables_of(tensors, config)
