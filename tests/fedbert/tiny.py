"""What the trainer's tests share: models, data and trainings small enough to run by the hundred."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import Encoded
from fedbert.fault_settings import NO_FAULTS, FaultsConfig
from fedbert.messages import KINDS as MESSAGE_KINDS
from fedbert.messages import Message
from fedbert.prepare import Prepared, assemble
from fedbert.split import SplitBert, copied, cut
from fedbert.tasks import TASKS
from fedbert.trainer import State, Trained, train
from fedbert.training_settings import TrainingConfig
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

LAYERS, HIDDEN, VOCAB = 2, 16, 60
KINDS = ("mlm-tied", "mlm-untied", "two", "three", "score")
TASK_OF = {"mlm-tied": "mlm", "mlm-untied": "mlm", "two": "sst2", "three": "mnli", "score": "stsb"}
NO_DEFENCE = Defence("none")
NOISE = NoiseSource.secret()  # where nothing is drawn
PAD, CLS, SEP, MASK = 1, 2, 3, 4  # a padding id other than 0, as RoBERTa has


def tokenizer() -> BertTokenizer:
    """Return a tokenizer of VOCAB words, special ones first."""
    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    words = special + [f"w{i}" for i in range(VOCAB - len(special))]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)})


def whole_model(
    architecture: str = "bert",
    kind: str = "two",
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    pad: int = PAD,
) -> Any:
    """Return a transformers model with random weights, none of them at a special value."""
    return copied(_whole_model(architecture, kind, dropout, dtype, seed, pad))


@cache
def _whole_model(
    architecture: str, kind: str, dropout: float, dtype: torch.dtype, seed: int, pad: int
) -> Any:
    common = {
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "pad_token_id": pad,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "num_labels": {"three": 3, "score": 1}.get(kind, 2),
        "tie_word_embeddings": kind != "mlm-untied",
    }
    make, masked, classify = {
        "bert": (BertConfig, BertForMaskedLM, BertForSequenceClassification),
        "roberta": (RobertaConfig, RobertaForMaskedLM, RobertaForSequenceClassification),
    }[architecture]
    config = make(**common)
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = (masked if kind.startswith("mlm") else classify)(config)
        with torch.no_grad():  # LayerNorms and biases start at ones and zeros: move them off
            for parameter in whole.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return whole.to(dtype)


def split_model(
    architecture: str = "bert", kind: str = "two", cut_layer: int = 0, **settings: Any
) -> SplitBert:
    """Return a tiny model, cut."""
    return cut(whole_model(architecture, kind, **settings), cut_layer)


def encoded(kind: str = "two", count: int = 24, seed: int = 0, longest: int = 12) -> Encoded:
    """Return random examples of 4 to `longest` tokens, of two segments each."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, longest + 1, count)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    rows, types = [], []
    for length in lengths:
        words = rng.integers(5, VOCAB - 10, length - 2)  # the last ten words occur nowhere
        rows.append(np.concatenate(([CLS], words, [SEP])))
        types.append((np.arange(length) >= length // 2).astype(np.int64))
    labels = {
        "two": rng.integers(0, 2, count),
        "three": rng.integers(0, 3, count),
        "score": rng.uniform(0, 5, count).astype(np.float32),
    }.get(kind, np.zeros(count, dtype=np.int64))
    task = TASKS[TASK_OF[kind]]
    return Encoded(
        task, np.concatenate(rows), np.concatenate(types), offsets, labels, np.arange(count)
    )


def config_of(
    kind: str = "two",
    clients: int = 1,
    seed: int = 0,
    partition: str = "iid",
    freeze: bool = False,
    cut_layer: int = 0,
    architecture: str = "bert",
    noise: str = "repeatable",
    faults: FaultsConfig = NO_FAULTS,
    **training: Any,
) -> Config:
    """Return the settings of a small training: three rounds of two steps."""
    values = {"rounds": 3, "local_steps": 2, "batch_size": 6, "learning_rate": 1e-2} | training
    return Config(
        ModelConfig(
            "tiny",
            architecture=architecture,
            tokenizer="generated",
            cut_layer=cut_layer,
            tie_decoder=kind != "mlm-untied",
            freeze_embeddings=freeze,
        ),
        DataConfig(
            task=TASK_OF[kind], source="generated", clients=clients, partition=partition, alpha=0.7
        ),
        TrainingConfig(**values),
        seed,
        noise=noise,
        faults=faults,
    )


def prepared_for(
    config: Config, kind: str = "two", dropout: float = 0.1, count: int = 24
) -> Prepared:
    """Return the tiny inputs of a training."""
    model = config.model
    dtype = torch.float64 if config.training.precision == "float64" else torch.float32
    split = split_model(
        model.architecture, kind, model.cut_layer, dropout=dropout, dtype=dtype, seed=config.seed
    )
    if model.freeze_embeddings:
        split.bottom.requires_grad_(False)
    examples = {"train": encoded(kind, count), "validation": encoded(kind, 8, seed=1)}
    return assemble(config, tokenizer(), split, examples, "0" * 64)


def trained(
    kind: str = "two",
    dropout: float = 0.1,
    count: int = 24,
    defence: Defence = NO_DEFENCE,
    listeners: Sequence[Any] = (),
    **settings: Any,
) -> Trained:
    """Return a small training, run to its end."""
    config = config_of(kind, **settings)
    return train(config, prepared_for(config, kind, dropout, count), defence, listeners=listeners)


class Recorder:
    """A listener that keeps all messages of some kinds, or all there are."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = frozenset(kinds)
        self.messages: list[Message] = []

    def hear(self, message: Message) -> None:
        """Keep it."""
        if not self.kinds or MESSAGE_KINDS[type(message)] in self.kinds:
            self.messages.append(message)


def overheard(**settings: Any) -> list[Message]:
    """Return every message of a small training."""
    recorder = Recorder()
    trained(listeners=[recorder], **settings)
    return recorder.messages


def as_bytes(state: State) -> dict[str, Any]:
    """Return everything in a state, arrays as shape, type and bytes."""

    def flat(arrays: dict[str, np.ndarray]) -> dict[str, tuple[Any, ...]]:
        return {n: (v.shape, v.dtype.str, v.tobytes()) for n, v in sorted(arrays.items())}

    parts = vars(replace(state))
    return {n: flat(v) if n in ("values", "arrays") else v for n, v in parts.items()}


def largest_difference(a: State, b: State) -> float:
    """Return the largest difference between two states' parameters."""
    assert a.values.keys() == b.values.keys()
    return max(float(np.abs(a.values[n] - b.values[n]).max()) for n in a.values)


def twin(whole: Any) -> Any:
    """Return a copy of a transformers model that shares nothing with it."""
    return copied(whole)
