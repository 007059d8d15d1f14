import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from transformers import BertConfig, BertForMaskedLM

from evaluation.adversary.inference import predict
from evaluation.metrics.tasks import f1_of, judge, majority_baseline, matthews_of
from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.split import SplitBert, cut
from fedbert.tasks import TASKS, own_task
from tests.attacks import worlds

NAMES = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
CLASSES = [name for name in NAMES if name != "stsb"]
Z = float(stats.norm.isf(1e-4))


def fresh() -> np.random.Generator:
    return np.random.default_rng(5)


def example(name: str, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return answers that are often right, and labels."""
    rng = fresh()
    if name == "stsb":
        labels = rng.uniform(0, 5, n).astype(np.float32)
        return labels + rng.normal(size=n), labels
    labels = rng.integers(0, TASKS[name].num_labels, n)
    return np.where(rng.random(n) < 0.7, labels, rng.permutation(labels)), labels


ONE_LABEL = "ignore:A single label was found"  # scikit-learn, where both sides are constant


def oracle(name: str, answers: np.ndarray, labels: np.ndarray) -> float:
    return {
        "accuracy": metrics.accuracy_score,
        "f1": metrics.f1_score,
        "matthews": metrics.matthews_corrcoef,
        "pearson": lambda y, a: stats.pearsonr(a, y).statistic,
        "spearman": lambda y, a: stats.spearmanr(a, y).statistic,
    }[name](labels, answers)


@pytest.mark.parametrize("name", NAMES)
def test_official_metrics_headline_first(name: str) -> None:
    answers, labels = example(name)
    found = judge(TASKS[name], answers, labels, fresh())
    assert tuple(found) == TASKS[name].metrics
    for metric, estimate in found.items():
        assert estimate.value == pytest.approx(oracle(metric, answers, labels), abs=1e-6)
        assert estimate.low < estimate.value < estimate.high
        assert estimate.high - estimate.low < 0.25 and estimate.n == 300
    assert found == judge(TASKS[name], answers, labels, fresh())


FIVE = own_task("t", None, "y", tuple("abcde"), "macro_f1")


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("n", [4, 30, 300])
def test_macro_f1_is_the_mean_over_the_classes_that_occur(classes: int, n: int) -> None:
    """Of five, those without label and answer count for nothing, 0 and 1 among them."""
    rng = np.random.default_rng(classes * n)
    labels = rng.integers(5 - classes, 5, n)
    answers = np.where(rng.random(n) < 0.6, labels, rng.permutation(labels))
    found = judge(FIVE, answers, labels, fresh())
    assert tuple(found) == ("macro_f1", "accuracy")
    macro = found["macro_f1"]
    assert macro.value == pytest.approx(metrics.f1_score(labels, answers, average="macro"))
    assert macro.low < macro.value < macro.high or macro.value == 1
    assert macro.high - macro.low < (0.2 if n == 300 else 1)
    baseline = majority_baseline(FIVE, [labels], [labels])["macro_f1"]
    commonest = np.full_like(labels, np.bincount(labels).argmax())
    expected = metrics.f1_score(labels, commonest, average="macro", zero_division=0)
    assert baseline == pytest.approx(expected)


@pytest.mark.parametrize("right", [True, False])
def test_macro_f1_of_a_single_class_has_an_interval(right: bool) -> None:
    labels = np.full(20, 3)
    macro = judge(FIVE, labels if right else labels + 1, labels, fresh())["macro_f1"]
    assert macro.value == right and 0 <= macro.low < macro.high <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 3, 50])
@pytest.mark.parametrize("kind", ["constant", "right", "wrong", "labels constant"])
def test_extremes_are_defined(name: str, n: int, kind: str) -> None:
    _, labels = example(name, n)
    if kind == "labels constant":
        labels = np.full_like(labels, labels[0])
    answers = {
        "constant": np.full_like(labels, 1),
        "right": labels,
        "wrong": 5 - labels if name == "stsb" else (labels + 1) % TASKS[name].num_labels,
        "labels constant": np.arange(n) % 2,
    }[kind].astype(labels.dtype)
    for metric, estimate in judge(TASKS[name], answers, labels, fresh()).items():
        assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1
        constant = np.ptp(answers) == 0 or np.ptp(labels) == 0
        if constant and metric in ("matthews", "pearson", "spearman"):
            assert estimate.value == 0
        elif n >= 3 and kind == "right" and not constant and metric != "f1":
            assert estimate.value == pytest.approx(1.0) and estimate.low < 1.0


@pytest.mark.filterwarnings(ONE_LABEL)
@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_table_formulas_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs).T
    table = metrics.confusion_matrix(labels, answers, labels=[0, 1, 2]).astype(float)
    expected = metrics.matthews_corrcoef(labels, answers)
    assert float(matthews_of(table)) == pytest.approx(expected, abs=1e-12)
    assert float(matthews_of(table / 7)) == pytest.approx(expected, abs=1e-12)
    f1 = metrics.f1_score(labels, answers, labels=[1], average="macro", zero_division=0)
    assert float(f1_of(table)) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize(("name", "metric"), [("mrpc", "f1"), ("cola", "matthews")])
def test_interval_covers(name: str, metric: str) -> None:
    """A credible interval, near its confidence: 92 % demanded, false alarm at most 1e-4."""
    rng = fresh()
    truth = np.array([[0.24, 0.06], [0.07, 0.63]])
    goal = float((f1_of if metric == "f1" else matthews_of)(truth))
    covered = []
    for _ in range(150):
        drawn = rng.choice(4, size=400, p=truth.ravel())
        found = judge(TASKS[name], drawn % 2, drawn // 2, rng)[metric]
        covered.append(found.low <= goal <= found.high)
    assert np.mean(covered) >= 0.92 - Z * math.sqrt(0.92 * 0.08 / 150)
    assert np.mean(covered) < 1.0


def test_baseline_is_the_training_majority() -> None:
    train, labels = np.array([1, 1, 1, 0]), np.array([1, 0, 0, 1, 1])
    assert majority_baseline(TASKS["sst2"], train, labels) == {"accuracy": 0.6}
    assert majority_baseline(TASKS["cola"], train, labels) == {"matthews": 0.0}
    assert majority_baseline(TASKS["mrpc"], train, labels) == {
        "f1": pytest.approx(0.75),
        "accuracy": 0.6,
    }
    # Whoever learnt the other way round, and answers so, is no better than a constant.
    other = majority_baseline(TASKS["mrpc"], 1 - train, labels)
    assert other == majority_baseline(TASKS["mrpc"], train, labels)
    scores = np.array([1.0, 2.0])
    assert majority_baseline(TASKS["stsb"], scores, scores) == {"pearson": None, "spearman": None}
    train, labels = [np.array([[7, -100], [7, 8]])], [np.array([[-100, 7], [9, -100]])]
    assert majority_baseline(TASKS["mlm"], train, labels) == {
        "masked_accuracy": 0.5,
        "perplexity": None,
    }


def test_masked_lm() -> None:
    rows = np.array([[4, 2, 8.0], [1, 1, 0.5], [0, 0, 0.0], [3, 0, 9.0]])
    found = judge(TASKS["mlm"], rows, np.zeros(0), fresh())
    assert list(found) == ["masked_accuracy", "perplexity"]
    assert found["masked_accuracy"].value == 3 / 8
    assert found["perplexity"].value == pytest.approx(math.exp(17.5 / 8))
    assert found["perplexity"].low < math.exp(17.5 / 8) < found["perplexity"].high
    assert {each.n for each in found.values()} == {8}
    diverged = judge(TASKS["mlm"], np.array([[1, 0, 1e9]]), np.zeros(0), fresh())
    assert math.isfinite(diverged["perplexity"].value)


@pytest.mark.parametrize(
    ("name", "answers", "labels"),
    [
        ("sst2", [], []),
        ("sst2", [1, 0], [1]),
        ("stsb", [float("nan"), 1.0], [1.0, 2.0]),
        ("mlm", [[1, 2]], []),
        ("mlm", [[0, 0, 0]], []),
    ],
)
def test_bad_input_is_refused(name: str, answers: list[float], labels: list[float]) -> None:
    with pytest.raises(InputError, match=r"^expected"):
        judge(TASKS[name], np.array(answers), np.array(labels), fresh())


def masked_lm() -> tuple[SplitBert, Batch]:
    config = BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        split = cut(BertForMaskedLM(config), 0)
    examples = worlds.batch(split, 6, 9, seed=1)
    chosen = (torch.arange(9) % 3 == 1) & (examples.attention_mask == 1)
    chosen[2] = False
    labels = torch.where(chosen, examples.input_ids, -100)
    parts = vars(examples) | {"labels": labels}
    return split, Batch(**parts)


def test_predict_classes_and_scores() -> None:
    for labels in (2, 3, 1):
        split = worlds.model(num_labels=labels, hidden_dropout_prob=0.5)
        batches = [worlds.batch(split, n, 9, seed=n) for n in (3, 5)]
        expected = torch.cat([split.logits(each) for each in batches]).detach()
        split.whole.train()
        found = predict(split, iter(batches))
        assert split.whole.training
        if labels == 1:
            np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected.argmax(1))


def test_predict_masked_words() -> None:
    split, examples = masked_lm()
    split.whole.eval()
    found = predict(split, [examples])
    logits = split.logits(examples).detach()
    for i in range(6):
        at = examples.labels[i] != -100
        truth = examples.labels[i][at]
        right = (logits[i][at].argmax(-1) == truth).sum()
        nats = F.cross_entropy(logits[i][at], truth, reduction="sum") if at.any() else 0.0
        np.testing.assert_allclose(found[i], [at.sum(), right, float(nats)], rtol=1e-5)
    assert found[2].tolist() == [0, 0, 0]


def test_predict_refuses_a_model_that_diverged_and_no_batches() -> None:
    split = worlds.model()
    with pytest.raises(InputError, match="at least one batch"):
        predict(split, [])
    with torch.no_grad():
        split.whole.classifier.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="non_finite=6 of 6"):
        predict(split, [worlds.batch(split, 3, 9, seed=1)])
    assert not split.whole.training
