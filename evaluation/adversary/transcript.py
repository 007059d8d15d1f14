"""Transcript: some messages of each view, and E and H as they were sent out."""

from collections import Counter
from dataclasses import dataclass, field

from fedbert.messages import (
    ClientParts,
    ClientUpdate,
    HiddenGradient,
    HiddenStates,
    Message,
    SmashedData,
    to_tensor,
)
from fedbert.split import EmbeddingTables, SplitBert, tables_of

UPDATES_KEPT = 2
RECEIPTS_KEPT = 2


@dataclass(frozen=True)
class TranscriptEntry:
    """A message, and the client parts that its sender started the round from."""

    message: SmashedData
    parts: ClientParts


@dataclass
class Transcript:
    """What is kept of a training: in some rounds the first step's messages of up to `each` senders.

    The aggregator sends E and H out, so it knows them exactly as they are at a client's first local
    step. Parts that no kept message refers to are let go. Of the updates the first UPDATES_KEPT are
    kept: each is as large as what the client trains. So are the first RECEIPTS_KEPT pairs of
    successive ClientParts of one client. secure: under secure aggregation, instead of updates, the
    first UPDATES_KEPT rounds' averages, as the next round's clients start from them, each beside
    what its round began from. turns counts a client's earlier rounds, in their order.
    """

    rounds: frozenset[int]
    each: int
    secure: bool = False
    entries: list[TranscriptEntry] = field(default_factory=list)
    updates: list[tuple[ClientParts, ClientUpdate]] = field(default_factory=list)
    receipts: list[tuple[ClientParts, ClientParts]] = field(default_factory=list)
    turns: dict[tuple[int, int], int] = field(default_factory=dict)
    _answers: dict[tuple[int, int, int], list[Message]] = field(default_factory=dict)
    _started: dict[int, ClientParts] = field(default_factory=dict)
    _training: dict[int, ClientParts] = field(default_factory=dict)
    _count: Counter[int] = field(default_factory=Counter)
    _turns: Counter[int] = field(default_factory=Counter)
    _received: dict[int, ClientParts] = field(default_factory=dict)
    _began: ClientParts | None = None

    def hear(self, message: Message) -> None:
        """Keep the message if it is one of those asked for."""
        if isinstance(message, ClientParts):
            self.turns[message.client, message.round] = self._turns[message.client]
            self._turns[message.client] += 1
            self._receive(message)
            if self.secure:
                self._sum(message)
        if message.round not in self.rounds:
            self._started.clear()
            self._training.clear()
        elif isinstance(message, ClientParts):
            self._started[message.client] = message
            if len(self.updates) < UPDATES_KEPT and not self.secure:
                self._training[message.client] = message
        elif isinstance(message, ClientUpdate):
            parts = self._training.pop(message.client, None)
            if parts is not None and len(self.updates) < UPDATES_KEPT:
                self.updates.append((parts, message))
        else:
            self._step(message)

    def answers_to(self, each: TranscriptEntry) -> list[Message]:
        """Return Z and G_Z of a kept message's step."""
        return self._answers[_step_of(each.message)]

    def _receive(self, message: ClientParts) -> None:
        """Keep what a client received twice running, for the first few."""
        if len(self.receipts) >= RECEIPTS_KEPT:
            self._received.clear()
            return
        if message.client in self._received:
            self.receipts.append((self._received[message.client], message))
        self._received[message.client] = message

    def _sum(self, message: ClientParts) -> None:
        """Keep what a round's average made of what its clients had begun from."""
        began = self._began
        if began is not None and began.round < message.round:
            if began.round in self.rounds and len(self.updates) < UPDATES_KEPT:
                made = ClientUpdate(began.client, began.round, 1, dict(message.tensors))
                self.updates.append((began, made))
            self._began = began = None
        if began is None and len(self.updates) < UPDATES_KEPT:
            self._began = message

    def _step(self, message: Message) -> None:
        """Keep a message of a client's first step."""
        if isinstance(message, SmashedData) and message.client in self._started:
            parts = self._started.pop(message.client)
            if self._count[message.round] < self.each:
                self._count[message.round] += 1
                self.entries.append(TranscriptEntry(message, parts))
                self._answers[_step_of(message)] = []
        elif isinstance(message, HiddenStates | HiddenGradient):
            answers = self._answers.get(_step_of(message))
            if answers is not None:
                answers.append(message)


def _step_of(message: SmashedData | HiddenStates | HiddenGradient) -> tuple[int, int, int]:
    return message.client, message.round, message.step


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
