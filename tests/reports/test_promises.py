"""Decisions: what is a promise, what is an attack on a text, and what the first screen says."""

import math
import re
from dataclasses import replace

import pytest

from reports.decision.first_screen import verdict
from reports.decision.lacks import EMPTY, MAYBE_MUCH, MUCH, REFUTED, UNSEEN
from reports.decision.words import does, line, nearest, outcome, share_text
from reports.estimate import Estimate
from reports.frontier.leakage import count, judged
from reports.leak import Leak
from reports.wording import outward
from tests.reports.decided import (
    GOOD,
    LABEL,
    VIEWS,
    cell,
    decided,
    everywhere,
    faults,
    near,
)


def leak(metric, value, view="release", family="inversion", unit="token", chance=0.0, n=2000):
    found = replace(near(value), n=n)
    return Leak(view, "other", family, metric, found, unit, chance)


@pytest.mark.parametrize(
    ("metric", "family", "unit", "chance", "attacked"),
    [
        ("label_accuracy", "inversion", "label", 0.5, False),
        ("auc", "membership", "record", 0.5, False),
        ("token_f1", "inversion", "record", None, False),
        ("token_f1", "inversion", "record", 0.2, True),
        ("attribute_auc", "inversion", "record", 0.5, True),
    ],
)
def test_an_open_view_needs_an_attack_on_its_text(metric, family, unit, chance, attacked):
    value = chance or 0.0
    more = leak(metric, value, family=family, unit=unit, chance=chance)
    record = cell("x", 0.88, given=everywhere(VIEWS[:4]))
    record = replace(record, leakage=(record.leakage[1], more))
    assert (UNSEEN not in faults(record)[0]) is attacked
    read = dict(verdict(decided(record)).answers)["Who can read my text?"]
    assert ("anyone who has the model can read it was not measured" not in read) is attacked


def test_the_text_comes_first_and_labels_after_it():
    """Every label is told and few tokens are read: who reads the text is who reads the tokens."""
    told = leak("label_accuracy", 1.0, view="backward", unit="label", chance=0.5)
    record = replace(GOOD, leakage=(*GOOD.leakage, told))
    read = dict(verdict(decided(record)).answers)["Who can read my text?"]
    assert "of the tokens" in read.split(").")[0] and "of the labels" in read.split(").")[1]


def test_a_claim_that_allows_nearly_everything_is_no_promise():
    vacuous = cell("vacuous", 0.89, given=everywhere(epsilon=1e6, tpr=None))
    assert EMPTY in faults(vacuous)[0] and UNSEEN in faults(vacuous)[0]
    assert "allows nearly all" in dict(verdict(decided(vacuous)).answers)["Who can read my text?"]
    mixed = cell("mixed", 0.89, given=everywhere(VIEWS[1:]) | everywhere(VIEWS[:1], epsilon=800.0,
                                                                        tpr=None))  # fmt: skip
    real = cell("real", 0.88, given=everywhere(epsilon=1.0, tpr=None))
    assert decided(vacuous, mixed, real).chosen.row.name == "real"
    told = line(decided(mixed))
    assert "a claim that allows nearly everything, epsilon 800 (" in told
    assert told.index("epsilon 4 (") < told.index("epsilon 800 (")


@pytest.mark.parametrize(
    ("epsilon", "delta", "tpr", "counts"),
    [
        (3.8, 1e-5, None, True),
        (4.0, 1e-5, None, False),
        (1.0, 0.5, None, False),
        (64.0, 1e-5, 0.49, True),
        (1.0, 1e-5, 0.5, False),
    ],
)
def test_a_promise_allows_less_than_half_at_one_percent(epsilon, delta, tpr, counts):
    given = everywhere(epsilon=epsilon, delta=delta, tpr=tpr)
    (found,) = faults(cell("x", 0.88, given=given))
    assert (EMPTY not in found) is counts


def test_of_seeds_the_largest_epsilon_and_delta_count():
    first, second = (
        cell("x", 0.88, seed=i, given=everywhere(epsilon=epsilon, delta=delta, tpr=None))
        for i, (epsilon, delta) in enumerate(((1.0, 0.5), (2.0, 1e-6)))
    )
    assert EMPTY in faults(first, second)[0] and EMPTY not in faults(second)[0]


def test_metric_privacy_alone_is_no_promise():
    given = {
        view: {"view": view, "kind": "metric guarantee", "unit": "token", "scope": "local",
               "eta": 0.01, "releases": 1, "sentence": "Near ones."} for view in VIEWS
    }  # fmt: skip
    assert EMPTY in faults(cell("x", 0.88, given=given))[0]


def test_a_claim_that_was_refuted_is_never_near():
    shown = {"canaries": 0, "kind": "records", "rounds": 1, "releases": 0, "alpha": 1e-4}
    audit = {"shown": shown, "significance": 1e-4, "claimed": 1.0, "points": [], "fault": "half"}
    lost = replace(cell("x", 0.88, seed=1), status="failed", traceback="half", audit=audit)
    alone = decided(cell("x", 0.88), lost)
    assert [each.faults for each in alone.settings] == [(REFUTED,)]
    assert alone.chosen is None and nearest(alone) == ""
    assert "makes a claim that a live audit refuted" in line(alone)
    assert "refuted" in outcome(alone.settings[0], alone)
    other = decided(cell("x", 0.88), lost, cell("weak", 0.7))
    assert "weak" in nearest(other) and "might pass" not in nearest(other)


