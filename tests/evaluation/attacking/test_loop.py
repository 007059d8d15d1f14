"""The loop over attacks: every attack one way out, in order, and the truth to the judge alone."""

from collections.abc import Iterator

import pytest

from attacks.attack import Lacks
from evaluation.attacking.loop import Head, Named, entries, named
from evaluation.grid.catalogue import MEMBERSHIP, Entry
from evaluation.grid.spec import Spec
from fedbert.errors import InputError
from reports.estimate import Estimate
from reports.leak import Leak, NotMeasured


def test_every_attack_is_asked_once_in_order_and_answers_or_says_why_not() -> None:
    asked_for = ["nearest_token", "bigram_prior", "optimisation"]
    attacks = named(asked_for, "inversion")
    asked, judged = [], []

    def ask(each: Named) -> int | str:
        asked.append(each.head.attack)
        return "needs more" if each.head.attack == "bigram prior" else len(asked)

    def judge(each: Named, answer: int) -> Iterator[Leak | NotMeasured]:
        judged.append((each.head.attack, answer))
        yield each.head.leak("token_accuracy", Estimate(0.5, 0.4, 0.6, n=answer), "token", 0.1)
        yield each.head.not_measured("no number", "number_accuracy")

    found = list(entries(attacks, ask, judge))
    names = ["nearest token", "bigram prior", "optimisation"]
    assert asked == names and judged == [("nearest token", 1), ("optimisation", 3)]
    assert [each.attack for each in found] == [names[0], names[0], names[1], names[2], names[2]]
    assert found[2] == NotMeasured("forward", "bigram prior", "inversion", "needs more")
    assert isinstance(found[3], Leak) and found[3].estimate.n == 3 and found[3].chance == 0.1
    assert found[4].metric == "number_accuracy"


def test_the_loop_is_lazy_so_that_one_answer_is_held_at_a_time() -> None:
    held: list[str] = []
    attacks = named(["nearest_token", "optimisation"], "inversion")
    steps = entries(attacks, lambda each: held.append(each.head.attack) or "no", lambda *_: ())  # type: ignore[func-returns-value]
    next(steps)
    assert held == ["nearest token"]


def test_names_are_the_catalogues_or_somebody_elses_and_say_what_is_attacked() -> None:
    target = Spec(MEMBERSHIP["loss_threshold"].target, code=True)
    ours, theirs = named(["loss_threshold", target], "membership", of="cls")
    assert ours.head == theirs.head == Head("release", "loss threshold (cls)", "membership")
    assert ours.entry is MEMBERSHIP["loss_threshold"] and theirs.entry is None
    with pytest.raises(InputError, match=r"got .* without reconstruct"):
        named([target], "inversion")


def test_what_is_lacking_is_said_in_words() -> None:
    attacks = named(["nearest_token"], "inversion")
    lacks = Lacks(("auxiliary",), "needs `auxiliary`")
    expected = NotMeasured("forward", "nearest token", "inversion", "needs `auxiliary`")
    assert [*entries(attacks, lambda _: lacks, lambda *_: ())] == [expected]
    assert [*entries(attacks, lambda _: lacks.words, lambda *_: ())] == [expected]


def test_a_catalogue_says_what_is_a_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Spec(MEMBERSHIP["loss_threshold"].target, code=True)
    monkeypatch.setitem(MEMBERSHIP, "flagged", Entry(target.name, "a baseline", baseline=True))
    monkeypatch.setitem(MEMBERSHIP, "not", Entry(target.name, "no baseline"))
    found = named(["flagged", "not", target], "membership")
    assert [each.head.baseline for each in found] == [True, False, False]
    estimate = Estimate(0.5, 0.4, 0.6, n=9)
    assert [each.head.leak("auc", estimate, "record", 0.5).baseline for each in found[:2]] == [
        True, False,
    ]  # fmt: skip
