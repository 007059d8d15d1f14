"""Preparation of a training from its configuration: texts, tokens, clients, model."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fedbert.config import Config
from fedbert.data.batches import Encoded, encode
from fedbert.data.client_data import ClientData, Vocabulary
from fedbert.data.examples import Examples
from fedbert.data.partition import partition, partition_counts
from fedbert.data.people import rows_of_each
from fedbert.data.repeats import coin_groups
from fedbert.data.sources import bounded, load
from fedbert.data.survey import coin_in_words, essentials, left_out_in_words
from fedbert.errors import InputError, within
from fedbert.kept import KeptStore
from fedbert.model import (
    load_model,
    load_tokenizer,
    other_numbers,
    vocabulary_of,
)
from fedbert.seeding import data_seed, numpy_rng
from fedbert.split import SplitBert, room_of
from fedbert.tasks import Task
from fedbert.tokenizer_checks import doubts, unknown_words
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

Per = Literal["text", "row"]
"""What a hold-out coin falls for: a distinct text (with all of its persons), or (before) a row."""


@dataclass(frozen=True)
class Prepared:
    """A training's inputs.

    pool: all candidate examples; members [pool] bool: those in the training data (None: all).
    clients: the members, dealt to the clients. evaluation: encoded examples by split name.
    per: what the coin fell for. notes: what is to be known of the data, a line each. doubts: what
    may be wrong and is no error, each a sentence. store: where trainings of one process find what a
    frozen E made of the same examples.
    """

    task: Task
    tokenizer: Any
    vocabulary: Vocabulary
    split: SplitBert
    pool: Encoded
    members: np.ndarray | None
    clients: tuple[ClientData, ...]
    evaluation: dict[str, Encoded]
    counts: dict[str, dict[str, int]]
    data_sha256: str
    per: Per = "text"
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    store: KeptStore | None = None

    @property
    def coin_groups(self) -> np.ndarray:
        """The number of the coin that each example of the pool went by [pool] int64."""
        return coins_of(self.pool, self.per)


def task_of(config: Config) -> Task:
    """Return the task that a configuration names."""
    return config.data.chosen_task


def prepare(config: Config, coin: bool = False, per: Per = "text") -> Prepared:
    """Return what a training with this configuration starts from.

    coin: let a coin decide for every text of the pool whether it is trained on, so that membership
    can be tested on examples that differ in nothing else: a fair one, or one that keeps out
    `hold_out` of them. A `hold_out` alone is a coin, too. per: "row" for what was trained when
    twins had a coin each.
    """
    return dealt(config, loaded(config), coin, per)


@dataclass(frozen=True)
class Loaded:
    """What takes long to prepare: texts as tokens by split name, tokenizer, model.

    notes, doubts: as in `Prepared`.
    """

    tokenizer: Any
    split: SplitBert
    encoded: dict[str, Encoded]
    data_sha256: str
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def source_of(config: Config) -> tuple[object, ...]:
    """Return all that `loaded` reads of a configuration, as a key."""
    data = replace(config.data, partition="iid")
    return config.model, data, config.seed, config.training.precision


def loaded(config: Config) -> Loaded:
    """Return texts, tokenizer and model of a configuration; who holds what is not settled here."""
    task, data = task_of(config), config.data
    examples, every = examples_of(config)
    with within("model"):
        tokenizer = load_tokenizer(config.model)
    encoded = {name: encode(e, tokenizer, config.data.max_length) for name, e in examples.items()}
    with within("model"):
        split = load_model(config.model, task, tokenizer, config.seed, config.training.precision)
    settings = split.whole.config
    check_length(data.max_length, settings)
    notes = essentials(examples, encoded, data.max_length)
    if every > len(examples["train"]):
        notes += (left_out_in_words(every - len(examples["train"]), data.group_rows),)
    encoded = {name: typed(e, settings) for name, e in encoded.items()}
    found = doubts(tokenizer, settings.vocab_size) + other_numbers(config.model, tokenizer)
    found += unknown_words(encoded.values(), tokenizer, config.model.tokenizer)
    return Loaded(tokenizer, split, encoded, digest(examples), tuple(notes), tuple(found))


def examples_of(config: Config) -> tuple[dict[str, Examples], int]:
    """Return a configuration's examples by split, and how many of "train" there were before
    persons' rows were bounded."""
    task, data, seed = task_of(config), config.data, data_seed(config.seed)
    with within("data"):
        found = load(task, data.source, data.pool_size, data.evaluation, seed)
        every = len(found["train"])
        return found | {"train": bounded(found["train"], data.group_rows, seed)}, every


def dealt(config: Config, source: Loaded, coin: bool = False, per: Per = "text") -> Prepared:
    """Return what a training starts from, of what was loaded; the rest as for `prepare`."""
    made = assemble(
        config, source.tokenizer, source.split, source.encoded, source.data_sha256, coin, per=per
    )
    told: tuple[str, ...] = ()
    if made.members is not None:
        told = (coin_in_words(made.pool.labels, made.members, made.task, config.seed),)
    return replace(made, notes=(*source.notes, *told), doubts=source.doubts)


def check_length(max_length: int, settings: Any) -> None:
    """Raise InputError for examples longer than a model has positions for."""
    room = room_of(settings)
    if max_length > room:
        raise InputError(f"data: expected max_length <= {room}, got max_length={max_length}")