def test_epsilons_at_other_deltas_or_of_labels_are_not_compared():
    loose = cell("loose", 0.87, given=everywhere(epsilon=1.0, delta=0.1))
    tight = cell("tight", 0.89, given=everywhere(epsilon=2.0, delta=1e-6))
    assert decided(loose, tight).chosen.row.name == "tight"
    assert decided(tight, loose).chosen.row.name == "tight"

    def labelled(name, utility, epsilon, of_labels):
        record = cell(name, utility, given=everywhere(epsilon=epsilon))
        more = [{**LABEL, "view": view, "epsilon": of_labels} for view in VIEWS]
        return replace(record, guarantees=[*record.guarantees, *more])

    less, more = labelled("less", 0.87, 1.0, 50.0), labelled("more", 0.89, 2.0, 0.1)
    assert decided(less, more).chosen.row.name == "less"
    first = everywhere(VIEWS[:1], epsilon=1.0) | everywhere(VIEWS[1:], epsilon=3.0)
    crossed = everywhere(VIEWS[:1], epsilon=2.9) | everywhere(VIEWS[1:], epsilon=2.0)
    both = cell("a", 0.89, given=first), cell("b", 0.87, given=crossed)
    assert decided(*both).chosen.row.name == "a"


def test_ends_are_rounded_to_the_outside_and_hold_together():
    seeds = [cell("good", value, 0.05, seed=i) for i, value in enumerate((0.8804, 0.90))]
    found = decided(*seeds)
    answers = dict(verdict(found).answers)
    wide = [seed.utility["accuracy"].widened(found.numbers) for seed in seeds]
    least, most = (sum(each) / 2 for each in zip(*((e.low, e.high) for e in wide), strict=True))
    ends = f"[{math.floor(1000 * least) / 1000:.3f}, {math.ceil(1000 * most) / 1000:.3f}]"
    assert ends in answers["What does it cost?"]
    high = found.told.text.high
    assert f"at most {math.ceil(100 * high)} %" in " ".join(
        answers["Who can read my text?"].split()
    )
    assert f"{math.floor(100 * found.chosen.share.low)}, " in verdict(found).near


@pytest.mark.parametrize("end", [0.2728, 0.2401, 0.1, 0.07])
def test_no_upper_end_is_rounded_down(end):
    worst = replace(decided(GOOD).told.text, high=end)
    (told,) = re.findall(r"at most (\d+)\s%", does(worst))
    assert 0 <= int(told) - 100 * end + 1e-6 < 1
    low, high = map(
        float, re.findall(r"[\d.]+", outward(Estimate(0.5, 0.5 - end, 0.5 + end, 9)))[1:]
    )
    assert low <= 0.5 - end + 1e-9 and high >= 0.5 + end - 1e-9
    both = outward(Estimate(0.5, 0.4236, 0.5764, 9)), share_text(Estimate(0.5, 0.428, 0.572, 9))
    assert both == ("0.500 [0.423, 0.577]", "50\N{NO-BREAK SPACE}% [42, 58]")


def test_the_first_screen_says_what_the_claim_allows_of_members():
    told = " ".join(dict(verdict(decided(GOOD)).answers)["Which records are at risk?"].split())
    promised = "The promise on the release view, which holds for any attack, allows at most 8 %"
    assert f"{promised} of these texts to be recognised" in told
    silent = replace(GOOD, leakage=GOOD.leakage[1:])
    told = " ".join(dict(verdict(decided(silent)).answers)["Which records are at risk?"].split())
    assert "allows at most 8 % of these texts" in told


@pytest.mark.parametrize(
    ("metric", "chance", "n", "counts"),
    [
        ("number_accuracy", 0.0, 400, True),
        ("rare_word_accuracy", 0.0, 400, True),
        ("content_token_accuracy", 0.01, 400, True),
        ("exact_match", None, 400, True),
        ("attribute_auc", 0.5, 400, True),
        ("name_span_tokens", 0.01, 400, True),
        ("name_span_tokens", None, 400, False),
        ("rougeL", 0.1, 400, True),
        ("rougeL", None, 400, False),
        ("function_word_accuracy", 0.1, 400, True),  # of an attack without token accuracy
        ("number_accuracy", 0.0, 6, True),  # few, and read
        ("token_precision", 0.1, 400, False),
        ("blind_auc", 0.5, 400, False),
    ],
)
def test_every_metric_of_how_much_is_read_counts_once(metric, chance, n, counts):
    family = "membership" if metric == "blind_auc" else "inversion"
    more = leak(metric, 0.9, family=family, chance=chance, n=n)
    assert (MUCH in faults(replace(GOOD, leakage=(*GOOD.leakage, more)))[0]) is counts


def test_what_tells_the_same_counts_once_and_few_words_do_not_widen_a_bound():
    same = leak("token_f1", 0.2, chance=0.2), leak("rouge1", 0.3, chance=0.1)
    assert [each.metric for each in judged(same)] == ["token_f1"]
    wide = replace(leak("number_accuracy", 0.0), estimate=Estimate(0.0, 0.0, 0.5, n=6))
    few = replace(GOOD, leakage=(*GOOD.leakage, wide))
    assert decided(few).chosen is not None and count([few]) == count([GOOD]) + 1
    many = replace(wide, estimate=replace(wide.estimate, n=100))
    assert MAYBE_MUCH in faults(replace(GOOD, leakage=(*GOOD.leakage, many)))[0]
