"""Differences: intervals that hold (simulated), oracles, Holm by brute force, and plain words."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.averages import mean_estimate
from reports.differences.bootstrap import METHOD, auc, auc_difference, p_value
from reports.differences.matched import compare
from reports.differences.pairs import less
from reports.differences.words import csv_of, lines, markdown
from reports.estimate import Estimate
from reports.holm import holm
from reports.leak import NotMeasured
from reports.records import append_record
from reports.run_folder import scores_path
from reports.scores import Scored, write_scores


def _pair(rng: np.random.Generator, n: int, shift: float) -> tuple[Scored, Scored]:
    """Scores of the same candidates under two trainings, whose signals hang together."""
    members = np.arange(2 * n) < n
    common = rng.normal(size=2 * n)
    first = common + rng.normal(size=2 * n)
    second = common + rng.normal(size=2 * n) + shift * members
    return Scored(first, members, 0), Scored(second, members, 0)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_intervals_of_paired_differences_hold(shift: float) -> None:
    """Simulated: 250 pairs of 60 candidates a side, 95 % intervals. Where 93 % hold, fewer than
    215 of 250 do with a chance of 3e-5; where 95 % hold, with 1e-8."""
    rng, hits = np.random.default_rng(11), 0
    truth = float(stats.norm.cdf(shift / 2)) - 0.5  # each difference has a variance of 4
    for number in range(250):
        found = auc_difference(*_pair(rng, 60, shift), number, 200)
        hits += found.low <= truth <= found.high
    assert hits >= 215


def test_pairing_makes_intervals_narrower_and_clusters_wider() -> None:
    a, b = _pair(np.random.default_rng(3), 150, 0.3)
    paired = auc_difference(a, b, 0, 400)
    other = Scored(np.random.default_rng(4).permutation(b.member_scores), b.members[:150], 0)
    assert other.scores.shape == (150,)
    shuffled = b.scores.copy()
    np.random.default_rng(5).shuffle(shuffled[:150])
    np.random.default_rng(6).shuffle(shuffled[150:])
    apart = auc_difference(a, Scored(shuffled, b.members, 0), 0, 400)
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.85 * (apart.high - apart.low)
    twice = [
        Scored(np.repeat(x.scores, 2), np.repeat(x.members, 2), 0, np.repeat(np.arange(300), 2))
        for x in (a, b)
    ]
    same = auc_difference(twice[0], twice[1], 0, 400)
    assert same.high - same.low == pytest.approx(paired.high - paired.low, rel=0.15)


def test_the_auc_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(0)
    scored = Scored(rng.integers(0, 9, 80).astype(float), rng.random(80) < 0.4, 0)
    u = stats.mannwhitneyu(scored.member_scores, scored.non_member_scores).statistic
    pairs = len(scored.member_scores) * len(scored.non_member_scores)
    assert auc(scored, np.ones((1, 80)))[0] == pytest.approx(u / pairs)


def test_an_interval_without_width_is_never_claimed() -> None:
    members = np.arange(40) < 20
    perfect = Scored(members.astype(float), members, 0)
    found = auc_difference(perfect, perfect, 0, 50)
    assert found.value == 0 and found.low < -0.1 and found.high > 0.1
    with pytest.raises(ValueError, match="same candidates"):
        auc_difference(perfect, Scored(perfect.scores, ~members, 0), 0)


def test_over_seeds_alone_the_p_value_is_that_of_a_paired_t_test() -> None:
    a, b = np.array([0.5, 0.6, 0.55, 0.7]), np.array([0.61, 0.64, 0.7, 0.73])
    each = [less(Estimate(x, x, x, 9), Estimate(y, y, y, 9)) for x, y in zip(a, b, strict=True)]
    assert p_value(mean_estimate(each, ""), 4) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    half = float(stats.norm.ppf(0.975)) * 0.1
    one = Estimate(0.17, 0.17 - half, 0.17 + half, 50)
    assert p_value(one) == pytest.approx(2 * stats.norm.sf(1.7))


def test_an_added_interval_holds_also_where_the_two_move_against_each_other() -> None:
    """A constant answer against its opposite: 1,000 draws of 300 examples. At
    95 % fewer than 922 hold with a chance of 6e-5; the root of squares holds in 83 %."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(1000):
        share = rng.binomial(300, 0.55) / 300
        half = 1.96 * (share * (1 - share) / 300) ** 0.5
        a = Estimate(share, share - half, share + half, 300)
        b = Estimate(1 - share, 1 - share - half, 1 - share + half, 300)
        found = less(a, b)
        held += found.low <= -0.1 <= found.high
    assert held >= 922


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holms_is_the_closed_test_of_bonferronis(ps: list[float]) -> None:
    """Oracle: the largest p of every set of hypotheses that one is in."""
    for number, adjusted in enumerate(holm(ps)):
        sets = (c for size in range(1, len(ps) + 1) for c in combinations(range(len(ps)), size))
        expected = max(
            min(1.0, len(each) * min(ps[i] for i in each)) for each in sets if number in each
        )
        assert adjusted == pytest.approx(expected)