def typed(encoded: Encoded, settings: Any) -> Encoded:
    """Return examples with the token types that a model has: one that has a single type reads 0."""
    if settings.type_vocab_size == 1:
        return replace(encoded, token_types=np.zeros_like(encoded.token_types))
    most = int(encoded.token_types.max())
    if most >= settings.type_vocab_size:
        raise InputError(
            f"expected token types below {settings.type_vocab_size}, the model's "
            f"type_vocab_size, got {most} from the tokenizer"
        )
    return encoded


def digest(examples: dict[str, Examples]) -> str:
    """Return one sha256 over all splits."""
    text = "".join(f"{name}:{e.sha256};" for name, e in sorted(examples.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def assemble(
    config: Config,
    tokenizer: Any,
    split: SplitBert,
    encoded: dict[str, Encoded],
    data_sha256: str,
    coin: bool = False,
    members: np.ndarray | None = None,
    per: Per = "text",
) -> Prepared:
    """Return prepared inputs from parts that are loaded already.

    members [pool] bool: who is trained on, where that is settled already.
    """
    task = task_of(config)
    pool = encoded["train"]
    chosen = np.arange(len(pool))
    left_out = config.data.hold_out or (0.5 if coin else 0.0)
    if members is None and left_out > 0:
        groups = coins_of(pool, per)
        _refuse_one_coin(pool, groups)
        members = flips(groups, numpy_rng(config.seed, "members"), 1 - left_out)
    if members is not None:
        chosen = np.flatnonzero(members)
        if len(chosen) == 0:
            raise InputError(f"expected members among the pool, got pool={len(pool)} and none")
    own = pool.take(chosen)
    with within("data"):
        parts = partition(
            own.labels,
            config.data.clients,
            config.data.partition,
            config.data.alpha,
            numpy_rng(config.seed, "partition"),
            own.documents if task.kind == "mlm" else None,
            own.people,
        )
    counts = partition_counts(parts, own.labels, task.label_names)
    if config.training.strategy == "centralised":
        parts = (np.arange(len(own)),)
    vocabulary = vocabulary_of(tokenizer)
    clients = tuple(
        ClientData(
            i, own.take(part), vocabulary, config.training.batch_size, config.seed, chosen[part]
        )
        for i, part in enumerate(parts)
    )
    evaluation = {name: e for name, e in encoded.items() if name != "train"}
    return Prepared(
        task, tokenizer, vocabulary, split, pool, members, clients, evaluation, counts, data_sha256,
        per,
    )  # fmt: skip


def coins_of(pool: Encoded, per: Per) -> np.ndarray:
    """Return the number of the coin that each example goes by [example] int64."""
    return coin_groups(pool) if per == "text" else pool.documents


def _refuse_one_coin(pool: Encoded, groups: np.ndarray) -> None:
    """Refuse a hold-out by one coin for all persons: nobody, or everybody, would be trained on."""
    if pool.people is not None and (groups == groups[0]).all():
        persons = len(rows_of_each(pool.people))
        raise InputError(
            "data: expected persons without a text in common for the hold-out coin, got "
            f"{persons} persons, all linked by texts that read alike to the model"
        )


def flips(groups: np.ndarray, rng: np.random.Generator, chance: float = 0.5) -> np.ndarray:
    """Return a coin's fall for each example [example]: those of one group fall together.

    groups [example]: the number of the coin that each goes by; chance: of a member.
    """
    return np.asarray((rng.random(int(groups.max()) + 1) < chance)[groups])


def with_model(prepared: Prepared, split: SplitBert) -> Prepared:
    """Return the same inputs with another model."""
    return replace(prepared, split=split)


def poisson_sampled(prepared: Prepared, noise: NoiseSource | None = None) -> Prepared:
    """Return the same inputs with batches drawn by Poisson sampling, as DP-SGD needs them.

    noise: the training's, from which the coins come; without it nobody can say who was drawn.
    """
    clients = tuple(replace(data, poisson=True, coins=noise) for data in prepared.clients)
    return replace(prepared, clients=clients)


def most_rows(prepared: Prepared) -> int | None:
    """Return the most examples of one person that a client trains on; None: nobody's are known."""
    held = [d.encoded.people for d in prepared.clients if d.encoded.people is not None]
    return max((int(rows_of_each(each).max()) for each in held), default=None)


def expected_batches(prepared: Prepared) -> dict[int, float]:
    """Return every client's expected batch size."""
    return {d.client: d.sample_rate * len(d.encoded) for d in prepared.clients}


def under(prepared: Prepared, defence: Defence, noise: NoiseSource) -> Prepared:
    """Return the inputs as a training under a defence uses them.

    DP-SGD draws by Poisson sampling. Randomised response changes every client's labels once, for
    good; evaluation and the pool keep the true ones.
    """
    if defence.training is not None:
        prepared = poisson_sampled(prepared, noise)
    if defence.labels is None:
        return prepared
    clients = []
    for data in prepared.clients:
        draws = noise.draws("labels", data.client)
        labels = defence.labels.randomise(data.encoded.labels, draws)
        clients.append(replace(data, encoded=replace(data.encoded, labels=labels)))
    return replace(prepared, clients=tuple(clients))
