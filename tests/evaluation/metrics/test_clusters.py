"""Intervals over examples that share a text: they hold, and without a shared text nothing moves."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from transformers import BertTokenizerFast

from evaluation.metrics.correlation import weighted_correlations
from evaluation.metrics.tasks import judge
from evaluation.run import utility
from fedbert.data.batches import encode
from fedbert.data.examples import Examples
from fedbert.data.repeats import clusters
from fedbert.errors import InputError
from fedbert.prepare import assemble
from fedbert.tasks import TASKS
from tests.fedbert import tiny

Z = float(stats.norm.isf(1e-4))
REPEATS, QUESTIONS = 100, 60

World = tuple[np.ndarray, np.ndarray, np.ndarray]


def questions(rng: np.random.Generator) -> np.ndarray:
    """Return which question each row asks: one to eleven rows ask the same."""
    return np.repeat(np.arange(QUESTIONS), rng.integers(1, 12, QUESTIONS))


def classes(rng: np.random.Generator) -> World:
    """Return answers, labels and clusters: an easy question is easy in all its rows."""
    asked = questions(rng)
    right = rng.random(len(asked)) < rng.beta(0.7, 0.3, QUESTIONS)[asked]
    labels = rng.integers(0, 2, len(asked))
    return np.where(right, labels, 1 - labels), labels, asked


def scores(rng: np.random.Generator) -> World:
    """Return answers, labels and clusters: rows of one question are near each other in both."""
    asked = questions(rng)
    mean = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], QUESTIONS)[asked]
    each = math.sqrt(0.9) * mean + math.sqrt(0.1) * rng.multivariate_normal(
        [0, 0], [[1, 0.6], [0.6, 1]], len(asked)
    )
    return each[:, 0], each[:, 1], asked


def masked(rng: np.random.Generator) -> World:
    """Return masked words, right ones and nats of blocks, and their documents."""
    asked = questions(rng)
    share = rng.beta(0.7, 0.3, QUESTIONS)[asked]
    counts = np.full(len(asked), 5)
    hits = rng.binomial(counts, share)
    return np.stack([counts, hits, counts * (1 - share)], 1), np.zeros(0), asked


SETTINGS = [
    ("sst2", classes, {"accuracy": 0.7}),
    ("cola", classes, {"matthews": 0.4}),
    ("mrpc", classes, {"f1": 0.7, "accuracy": 0.7}),
    ("stsb", scores, {"pearson": 0.6, "spearman": 6 / math.pi * math.asin(0.3)}),
    ("mlm", masked, {"masked_accuracy": 0.7, "perplexity": math.exp(0.3)}),
]


@pytest.mark.parametrize(("task", "world", "truth"), SETTINGS)
def test_clustered_intervals_hold_and_others_do_not(
    task: str, world: Callable[[np.random.Generator], World], truth: dict[str, float]
) -> None:
    """Seed 11; 93 % are demanded of 95, with a false alarm in 10,000 at exactly 93 %."""
    rng = np.random.default_rng(11)
    held, alone = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(REPEATS):
        answers, labels, asked = world(rng)
        one, other = (judge(TASKS[task], answers, labels, rng, each) for each in (asked, None))
        for metric, goal in truth.items():
            a, b = one[metric], other[metric]
            assert a.value == pytest.approx(b.value) and a.n == b.n
            held[metric] += a.low <= goal <= a.high
            alone[metric] += b.low <= goal <= b.high
    allowed = 0.93 - Z * math.sqrt(0.93 * 0.07 / REPEATS)
    assert min(held.values()) / REPEATS >= allowed, (held, alone)
    assert all(each / REPEATS < allowed for each in alone.values()), alone


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_weighted_correlations_are_those_of_repeated_examples(name: str) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    weights = rng.integers(0, 4, (5, 30))
    found = weighted_correlations(name, x, y, weights)
    oracle = stats.pearsonr if name == "pearson" else stats.spearmanr
    for value, each in zip(found, weights, strict=True):
        expected = oracle(np.repeat(x, each), np.repeat(y, each)).statistic
        assert value == pytest.approx(expected, abs=1e-12)
    one = np.zeros((1, 30), dtype=np.int64)
    one[0, 3] = 7
    assert weighted_correlations(name, x, y, one).tolist() == [0.0]


@pytest.mark.parametrize("task", ["sst2", "cola", "mrpc", "stsb", "mlm"])
def test_without_repeats_every_number_stays_as_it_was(task: str) -> None:
    world = {"stsb": scores, "mlm": masked}.get(task, classes)
    answers, labels, _ = world(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(answers))
    plain, own = (
        judge(TASKS[task], answers, labels, np.random.default_rng(2), each)
        for each in (None, order)
    )
    assert plain == own


def test_perfect_and_constant_answers_have_an_interval() -> None:
    labels, asked = np.tile([0, 1], 30), np.repeat(np.arange(20), 3)
    for answers in (labels, np.ones_like(labels)):
        for task in ("sst2", "cola", "mrpc"):
            for each in judge(
                TASKS[task], answers, labels, np.random.default_rng(0), asked
            ).values():
                assert -1 <= each.low <= each.value <= each.high <= 1 and each.low < each.high
    with pytest.raises(InputError, match="a cluster for each example"):
        judge(TASKS["sst2"], labels, labels, np.random.default_rng(0), asked[:-1])


def test_pairs_with_one_first_text_are_a_cluster_however_they_are_cut() -> None:
    tokenizer: Any = BertTokenizerFast(
        vocab={w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])}
    )
    texts = (("A b " * 9, "a"), ("a  b " * 9, "b " * 9), ("b", "a"), ("a", "b"), ("b ", "b"))
    examples = Examples(TASKS["mnli"], texts, np.zeros(5, dtype=np.int64), "here")
    encoded = encode(examples, tokenizer, 12)
    assert clusters(encoded).tolist() == [0, 0, 1, 2, 1]
    assert clusters(encoded.take([4, 3, 1])).tolist() == [1, 2, 0]
    single = Examples(TASKS["sst2"], (("a",), ("b",), ("A",)), np.zeros(3, dtype=np.int64), "here")
    assert clusters(encode(single, tokenizer, 12)).tolist() == [0, 1, 0]


def test_a_document_of_many_blocks_widens_the_interval_of_a_trained_model() -> None:
    found = []
    for documents in (np.arange(32), np.arange(32) // 8):
        config = tiny.config_of("mlm-tied")
        own = replace(tiny.encoded("mlm-tied", 32), documents=documents)
        parts = {"train": tiny.encoded("mlm-tied"), "validation": own}
        prepared = assemble(config, tiny.tokenizer(), tiny.split_model(kind="mlm-tied"), parts, "0")
        found.append(utility.measure(prepared, prepared.split, 0)[0]["perplexity"])
    assert found[0].value == pytest.approx(found[1].value)
    assert "sequences" in found[0].method and "documents" in found[1].method