def test_no_false_alarm_among_forty_true_nulls() -> None:
    """200 families of 40: at level 0.05 at most 28 have one, but for a chance of 1e-5."""
    rng = np.random.default_rng(8)
    alarms = sum(min(holm(list(rng.random(40)))) <= 0.05 for _ in range(200))
    assert alarms <= 28


def _run(place: Path, records, scores=None) -> Path:
    place.mkdir(parents=True)
    for record in records:
        append_record(place / "records.jsonl", record)
        if scores is not None:
            write_scores(scores_path(place, record.cell), {"loss threshold": scores(record)}, {})
    return place


def _of(found, name: str):
    return next(each for pair in found.pairs for each in pair.differences if name in each.key)


def test_each_defence_of_a_run_is_compared_with_the_undefended(examples, tmp_path: Path) -> None:
    records = examples.grid(("sst2",))
    found = compare([_run(tmp_path / "run", records)])
    names = [(pair.first.name, pair.second.name) for pair in found.pairs]
    assert ("none (parallel)", "gaussian token (parallel), eps 2") not in names
    assert {first for first, _ in names} == {"none (parallel)", "none (fedavg)"}
    fell = next(
        each for pair in found.pairs if "gaussian token" in pair.second.name
        for each in pair.differences if each.key == ("nearest token", "forward", "token_accuracy")
    )  # fmt: skip
    assert fell.told and fell.seeds == 2 and not fell.separate
    text = "\n".join(lines(found))
    assert "Token accuracy of nearest token (forward) fell by " in text
    assert "not distinguishable from none" in text
    assert f"corrected for all {found.count} (Holm)" in text


def test_scores_of_the_same_candidates_are_resampled_together(examples, tmp_path: Path) -> None:
    def scores(record):
        rng = np.random.default_rng(len(record.labels["defence"]))
        members = np.arange(200) < 100
        return Scored(rng.normal(size=200) + members, members, 0)

    records = [examples.done(defence=0), examples.done(defence=3)]
    found = compare([_run(tmp_path / "run", records, scores)])
    assert _of(found, "auc").paired and METHOD in markdown(found)
    other = [replace(r, provenance={**r.provenance, "data_sha256": "00"}) for r in records[1:]]
    found = compare([_run(tmp_path / "other", [records[0], *other], scores)])
    assert not _of(found, "auc").paired
    assert any("data differ (7777777777 and 00)" in each for each in found.pairs[0].apart)


