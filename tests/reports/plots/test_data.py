"""What figures show, by hand: epsilons of one kind alone, claims, views, classes, costs, seeds."""

from dataclasses import replace

import pytest
from scipy import stats

from reports.estimate import Estimate
from reports.figures.claims import claims_data, describe_claims
from reports.figures.classes import classes_data, describe_classes
from reports.figures.cost import cost_data, describe_cost
from reports.figures.epsilon import describe_epsilon, epsilon_data
from reports.figures.ranking import describe_ranking, pairs_of, ranking_data, sign_test
from reports.figures.roc import rates_data
from reports.figures.training import course_of, describe_training, training_data
from reports.figures.views import describe_views, views_data
from reports.figures.volume import front_data
from reports.leak import Leak, NotMeasured

AUDIT = {
    "shown": {"canaries": 20, "kind": "clients", "alpha": 1e-4, "rounds": 2, "releases": 2},
    "significance": 0.05, "claimed": 8.0, "fault": "",
    "points": [{"round": 1, "epsilon": 5.0, "bound": 0.5}, {"round": 2, "epsilon": 8.0,
                                                            "bound": 0.7}],
}  # fmt: skip


def test_epsilons_of_other_units_relations_or_scopes_share_no_axis(examples) -> None:
    records = examples.grid(("sst2",))
    data = epsilon_data(records, "sst2")
    assert data is not None
    kinds = [panel.kind for panel in data.panels]
    assert kinds == [
        ("token", "replace-one", "local"),
        ("sequence", "replace-one", "local"),
        ("client", "add-or-remove-one", "data set"),
    ]
    token = data.panels[0].lines[0]
    assert [point.epsilon for point in token.points] == [2.0, 8.0, 16.0]
    assert token.views == ("forward",)
    assert [point.utility.value for point in token.points] == sorted(
        point.utility.value for point in token.points
    )
    assert "Epsilon per client (add-or-remove-one, data set)" in describe_epsilon(data)
    changed = [
        replace(r, guarantees=[{**g, "scope": "data set"} if "scope" in g else g
                               for g in r.guarantees])
        if r.labels["level"] == "eps 8" and r.labels["defence"] == "gaussian token" else r
        for r in records
    ]  # fmt: skip
    split = epsilon_data(changed, "sst2")
    assert split is not None
    assert ("token", "replace-one", "data set") in [panel.kind for panel in split.panels]


def test_an_epsilon_counts_where_every_seed_claims_it_and_then_the_largest(examples) -> None:
    one, two = (examples.done("sst2", "parallel", 2, seed) for seed in (0, 1))
    larger = [{**g, "epsilon": 20.0} if "epsilon" in g else g for g in two.guarantees]
    data = epsilon_data([one, replace(two, guarantees=larger)], "sst2")
    assert data is not None and data.panels[0].lines[0].points[0].epsilon == 20.0
    bare = examples.done("sst2", "parallel", 0, 1).guarantees
    assert epsilon_data([one, replace(two, guarantees=bare)], "sst2") is None


def test_leakage_beside_an_epsilon_is_that_of_the_views_it_is_claimed_for(examples) -> None:
    data = epsilon_data(examples.grid(("sst2",)), "sst2")
    assert data is not None
    client = next(
        line for panel in data.panels for line in panel.lines if line.views == ("peer", "release")
        and line.series == "dp-fedavg (parallel)"
    )  # fmt: skip
    (point,) = client.points  # inversion reads 99.8 % forward, which no claim of peers is about
    assert point.leakage is not None and point.leakage[0] < 0.2


def test_claims_stand_against_what_canaries_show(examples) -> None:
    record = replace(examples.done("sst2", "fedavg", 6), audit=AUDIT)
    data = claims_data([record, examples.done()], "sst2")
    assert data is not None
    (panel,) = data.panels
    (point,) = panel.points
    assert (panel.unit, point.claimed, point.bound, data.confidence) == ("client", 8.0, 0.7, 0.95)
    assert "claimed 8, at least 0.7 by 20 canaries" in describe_claims(data)
    nothing = replace(record, audit={**AUDIT, "claimed": None})
    assert claims_data([nothing], "sst2") is None and claims_data([examples.done()], "sst2") is None


def test_each_adversary_reads_at_least_what_one_who_sees_less_reads(examples) -> None:
    data = views_data(examples.grid(("sst2",)), "sst2")
    assert data is not None
    for line in data.heat:
        by = {each.view: each for each in line}
        if by["backward"].value is not None and by["forward"].value is not None:
            assert by["backward"].value >= by["forward"].value >= by["release"].value
    fedavg = dict(zip(data.settings, data.heat, strict=True))[("none (fedavg)", "")]
    assert fedavg[0].why == "nothing sent" and "nothing sent" in describe_views(data)


