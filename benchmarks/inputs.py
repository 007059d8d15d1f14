"""Inputs of the benchmarks: an untrained BERT and token ids that fall off as in a language."""

import copy
from dataclasses import dataclass, replace

import numpy as np
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import Encoded
from fedbert.data.client_data import ClientData, Vocabulary
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng, scoped
from fedbert.split import SplitBert, cut
from fedbert.tasks import TASKS
from fedbert.training_settings import TrainingConfig

VOCABULARY = Vocabulary(size=30_522, pad=0, mask=4, special=(0, 1, 2, 3, 4))
SHAPES = {"tiny": (2, 128, 2, 512), "MiniLM": (6, 384, 12, 1536), "base": (12, 768, 12, 3072)}
SEED = 7


@dataclass(frozen=True)
class Setting:
    """One measured setting: every client holds `examples` sentences of `length` tokens.

    ragged: of a quarter of that to all of it. few: how many clients take part in a round.
    """

    clients: int
    batch: int
    length: int
    model: str = "tiny"
    task: str = "sst2"
    dropout: float = 0.0
    rounds: int = 1
    steps: int = 8
    examples: int = 256
    strategy: str = "parallel"
    optimizer_state: str = "keep"
    cut: int = 0
    frozen: bool = False
    ragged: bool = False
    few: int | None = None

    def config(self) -> Config:
        """Return the training's configuration."""
        return Config(
            ModelConfig(
                "tiny",
                dropout=self.dropout,
                cut_layer=self.cut,
                freeze_embeddings=self.frozen,
            ),
            DataConfig(task=self.task, clients=self.clients, max_length=self.length),
            TrainingConfig(
                strategy=self.strategy,
                rounds=self.rounds,
                local_steps=self.steps,
                batch_size=self.batch,
                optimizer_state=self.optimizer_state,
                clients_per_round=self.few,
            ),
            SEED,
        )


def model(setting: Setting) -> SplitBert:
    """Return an untrained BERT with the full vocabulary, cut."""
    layers, hidden, heads, wide = SHAPES[setting.model]
    shape = BertConfig(
        vocab_size=VOCABULARY.size,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=wide,
        hidden_dropout_prob=setting.dropout,
        attention_probs_dropout_prob=setting.dropout,
        num_labels=2,
    )
    kind = BertForMaskedLM if setting.task == "mlm" else BertForSequenceClassification
    with scoped(SEED, "init"):
        split = cut(kind(shape), setting.cut)
    split.bottom.requires_grad_(not setting.frozen)
    return split


def encoded(setting: Setting, client: int) -> Encoded:
    """Return one client's sentences: [CLS] words [SEP], the words drawn by Zipf's law."""
    rng = numpy_rng(SEED, "words", client)
    words = np.arange(len(VOCABULARY.special), VOCABULARY.size)
    frequency = 1.0 / (np.arange(len(words)) + 2.7)  # Zipf-Mandelbrot
    shape = (setting.examples, setting.length)
    tokens = rng.choice(words, size=shape, p=frequency / frequency.sum())
    lengths = np.full(setting.examples, setting.length)
    if setting.ragged:
        lengths = rng.integers(setting.length // 4, setting.length + 1, setting.examples)
    tokens[:, 0], tokens[np.arange(setting.examples), lengths - 1] = 2, 3
    real = np.arange(setting.length) < lengths[:, None]
    return Encoded(
        task=TASKS[setting.task],
        tokens=tokens[real],
        token_types=np.zeros(int(lengths.sum()), dtype=np.int64),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=rng.integers(2, size=setting.examples),
        documents=np.arange(setting.examples),
    )


def prepared(setting: Setting) -> Prepared:
    """Return a training's inputs; clients hold a few examples fewer, so that the weights differ."""
    everyone = [encoded(setting, c) for c in range(setting.clients)]
    clients = tuple(
        ClientData(
            c, own.take(np.arange(len(own) - c % (len(own) // 2))), VOCABULARY, setting.batch, SEED
        )
        for c, own in enumerate(everyone)
    )
    return Prepared(
        task=TASKS[setting.task],
        tokenizer=None,
        vocabulary=VOCABULARY,
        split=model(setting),
        pool=everyone[0],
        members=None,
        clients=clients,
        evaluation={},
        counts={},
        data_sha256="",
    )


def with_own_model(inputs: Prepared) -> Prepared:
    """Return the same inputs around a copy of the model."""
    split = cut(copy.deepcopy(inputs.split.whole), inputs.split.cut_layer)
    return replace(inputs, split=split)
