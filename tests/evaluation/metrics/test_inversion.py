"""Judging text: classes of words, every score beside chance, samples of sentences."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.attacking.samples import SENTENCES, TOKENS, sampled
from evaluation.metrics.inversion import Text, judge_text, judge_words
from evaluation.metrics.token_classes import CLASSES, classify, plain
from fedbert.seeding import numpy_rng

NAMES = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "the",
    "of",
    "1990",
    "3rd",
    ".",
    "film",
    "plot",
    "##ing",
    "rare",
]
SPECIAL = (0, 1, 2)
OFTEN = np.array([0, 0, 0, 50, 20, 3, 1, 30, 40, 30, 20, 4])
CLASSES_OF = classify(NAMES, SPECIAL, OFTEN)
TEXT = Text(SPECIAL, CLASSES_OF, OFTEN)
TRUE = np.array([[1, 3, 8, 7, 2, 0], [1, 5, 11, 10, 4, 2]])
COUNTED = ~np.isin(TRUE, SPECIAL)


def rng(_: str) -> np.random.Generator:
    return numpy_rng(1, "judge")


def scores(guess: np.ndarray, counted: np.ndarray = COUNTED) -> dict[str, float | None]:
    """The value of every metric; None where there is none."""
    found = judge_text([TRUE], [guess], [counted], TEXT, rng)
    return {each.metric: each.estimate and each.estimate.value for each in found}


def test_classes_of_a_vocabulary_by_hand() -> None:
    assert [CLASSES[i] for i in CLASSES_OF.index] == [
        "special", "special", "special", "function", "function", "number", "number",
        "punctuation", "common", "common", "common", "rare",
    ]  # fmt: skip
    assert np.flatnonzero(CLASSES_OF.content).tolist() == [5, 6, 8, 9, 10, 11]


def test_rare_words_make_up_a_tenth_of_the_words_at_most_and_ties_go_together() -> None:
    words = [f"w{'x' * i}" for i in range(20)]
    counts = np.array([1] * 10 + [2] * 5 + [20] * 5)  # 10 + 10 + 100: a tenth is 12
    rare = classify(words, (), counts).mask("rare")
    assert np.flatnonzero(rare).tolist() == list(range(10))
    none = classify(words, (), np.full(20, 7)).mask("rare")
    assert not none.any()


@pytest.mark.parametrize(
    ("word", "kind"),
    [("The", "function"), ("Paris", "rare"), ("90s", "number"), ("3.5", "number"),
     ("b52", "common"), ("##the", "function"), ("\u0120London", "rare"), ("!", "punctuation"),
     ("\u00e9t\u00e9", "common"), ("##", "punctuation")],
)  # fmt: skip
def test_classes_of_words(word: str, kind: str) -> None:
    assert CLASSES[classify([word, "x"], (), np.array([90, 10])).index[0]] == kind


def test_what_is_right_everywhere_scores_one_and_what_is_nowhere_scores_nothing() -> None:
    assert set(scores(TRUE).values()) == {1.0}
    assert set(scores(np.full_like(TRUE, 6)).values()) == {0.0}


def test_scores_of_one_guess_by_hand() -> None:
    guess = np.array(
        [[9, 8, 3, 7, 9, 9], [9, 5, 9, 10, 3, 9]]
    )  # truth: the film . | 1990 rare ##ing of
    found = scores(guess)
    assert found["token_accuracy"] == 3 / 7  # ".", "1990", "##ing"
    assert found["content_token_accuracy"] == 2 / 4
    assert found["number_accuracy"] == 1.0 and found["rare_word_accuracy"] == 0.0
    assert found["function_word_accuracy"] == 0.0
    assert found["token_recall"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["token_precision"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["rouge1"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["rougeL"] == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert found["exact_match"] == 0.0


def test_chance_is_what_the_most_frequent_words_reach() -> None:
    found = {s.metric: s.chance for s in judge_text([TRUE], [TRUE], [COUNTED], TEXT, rng)}
    assert found["token_accuracy"] == 1 / 7  # "the" everywhere
    assert found["content_token_accuracy"] == 1 / 4 and found["number_accuracy"] == 1.0
    assert found["function_word_accuracy"] == 1 / 2
    # as many of the most frequent as the text has: the film . | the film . plot
    assert found["token_recall"] == found["exact_match"] == pytest.approx((3 / 3 + 0) / 2)
    assert found["rouge2"] == pytest.approx((2 / 2 + 0) / 2)


def test_a_class_without_tokens_says_so() -> None:
    chosen = COUNTED & (TRUE != 5)
    found = {s.metric: s for s in judge_text([TRUE], [TRUE], [chosen], TEXT, rng)}
    assert found["number_accuracy"].estimate is None
    assert "no number" in found["number_accuracy"].why
    assert found["token_accuracy"].estimate is not None


@given(st.lists(st.integers(0, 11), min_size=12, max_size=12), st.integers(0, 11))
@settings(max_examples=5)
def test_what_stands_at_specials_and_padding_never_counts(guess: list[int], other: int) -> None:
    one = np.array(guess).reshape(2, 6)
    assert scores(one) == scores(np.where(COUNTED, one, other))


def test_words_in_any_order() -> None:
    found = list(judge_words([TRUE], [TRUE[:, ::-1]], TEXT, rng))
    assert [each.metric for each in found] == ["token_precision", "token_recall", "token_f1"]
    assert all(each.estimate and each.estimate.value == 1.0 for each in found)


def test_samples_say_how_often_each_word_was_recovered() -> None:
    good, bad = TRUE.copy(), TRUE.copy()
    bad[:, 1] = 9
    texts = [["a", "b"], ["a", "c"]]
    found = sampled(
        [TRUE, TRUE], [COUNTED, COUNTED], texts, {"weak": [bad, bad], "strong": [bad, good]}, NAMES
    )
    assert len(found) == 3  # a is one sentence, heard twice
    assert found[0]["words"] == [["the", 1, 4], ["film", 4, 4], [".", 4, 4]]
    assert found[0]["best"] == {"attack": "strong", "words": ["the", "film", "."]}
    assert found[1]["words"][0] == ["1990", 0, 2] and found[1]["words"][2][0] == "##ing"
    assert sampled([TRUE], [COUNTED], [["a", "b"]], {}, NAMES) == []


@pytest.mark.parametrize("names", [["[PAD]", "[UNK]", "film"], ["<pad>", "<unk>", "\u0120film"]])
def test_samples_show_words_that_the_tokenizer_does_not_know(names: list[str]) -> None:
    ids = np.array([[1, 2, 1, 0]])
    (found,) = sampled([ids], [ids > 1], [["a"]], {"x": [np.full_like(ids, 2)]}, names, 1)
    assert found["words"] == [[names[1], None, 0], ["film", 1, 1], [names[1], None, 0]]
    assert found["best"]["words"] == ["film"] * 3
    (found,) = sampled([ids], [ids > 1], [["a"]], {"x": [ids]}, names)
    assert found["words"] == [["film", 1, 1]]


def test_samples_are_few_and_short() -> None:
    long = np.full((9, 200), 8)
    counted = np.ones_like(long, dtype=bool)
    found = sampled([long], [counted], [list(range(9))], {"x": [long]}, NAMES)
    assert len(found) == SENTENCES and {len(each["words"]) for each in found} == {TOKENS}


def test_pieces_are_told_from_words_in_either_kind_of_vocabulary() -> None:
    assert plain("##ing") == ("ing", True) and plain("\u0120the") == ("the", False)
    names = ["<s>", "\u0120film", "ing"]
    ids = np.array([[1, 2]])
    (found,) = sampled([ids], [ids > 0], [["a"]], {"x": [np.array([[1, 7]])]}, names)
    assert [each[0] for each in found["words"]] == ["film", "##ing"]
    assert found["best"]["words"] == ["film", "[7]"]
    assert Counter(each[1] for each in found["words"]) == {1: 1, 0: 1}