def test_a_setting_that_an_attack_was_not_tried_on_is_named(examples) -> None:
    records = [examples.done(defence=d) for d in (0, 3, 4)]
    spared = tuple(
        NotMeasured(e.view, e.attack, e.family, "needs more") if e.attack == "nearest token" else e
        for e in records[2].leakage
    )
    found = [*records[:2], replace(records[2], leakage=spared)]
    told = "nearest token could not be tried on gaussian token, ε 2"
    for data in (views_data(found, "sst2"), front_data(found, "sst2"), epsilon_data(found, "sst2")):
        assert data is not None and told in data.notice
    assert told not in views_data(records, "sst2").notice


def test_classes_are_those_of_one_attack_the_worst(examples) -> None:
    record = examples.done(defence=3)
    assert classes_data([record], "sst2") is None
    more = [
        Leak("forward", attack, "inversion", metric, Estimate(x, x - 0.1, x + 0.1, 50), "token", 0)
        for attack, x in (("nearest token", 0.4), ("unaware nearest", 0.9))
        for metric in ("content_token_accuracy", "number_accuracy")
    ]
    data = classes_data([replace(record, leakage=(*record.leakage, *more))], "sst2")
    assert data is not None and data.lines[0].attack == "nearest token"
    assert data.titles == ("all tokens", "content tokens", "numbers")
    assert dict(data.lines[0].shares)["number_accuracy"].value == 0.4
    assert "numbers recovered 0.4" in describe_classes(data)


def test_costs_are_means_with_their_range_and_training_alone_is_timed(examples) -> None:
    data = cost_data(examples.grid(("sst2",)), "sst2")
    assert data is not None and data.parts == ("bytes", "seconds")
    first = data.points[0]
    assert first.bytes == (131e6, 131e6, 131e6)
    assert first.seconds is not None and 41 <= first.seconds[1] <= first.seconds[2] < 42
    assert "131 MB" in describe_cost(data)
    free = replace(examples.done(), bytes={}, seconds={})
    assert cost_data([free], "sst2") is None


def test_a_training_shows_its_losses_and_what_was_spent(examples) -> None:
    data = course_of("sst2", "dp", [0.9, 0.5], AUDIT)
    assert data is not None
    (course,) = data.courses
    assert course.loss == ((1, 0.9), (2, 0.5)) and course.spent == ((1, 5.0), (2, 8.0))
    assert "loss 0.5 after round 2" in describe_training(data)
    assert course_of("sst2", "dp", [], None) is None
    records = [replace(examples.done(seed=seed), audit=AUDIT) for seed in (10, 2)]
    found = training_data(records, "sst2")
    assert found is not None and found.seed == "2" and len(found.courses) == 1
    assert training_data([examples.done()], "sst2") is None


@pytest.mark.parametrize(("more", "less"), [(0, 0), (1, 0), (5, 2), (0, 9), (4, 4)])
def test_the_sign_test_is_scipys(more: int, less: int) -> None:
    expected = stats.binomtest(more, more + less).pvalue if more + less else 1.0
    assert sign_test(more, less) == pytest.approx(expected)


def test_a_ranking_that_never_turns_is_settled_and_one_by_coin_is_not() -> None:
    seeds = [str(seed) for seed in range(10)]
    sure = {name: {s: base + int(s) / 100 for s in seeds} for name, base in
            (("a", 3.0), ("b", 2.0), ("c", 1.0))}  # fmt: skip
    found = pairs_of("", sure)
    assert found is not None and found.names == ("a", "b", "c") and found.agreement == 1
    assert found.wins[0][1] == 10 and found.settled[0][1] and found.settled[2][0]
    coin = {"a": {s: float(int(s) % 2) for s in seeds}, "b": dict.fromkeys(seeds, 0.5)}
    found = pairs_of("", coin)
    assert found is not None and not found.settled[0][1]
    assert found.agreement == pytest.approx(4 / 9)  # 2 * C(5, 2) of C(10, 2) pairs
    assert pairs_of("", {"a": {"0": 1.0}, "b": {"0": 2.0}}) is None


def test_one_seed_has_no_ranking(examples) -> None:
    assert ranking_data(examples.grid(("sst2",), seeds=1), "sst2") is None
    data = ranking_data(examples.grid(("sst2",)), "sst2")
    assert data is not None and len(data.panels) == 2
    assert "Two seeds agree on the order of two in" in describe_ranking(data)


def test_without_scores_a_roc_has_what_records_state(examples) -> None:
    data = rates_data(examples.grid(("sst2",)), "sst2")
    assert data is not None
    (curve,) = data.panels[0].curves
    assert curve.fpr == () and [rate for rate, _ in curve.stated] == [0.01]
    assert rates_data([examples.failed()], "cola") is None
