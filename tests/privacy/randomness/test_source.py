"""Sources: keys that hide, runs that never share a stream, labels given out once."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.randomness import source as room
from privacy.randomness.key_stream import KeyStream
from privacy.randomness.keys import canonical_json, repeatable_key, secret_key, stream_key
from privacy.randomness.source import NoiseSource, public
from tests.privacy.randomness.test_key_stream import refused_in_a_fork

FACTS: dict[str, Any] = {
    "data": "5d41",
    "model": "7d79",
    "training": {"rounds": 2, "rates": [0.1, 1e-5], "strategy": "fedavg"},
    "defence": {"name": "noise", "clip_norm": 1.0},
}
labels = st.lists(
    st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1
)


def first(source: NoiseSource, *label: str | int) -> list[int]:
    found: list[int] = source.draws(*label).integers(2**63, (4,)).tolist()
    return found


@settings(max_examples=300)
@given(labels, labels)
def test_two_labels_have_two_keys(one: list[str | int], two: list[str | int]) -> None:
    assert (stream_key(bytes(32), one) == stream_key(bytes(32), two)) == (one == two)


def test_labels_that_look_alike_have_keys_of_their_own() -> None:
    alike = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("ab", "c", ""),
        (1, 23),
        (12, 3),
        (123,),
        ("1", 23),
    ]
    alike += [("a", "b"), ("asb",), ("ai1",), ("a", 1), (1, "b"), ("1sb",)]
    alike += [("-1",), (-1,), ("i",), ("s", ""), ("é",), ("e\u0301",)]
    assert len({stream_key(bytes(32), label) for label in alike}) == len(alike)


@pytest.mark.parametrize("wrong", [(), (True,), (1.0,), (None,), ("\ud800",)])
def test_labels_of_other_types_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"label|surrogates"):
        NoiseSource.secret().draws(*wrong)


def test_a_path_is_its_labels_however_it_was_walked() -> None:
    key = secret_key()
    walked = NoiseSource(key, "secret").under("client", 3).under("update")
    assert first(walked, 0) == first(NoiseSource(key, "secret"), "client", 3, "update", 0)


def test_a_label_is_given_out_once_over_all_parts() -> None:
    source = NoiseSource.secret()
    part = source.under("client", 1)
    part.draws("smashed", 0)
    for again in (
        lambda: part.draws("smashed", 0),
        lambda: source.draws("client", 1, "smashed", 0),
    ):
        with pytest.raises(ValueError, match="expected a label that is new"):
            again()
    part.draws("smashed", 1)  # a retry counts on


def test_what_others_draw_does_not_matter() -> None:
    one, two = (NoiseSource.repeatable(0, FACTS) for _ in range(2))
    first(one, "client", 0)
    one.draws("server").gaussian((100,))
    assert first(one, "client", 1) == first(two, "client", 1)


@settings(max_examples=40)
@given(st.lists(st.tuples(labels, st.integers(1, 20)), max_size=6), st.integers(2, 4))
def test_no_key_and_counter_is_used_twice(asked: list[Any], parts: int) -> None:
    """Whatever is asked for, by whichever part of a run, in whichever order."""
    used: set[tuple[bytes, int]] = set()
    streams: list[tuple[bytes, list[int]]] = []

    class Counted(KeyStream):
        """A stream that writes down its key and the words it gave."""

        def __init__(self, key: bytes) -> None:
            super().__init__(key)
            streams.append((key, []))
            self.note = streams[-1]

        def fill(self, out: Any) -> None:
            start = len(self.note[1])
            self.note[1].extend(range(start, start + out.size))
            super().fill(out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "KeyStream", Counted)
        source = NoiseSource.repeatable(0, FACTS)
        for number in range(parts):
            for label, words in asked:
                for part in (source, source.under("client", number)):
                    try:
                        draws = part.draws(*label)
                    except ValueError:
                        continue
                    draws.uniform((words,))
                    draws.gaussian((words,))
    for key, words in streams:
        pairs = {(key, word) for word in words}
        assert len(pairs) == len(words) and not pairs & used
        used |= pairs


def test_secret_sources_share_nothing() -> None:
    assert len({tuple(first(NoiseSource.secret(), "a")) for _ in range(20)}) == 20
    assert len({secret_key() for _ in range(20)}) == 20 and len(secret_key()) == 32


def changes(facts: Any) -> list[Any]:
    """Return the facts with one leaf changed, for every leaf."""
    if isinstance(facts, dict):
        return [{**facts, key: each} for key, value in facts.items() for each in changes(value)]
    if isinstance(facts, list):
        whole = [
            [*facts[:i], each, *facts[i + 1 :]]
            for i in range(len(facts))
            for each in changes(facts[i])
        ]
        return [*whole, facts[:-1], facts[::-1]]
    return [facts + "x" if isinstance(facts, str) else facts * 3]


def test_any_changed_fact_changes_the_stream_and_nothing_else_does() -> None:
    changed = changes(FACTS)
    assert len(changed) == 10
    keys = {repeatable_key(0, facts) for facts in [FACTS, *changed]} | {repeatable_key(1, FACTS)}
    assert len(keys) == 12
    turned = {key: FACTS[key] for key in reversed(FACTS)}
    turned["training"] = dict(reversed(FACTS["training"].items()))
    assert repeatable_key(0, json.loads(json.dumps(turned))) == repeatable_key(0, FACTS)
    assert first(NoiseSource.repeatable(0, turned), "a") == first(
        NoiseSource.repeatable(0, FACTS), "a"
    )


def test_a_repeatable_key_is_the_same_tomorrow() -> None:
    """The bytes are part of what a repeatable run is: a change of them changes every result."""
    golden = "e4854b1ce2009ad1e09e039ea00daf7bef9d3b1b3e3534cd0b7dcacd712c1f90"
    assert repeatable_key(7, FACTS).hex() == golden


@pytest.mark.parametrize(
    "wrong",
    [
        {key: FACTS[key] for key in ("data", "model", "training")},
        FACTS | {"attacks": []},
        FACTS | {"training": {"rate": float("nan")}},
        FACTS | {"training": {1: 2}},
        FACTS | {"training": {"clients": {1, 2}}},
        FACTS | {"data": "\ud800"},
        FACTS | {"data": np.int64(3)},
    ],
)
def test_facts_without_a_json_of_their_own_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|JSON|surrogates"):
        repeatable_key(0, wrong)


def test_equal_json_means_equal_values() -> None:
    texts = {
        canonical_json(v) for v in (1, "1", 1.5, True, None, [1], {"1": 1}, [[1]], "true", "null")
    }
    assert len(texts) == 10


@pytest.mark.parametrize("seed", [-1, 0.5, True])
def test_seeds_are_integers(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed"):
        repeatable_key(seed, FACTS)


@dataclass(frozen=True)
class Holder:
    noise: NoiseSource


@pytest.mark.parametrize(
    "take", [copy.copy, copy.deepcopy, pickle.dumps, json.dumps, lambda x: asdict(Holder(x))]
)
def test_a_source_is_neither_copied_nor_written(take: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        take(NoiseSource.secret())


@pytest.mark.parametrize("take", [copy.deepcopy, pickle.dumps])
def test_the_place_in_a_stream_is_not_copied(take: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="repeat its words"):
        take(NoiseSource.secret().draws("a"))


def test_a_source_does_not_show_its_key() -> None:
    key = secret_key()
    source = NoiseSource(key, "secret").under("client", 0)
    shown = f"{source!r} {source} {Holder(source)!r} {source.draws('a')!r}"
    assert "mode='secret'" in shown and "client" in shown
    assert key.hex() not in shown and repr(key)[2:-1] not in shown
    with pytest.raises(ValueError, match="16 to 64 bytes") as refused:
        NoiseSource(key[:15], "secret")
    assert repr(key[:15])[2:-1] not in str(refused.value)


def test_a_source_is_refused_in_a_forked_process() -> None:
    source = NoiseSource.secret()
    draws = source.draws("a")
    for work in (
        lambda: source.draws("b"),
        lambda: source.under("client").draws("b"),
        lambda: draws.gaussian((1,)),
    ):
        assert refused_in_a_fork(work)
    assert not refused_in_a_fork(lambda: NoiseSource.secret().draws("b").gaussian((1,)))


def test_decisions_are_the_same_each_time_and_are_no_noise() -> None:
    """Asked for again, and from a part that is made again; no stream of `draws` is one of them."""
    key = secret_key()
    source, again = NoiseSource(key, "secret"), NoiseSource(key, "secret")
    coins = [
        part.decided("poisson", 0, 3).integers(2**62, (4,)).tolist()
        for part in (source, source, again)
    ]
    assert coins[0] == coins[1] == coins[2]
    assert first(source, "poisson", 0, 3) != coins[0][: len(first(again, "x"))]
    assert source.under("a").decided("b").integers(2**62, (4,)).tolist() == (
        source.decided("a", "b").integers(2**62, (4,)).tolist()
    )


def test_public_draws_are_those_of_no_source() -> None:
    common = public("who", 1).integers(2**62, (4,)).tolist()
    assert common == public("who", 1).integers(2**62, (4,)).tolist()
    zeros = NoiseSource(bytes(32), "repeatable")
    assert common != zeros.draws("who", 1).integers(2**62, (4,)).tolist()
    assert common != zeros.decided("who", 1).integers(2**62, (4,)).tolist()
