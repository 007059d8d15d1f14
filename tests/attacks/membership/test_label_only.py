"""Label-only membership: what copies look like, and that nothing but classes is read."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.attack import Lacks
from attacks.membership.label_only import RATES, LabelGap, LabelOnly, altered
from attacks.signals import Answers, Signals
from evaluation.adversary.inference import classes_on, copies_of, predict
from evaluation.metrics.membership import auc
from fedbert.data.batches import collate
from fedbert.errors import InputError
from tests.attacks.membership_worlds import drawn
from tests.fedbert import tiny

SPECIAL = (tiny.PAD, tiny.CLS, tiny.SEP, tiny.MASK)
RNG = np.random.default_rng


def test_copies_keep_special_tokens_and_are_altered_a_little() -> None:
    encoded = tiny.encoded("two", 200)
    for number, rate in enumerate(RATES):
        copy = altered(encoded, SPECIAL, number, RNG(number))
        assert len(copy) == len(encoded) and (copy.lengths <= encoded.lengths).all()
        changed = []
        for i, (length, most) in enumerate(zip(copy.lengths, encoded.lengths, strict=True)):
            was, now = (e.tokens[e.offsets[i] : e.offsets[i + 1]] for e in (encoded, copy))
            assert [t for t in now if t in SPECIAL] == [t for t in was if t in SPECIAL]
            assert length > sum(t in SPECIAL for t in now), "a word stays"
            changed.append(len(set(was.tolist()) ^ set(now.tolist())) / most)
        assert 0 < np.mean(changed) < 2.5 * rate + 0.1
    same = altered(encoded, SPECIAL, 3, RNG(3))
    assert np.array_equal(same.tokens, copy.tokens), "seeded"


def test_a_text_of_one_word_keeps_one_and_one_of_none_is_as_it_was() -> None:
    encoded = replace(tiny.encoded("two", 2), tokens=np.array([tiny.CLS, 9, tiny.CLS]))
    encoded = replace(encoded, token_types=np.zeros(3, np.int64), offsets=np.array([0, 2, 3]))
    for number in range(20):
        copy = altered(encoded, SPECIAL, number, RNG(number))
        assert copy.offsets.tolist() == [0, 2, 3]


def test_only_classes_are_read() -> None:
    """Whatever losses, probabilities and shadows say, the scores are those of the classes."""
    signals = drawn(3.0).signals
    own = signals.candidates
    bare = Signals(Answers(np.ones_like(own.losses), None, own.labels), answered=signals.answered)
    for attack in (LabelGap(), LabelOnly(), LabelOnly(copies=3)):
        assert np.array_equal(attack.score(signals, RNG(0)), attack.score(bare, RNG(0)))


def test_copies_tell_more_than_the_gap() -> None:
    world = drawn(3.0, n=2000)
    both = [each.score(world.signals, RNG(0)) for each in (LabelGap(), LabelOnly())]
    gap, only = (auc(scores[world.members], scores[~world.members]) for scores in both)
    assert only.low > gap.value


def test_scores_are_one_for_the_text_and_one_for_all_copies() -> None:
    labels = np.array([0, 1, 1])
    answered = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 1]])
    signals = Signals(Answers(np.ones(3), None, labels), answered=answered)
    assert LabelGap().score(signals, RNG(0)).tolist() == [1, 1, 0]
    assert LabelOnly(copies=2).score(signals, RNG(0)).tolist() == [2, 1.5, 0.5]
    lacks = LabelOnly(copies=3).missing(signals)
    assert lacks == Lacks(("answered",), "needs `answered`: classes of 3 altered copies, got 2")
    with pytest.raises(InputError, match="1 <= copies <= 1000, got copies=0"):
        LabelOnly(copies=0)


@pytest.mark.parametrize("kind", ["three", "score", "mlm-tied"])
def test_classes_of_a_model_by_queries_and_of_what_gives_none_nothing(kind: str) -> None:
    prepared = tiny.prepared_for(tiny.config_of(kind), kind)
    some = np.array([5, 2, 9])
    found = classes_on(prepared.split, prepared, some, 0, 2)
    if kind != "three":
        assert found is None
        return
    assert found is not None and found.shape == (3, 3)
    batch = collate(prepared.pool, some, tiny.PAD)
    assert found[0].tolist() == predict(prepared.split, [batch]).tolist()
    again = classes_on(prepared.split, prepared, some, 0, 1)
    assert again is not None and np.array_equal(found[:2], again)


def test_as_many_copies_are_asked_about_as_the_attack_that_wants_most() -> None:
    assert copies_of([LabelGap(), LabelOnly(), LabelOnly(copies=20)]) == 20
    assert copies_of([LabelGap()]) == copies_of([]) == 0
