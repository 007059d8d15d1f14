"""Alike sentences: nothing that one of them says is lost."""

from hypothesis import given
from hypothesis import strategies as st

from reports.alike import as_one, over_seeds, over_views

WORDS = st.text("abc.,", min_size=1, max_size=4)


def test_one_sentence_stays_as_it_is() -> None:
    assert as_one(["a b."]) == "a b." and over_seeds(["a b.", "a b."]) == "a b."


def test_seeds_that_differ_in_a_number_are_told_as_one() -> None:
    rates = ["epsilon 8 (at rate 0.0157); over 3.", "epsilon 7.9 (at rate 0.0156); over 3."]
    assert over_seeds(rates) == "epsilon 8 or 7.9 (at rate 0.0157 or 0.0156); over 3."


def test_other_sentences_are_told_one_after_the_other() -> None:
    assert over_seeds(["a b c d.", "e f g h."]) == "a b c d. Or, for another seed: e f g h."
    assert over_seeds(["a b.", "a."]) == "a b. Or, for another seed: a."


def test_views_stand_together_only_where_all_else_is_the_same() -> None:
    said = [(v, f"Against the {v} view 1.") for v in ("forward", "peer", "release")]
    assert over_views(said) == [
        ("forward, peer, release", "Against the forward, peer, release views 1.")
    ]
    other = [*said[:2], ("release", "Against the release view 2.")]
    assert over_views(other) == [
        ("forward, peer", "Against the forward, peer views 1."),
        ("release", "Against the release view 2."),
    ]


@given(st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_every_word_of_every_sentence_is_in_what_is_said(sentences: list[list[str]]) -> None:
    each = [" ".join(words) for words in sentences]
    said = over_seeds(each)
    for sentence in sentences:
        for word in sentence:
            assert word.rstrip(".,") in said
