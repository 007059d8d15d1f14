"""What the adversary of the forward view gets to see: messages, and E as it was sent out."""

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
    """Keeps the first messages of some rounds: at most `each` of them a round.

    The aggregator sends E to the clients, so it knows E as it was at the start of their local
    steps; parts that no kept message refers to are let go.
    """

    rounds: frozenset[int]
    each: int
    kept: list[Overheard] = field(default_factory=list)
    _latest: dict[int, ClientParts] = field(default_factory=dict)
    _count: dict[int, int] = field(default_factory=dict)

    def hear(self, message: Message) -> None:
        """Keep the message if it is one of those asked for."""
        if message.round not in self.rounds:
            self._latest.clear()
        elif isinstance(message, ClientParts):
            self._latest[message.client] = message
        elif isinstance(message, SmashedData) and self._count.get(message.round, 0) < self.each:
            self._count[message.round] = self._count.get(message.round, 0) + 1
            self.kept.append(Overheard(message, self._latest[message.client]))


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
