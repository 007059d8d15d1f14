"""Alike sentences: nothing that one of them says is lost."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.guarantee import Guarantee
from privacy.mechanism import VIEWS
from reports.alike import as_one, over_seeds, over_views

WORDS = st.text("abc.,", min_size=1, max_size=4)


def test_one_sentence_stays_as_it_is() -> None:
    assert as_one(["a b."]) == "a b." and over_seeds(["a b.", "a b."]) == "a b."


def test_seeds_that_differ_in_a_number_are_told_as_one() -> None:
    rates = ["epsilon 8 (at rate 0.0157); n=8, over 3.", "epsilon 8 (at rate 1e-05); n=9, over 3."]
    assert over_seeds(rates) == "epsilon 8 (at rate 0.0157 or 1e-05); n=8 or n=9, over 3."


@pytest.mark.parametrize(
    "sentences",
    [
        ("epsilon 2 (at rate 0.1).", "epsilon 8 (at rate 0.5)."),
        ("epsilon 8 and delta 1e-05.", "epsilon 8 and delta 0.01."),
        ("so 3 d over 10 releases.", "so 6 d over 20 releases."),
        ("each record is protected.", "each client is protected."),
        ("over one.", "over 1."),
        ("at rate 0.1.", "at rate 0.1,"),
    ],
)
def test_what_is_claimed_and_words_are_never_told_as_one_of_two(sentences: Sequence[str]) -> None:
    assert as_one(sentences) is None
    assert over_seeds(sentences) == " Or, for another seed: ".join(sentences)


def test_claims_of_seeds_are_told_as_one_where_their_epsilon_is() -> None:
    """Those of a guarantee itself: no sentence lends its epsilon to another's rate."""

    def said(epsilon: float, rate: float) -> str:
        accountant = f"pld, Poisson sampling at rate {rate}"
        left = ("what is left",)
        return Guarantee(
            "release", "record", "replace-one", epsilon, 1e-5, 1, "data set", accountant, left
        ).sentence()

    assert "epsilon 8 and" in (as_one([said(8, 0.1), said(8, 0.5)]) or "")
    assert as_one([said(2, 0.1), said(8, 0.5)]) is None


def test_other_sentences_are_told_one_after_the_other() -> None:
    assert over_seeds(["a b c d.", "e f g h."]) == "a b c d. Or, for another seed: e f g h."
    assert over_seeds(["a b.", "a."]) == "a b. Or, for another seed: a."


def test_views_stand_together_only_where_all_else_is_the_same() -> None:
    said = [(v, f"Against the {v} view 1.") for v in ("forward", "peer", "release")]
    assert over_views(said) == [
        ("forward, peer, release", "Against the forward, peer, release views 1.")
    ]
    assert over_views([(v, f"Nothing that the {v} view could see.") for v in ("peer", "b")]) == [
        ("peer, b", "Nothing that the peer, b views could see.")
    ]
    other = [*said[:2], ("release", "Against the release view 2.")]
    assert over_views(other) == [
        ("forward, peer", "Against the forward, peer views 1."),
        ("release", "Against the release view 2."),
    ]


def test_a_views_word_elsewhere_in_its_sentence_is_no_difference() -> None:
    """One claim for all five views by one message: "over one release" names none of them."""
    claims = [
        Guarantee(v, "record", "replace-one", 1.0, 1e-5, 1, "data set", "exact", ("what is left",))
        for v in VIEWS
    ]
    [(views, sentence)] = over_views([(each.view, each.sentence()) for each in claims])
    assert views == "forward, backward, aggregator, peer, release"
    assert f"Against the {views} views, each" in sentence and "over one release (" in sentence
    apart = [("a", "To the a view: a or b."), ("b", "To the b view: b or b.")]
    assert over_views(apart) == apart


@given(st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_every_word_of_every_sentence_is_in_what_is_said(sentences: list[list[str]]) -> None:
    each = [" ".join(words) for words in sentences]
    said = over_seeds(each)
    for sentence in sentences:
        for word in sentence:
            assert word.rstrip(".,") in said