def test_runs_that_differ_in_code_data_or_seed_say_so(examples, tmp_path: Path) -> None:
    records = [examples.done(defence=d) for d in (0, 3)]
    changed = [
        replace(
            r,
            cell=f"{r.cell[:-1]}0",
            labels={**r.labels, "seed": "1"},
            provenance={**r.provenance, "commit": "fedcba9876543", "dirty": True},
        )
        for r in records
    ]
    found = compare([_run(tmp_path / "a", records), _run(tmp_path / "b", changed)])
    assert len(found.pairs) == 2 and all(each.separate for each in found.pairs[0].differences)
    text = markdown(found)
    for part in ("code differs (0123abc and fedcba9876)", "seeds differ (0 and 1)",
                 "code with changes that no commit holds", "no seed in common",
                 "what another seed would change is in no interval"):  # fmt: skip
        assert part.lower() in text.lower()
    assert csv_of(found).count("\n") == 1 + found.count


def test_one_seed_against_others_tells_no_difference(examples, tmp_path: Path) -> None:
    """How far seeds lie apart is in no interval: whatever the numbers, nothing is claimed."""
    one = _run(tmp_path / "a", [examples.done(defence=0, seed=7)])
    three = _run(tmp_path / "b", [examples.done(defence=3, seed=seed) for seed in range(3)])
    for runs in ([one, three], [three, one]):
        found = compare(runs)
        assert all(
            each.separate and each.p == 1 and not each.told for each in found.pairs[0].differences
        )
        assert "One training on a side" in "\n".join(lines(found))
    two = _run(tmp_path / "c", [examples.done(defence=0, seed=seed) for seed in (7, 8)])
    found = compare([two, three])
    assert any(each.told for each in found.pairs[0].differences)
    assert "one training on a side" not in markdown(found)


def test_an_attack_that_ran_on_one_side_alone_is_named(examples, tmp_path: Path) -> None:
    def spared(record, attack):
        kept = [each for each in record.leakage if each.attack != attack]
        return replace(record, leakage=(*kept, NotMeasured("forward", attack, "inversion", "no")))

    bare = [examples.done(defence=0, seed=seed) for seed in (0, 1)]
    held = [examples.done(defence=3, seed=seed) for seed in (0, 1)]
    told = [spared(each, "nearest token") for each in held]
    for where in (lines, markdown):
        found = where(compare([_run(tmp_path / f"all {where}", [*bare, *told])]))
        text = found if isinstance(found, str) else "\n".join(found)
        assert "earest token (forward) has no number on gaussian token" in text
    partly = [*bare, held[0], spared(held[1], "nearest token")]
    text = "\n".join(lines(compare([_run(tmp_path / "partly", partly)])))
    assert "earest token (forward) has no number of seed 1 on gaussian token" in text
    assert "earest token: one training each" in text
    whole = compare([_run(tmp_path / "whole", [*bare, *held])])
    assert all(pair.lacking == () for pair in whole.pairs)


def test_the_same_run_twice_differs_in_nothing(examples, tmp_path: Path) -> None:
    records = examples.grid(("sst2",), seeds=1)
    found = compare([_run(tmp_path / "a", records), _run(tmp_path / "b", records)])
    assert not any(each.told for pair in found.pairs for each in pair.differences)
    assert all(pair.apart == () for pair in found.pairs)
    assert all(each.estimate.value == 0 for pair in found.pairs for each in pair.differences)


def test_what_cannot_be_compared_is_refused(examples, tmp_path: Path) -> None:
    a = _run(tmp_path / "a", [examples.done(defence=3), examples.done(defence=4)])
    b = _run(tmp_path / "b", [examples.done(defence=0), examples.done(defence=1)])
    with pytest.raises(ValueError, match="expected settings that both runs have, got sst2, "):
        compare([a, b])
    with pytest.raises(ValueError, match="expected an undefended setting and others"):
        compare([a])
    one = _run(tmp_path / "one", [examples.done(defence=3)])
    other = _run(tmp_path / "other", [examples.done(defence=0)])
    assert len(compare([one, other]).pairs) == 1
