"""The generated tasks: the same for the same seed, closed, balanced enough, and learnable."""

from itertools import pairwise, product

import numpy as np
import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression, Ridge

from fedbert.data.examples import Examples
from fedbert.data.sources import load
from fedbert.data.synthetic import EVALUATION, TRAIN, WORDS
from fedbert.errors import InputError
from fedbert.tasks import TASKS

CLASSES = [task.name for task in TASKS.values() if task.kind == "classification"]
PLAIN_WORDS = ("sst2", "mrpc", "qqp", "mnli", "qnli", "rte")  # a bag of words already helps


def bag(texts: tuple[str, ...]) -> list[str]:
    """Return the words of the texts, marked by their column."""
    return [f"{i}:{word}" for i, text in enumerate(texts) for word in text.split()]


def relations(texts: tuple[str, ...]) -> list[str]:
    """Return words, neighbouring words, and (pairs) every word of one with every of the other."""
    found = bag(texts)
    for i, text in enumerate(texts):
        words = text.split()
        found += [f"{i}:{a} {b}" for a, b in pairwise(words)]
    if len(texts) == 2:
        found += [f"{a}*{b}" for a, b in product(texts[0].split(), texts[1].split())]
    return found


def hashed(examples: Examples, features: object = relations) -> object:
    hasher = FeatureHasher(2**15, input_type="string")
    return hasher.transform(features(texts) for texts in examples.texts)  # type: ignore[operator]


def accuracy(task: str, features: object) -> tuple[float, float]:
    """Return a logistic regression's accuracy and the majority's."""
    data = load(task, "generated", pool_size=1500, evaluation=400, seed=5)
    judged = data[TASKS[task].evaluation[0]]
    oracle = LogisticRegression(max_iter=300, C=1.0)
    oracle.fit(hashed(data["train"], features), data["train"].labels)
    right = float((oracle.predict(hashed(judged, features)) == judged.labels).mean())
    return right, float(np.bincount(judged.labels).max() / len(judged))


@pytest.mark.parametrize("task", CLASSES)
def test_a_simple_oracle_beats_the_majority(task: str) -> None:
    right, majority = accuracy(task, relations)
    assert right > majority + 0.15


@pytest.mark.parametrize("task", PLAIN_WORDS)
def test_the_words_alone_help(task: str) -> None:
    right, majority = accuracy(task, bag)
    assert right > majority + 0.1


def test_scores_can_be_predicted() -> None:
    data = load("stsb", "generated", pool_size=1500, evaluation=400, seed=5)
    oracle = Ridge(alpha=30.0).fit(hashed(data["train"]), data["train"].labels)
    guessed = oracle.predict(hashed(data["validation"]))
    assert np.corrcoef(guessed, data["validation"].labels)[0, 1] > 0.5
    assert set(data["train"].labels.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}


@pytest.mark.parametrize("task", list(TASKS))
def test_same_seed_same_content_and_no_text_on_both_sides(task: str) -> None:
    one, two, other = (
        load(task, "generated", pool_size=60, evaluation=30, seed=seed) for seed in (1, 1, 2)
    )
    assert {k: v.sha256 for k, v in one.items()} == {k: v.sha256 for k, v in two.items()}
    assert one["train"].sha256 != other["train"].sha256
    assert list(one) == ["train", *TASKS[task].evaluation]
    assert [len(v) for v in one.values()] == [60] + [30] * (len(one) - 1)
    texts = [text for split in one.values() for text in split.texts]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("task", list(TASKS))
def test_every_word_is_in_the_closed_list(task: str) -> None:
    data = load(task, "generated", pool_size=400, evaluation=50)
    used = {word for e in data.values() for texts in e.texts for t in texts for word in t.split()}
    assert used <= set(WORDS)
    assert list(WORDS) == sorted(set(WORDS))


@pytest.mark.parametrize("task", CLASSES)
def test_every_label_occurs_often(task: str) -> None:
    labels = load(task, "generated", pool_size=400)["train"].labels
    shares = np.bincount(labels, minlength=TASKS[task].num_labels) / len(labels)
    assert shares.min() > 0.2


def test_default_sizes() -> None:
    data = load("sst2", "generated")
    assert (len(data["train"]), len(data["validation"])) == (TRAIN, EVALUATION)


def test_asking_for_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def five(rng: np.random.Generator) -> tuple[tuple[str, ...], float]:
        return (WORDS[int(rng.integers(5))],), 0.0

    monkeypatch.setattr("fedbert.data.synthetic._MAKERS", {"sst2": five})
    assert len(load("sst2", "generated", pool_size=4, evaluation=1)["train"]) == 4
    with pytest.raises(InputError) as caught:
        load("sst2", "generated", pool_size=6, evaluation=1)
    assert str(caught.value) == "expected at most 5 train examples of generated sst2, got 6"
