"""Spans recovered: whole or in part, each kind by itself, beside chance."""

import numpy as np
import pytest

from evaluation.metrics.spans import Marked, judge_spans, judge_texts_spans

TRUE = [np.array([[1, 5, 6, 7, 2], [1, 8, 9, 3, 2]]), np.array([[1, 5, 9, 0, 0]])]
MARKS = (np.array([[0, 1, 1, 2, 0], [0, 1, 1, 0, 0]]), np.array([[0, 1, 0, 0, 0]]))
KINDS = ([["name", "date"], ["name", "number"]], [["number"]])
CHANCES = ([[0.1, 0.2], [0.3, 0.9]], [[0.4]])
OFTEN = {kind: np.bincount([5, 5, 8], minlength=12) for kind in ("name", "number", "date")}
MARKED = Marked(MARKS, KINDS, CHANCES, OFTEN)


def rng(_: str) -> np.random.Generator:
    return np.random.default_rng(0)


def told(guessed: list[np.ndarray]) -> dict[str, tuple[float, int, float | None]]:
    found = judge_spans(TRUE, guessed, MARKED, rng)
    return {s.metric: (s.estimate.value, s.estimate.n, s.chance) for s in found if s.estimate}


def test_a_text_guessed_whole_gives_every_span() -> None:
    found = told(TRUE)
    assert {name: value for name, (value, *_) in found.items()} == dict.fromkeys(found, 1.0)
    assert found["name_spans"][2] == pytest.approx(0.2)  # of the two that are there
    assert found["number_spans"][2] == pytest.approx(0.4)  # the second of row 1 was cut off
    assert found["name_span_tokens"][2] == 0.25  # 5 stands at one of four tokens


def test_one_wrong_token_breaks_its_span_alone() -> None:
    guess = [each.copy() for each in TRUE]
    guess[0][0, 2] = 11
    found = told(guess)
    assert found["name_spans"][0] == 0.5
    assert found["name_span_tokens"][0] == 0.75
    assert found["date_spans"][0] == found["number_spans"][0] == 1.0


def test_what_stands_outside_of_spans_does_not_count() -> None:
    guess = [np.where(mark == 0, 11, true) for mark, true in zip(MARKS, TRUE, strict=True)]
    assert told(guess) == told(TRUE)


def test_a_kind_that_is_not_there_is_not_measured() -> None:
    empty = Marked(MARKS[1:], ([["number"]],), ([[0.4]],), OFTEN)
    found = {s.metric: s.why for s in judge_spans(TRUE[1:], TRUE[1:], empty, rng)}
    assert found["name_spans"] == found["name_span_tokens"]
    assert found["name_spans"] == "no name among the attacked tokens"
    assert found["number_spans"] == ""


def test_a_guess_without_positions_gives_what_stands_in_it() -> None:
    texts = [TRUE[0][0], TRUE[0][1]]
    own = Marked((MARKS[0][:1], MARKS[0][1:]), (KINDS[0][:1], KINDS[0][1:]),
                 (CHANCES[0][:1], CHANCES[0][1:]), OFTEN)  # fmt: skip

    def values(guessed: list[np.ndarray]) -> dict[str, float]:
        found = judge_texts_spans(texts, guessed, own, rng)
        return {s.metric: s.estimate.value for s in found if s.estimate}

    moved = values([np.array([7, 3, 5, 6]), np.array([9, 8])])
    assert moved["name_spans"] == 0.5  # 9 8 are the second's tokens, in another order
    assert moved["name_span_tokens"] == moved["date_spans"] == 1.0
    with_chance = {s.metric: s.chance for s in judge_texts_spans(
        texts, [np.array([7, 3, 5, 6]), np.array([9, 8])], own, rng)}  # fmt: skip
    # of the first text 3 rows of two tokens at .1 each, of the second one at .3
    assert with_chance["name_spans"] == pytest.approx((0.3 + 0.3) / 2)
    assert with_chance["date_spans"] == pytest.approx(4 * 0.2)
    assert with_chance["name_span_tokens"] == 1.0  # both that occur are among two
    nothing = values([np.zeros(0, dtype=np.int64)] * 2)
    assert set(nothing.values()) == {0.0} and set(nothing) == set(moved)


def test_no_guess_without_the_vector_is_better_than_chance() -> None:
    """Simulated: values drawn evenly of 20, guesses that pack as many of them as they hold.

    3,000 texts; a mean that lies 4.5 standard errors above chance: false alarms below 1e-5.
    """
    draw = np.random.default_rng(5)
    values = draw.permutation(np.arange(10, 50)).reshape(20, 2)
    true = [np.concatenate([[1], values[draw.integers(20)], [2]]) for _ in range(3000)]
    guess = np.concatenate([values[:4].ravel(), [3, 4]])
    marks = tuple(np.array([[0, 1, 1, 0]]) for _ in true)
    often = {kind: np.bincount(np.concatenate([t[1:3] for t in true]), minlength=60)
             for kind in ("name", "number", "date")}  # fmt: skip
    own = Marked(marks, tuple([["name"]] for _ in true), tuple([[1 / 20]] for _ in true), often)
    found = {s.metric: s for s in judge_texts_spans(true, [guess] * len(true), own, rng)}
    for metric, share in (("name_spans", 4 / 20), ("name_span_tokens", 4 / 20)):
        score = found[metric]
        assert score.estimate is not None and score.chance is not None
        assert abs(score.estimate.value - share) < 4.5 * (share * (1 - share) / 3000) ** 0.5
        assert share < score.chance < 0.5
