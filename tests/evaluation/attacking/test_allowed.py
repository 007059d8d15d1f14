"""What a claim allows an attack, from the ledger through a record to table, figure and page."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.attacking.claims import flagged
from evaluation.auditing import assumed as behind
from evaluation.auditing.plan import as_lines, plan
from fedbert.errors import InputError
from privacy.accounting import ledger
from privacy.allowed import STORED, allowed_by, allowed_by_line
from privacy.calibration import gaussian_sigma
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import GaussianEvent, MetricEvent, PureEvent
from privacy.facts import TrainingFacts
from privacy.gaussian import Gaussian
from privacy.tradeoff import gaussian_curve
from reports.csv_table import csv_table
from reports.drawing.screen import png
from reports.estimate import Estimate
from reports.figures.roc import describe_roc, roc_data
from reports.leak import Leak
from reports.metrics import ABOVE_CLAIM
from reports.records import CellResult, append_record, read_records
from reports.render import render
from reports.rows import setting_rows
from reports.scores import Scored
from reports.tables import markdown
from reports.tradeoff import allowed, beside_leak
from tests.reports import examples

RATE, STEPS = 0.016376663254861822, 190
FACTS = TrainingFacts(
    strategy="parallel", delta=1e-5, releases=3, rounds=3, steps=STEPS, sample_rate=RATE,
    records=977,
)  # fmt: skip
ATTACK = ("release", "loss threshold", "membership")
WORDS = "TPR at 1 % FPR at most 0.048, advantage at most 0.202"


def guarantees(**mechanisms: Any) -> list[dict[str, Any]]:
    return [each.to_json() for each in ledger(Defence("d", **mechanisms), FACTS).values()]


@pytest.fixture(scope="module")
def dp_sgd() -> list[dict[str, Any]]:
    return guarantees(training=DPSGD(1.0, 0.6967085700132536, RATE))


def record(claims: list[dict[str, Any]], *leaks: Leak) -> CellResult:
    return replace(examples.done(), guarantees=claims, leakage=leaks or (leak("auc", 0.52),))


def leak(metric: str, low: float, unit: str = "record", view: str = "release") -> Leak:
    found = Estimate(min(1.0, low + 0.01), low, min(1.0, low + 0.02), 977, 0.95, "by hand")
    return Leak(view, *ATTACK[1:], metric, found, unit, 0.01)


def scored() -> Scored:
    rng = np.random.default_rng(0)
    return Scored(rng.normal(size=300), rng.random(300) < 0.5, 1)


def test_the_record_holds_the_curve_of_the_mechanism(
    dp_sgd: list[dict[str, Any]], tmp_path: Path
) -> None:
    append_record(tmp_path / "records.jsonl", record(dp_sgd))
    (read,) = read_records(tmp_path / "records.jsonl")
    (claim,) = allowed([read.guarantees])
    found = [claim.tpr_at(fpr) for fpr in (0.001, 0.01, 0.1)] + [claim.advantage]
    assert found == pytest.approx([0.00913, 0.04745, 0.23916, 0.20160], abs=1e-5)
    assert (claim.view, claim.unit) == ("release", "record")
    assert len(claim.points) == 31 and "loss distribution" in read.guarantees[4]["tradeoff_basis"]


def test_it_stands_beside_the_membership_of_its_view_and_unit(
    dp_sgd: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = record(dp_sgd)
    assert f"claim allows {WORDS}" in markdown([found])
    (line,) = csv.DictReader(io.StringIO(csv_table([found])))
    assert float(line["membership_tpr_at_1pct_fpr_allowed"]) == pytest.approx(0.04745, abs=1e-5)
    assert float(line["membership_advantage_allowed"]) == pytest.approx(0.20160, abs=1e-5)
    append_record(tmp_path / "records.jsonl", found)
    render(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"<small>claim allows {WORDS}</small>") == 1
    assert f"release, who tells one record in from out: {WORDS}" in page


@pytest.mark.parametrize(
    "mechanisms", [{"smashed": Gaussian(1.0, 4.0)}, {"smashed": Gaussian(1.0, 4.0, "sequence")}]
)
def test_a_claim_about_another_unit_or_view_is_never_beside_it(mechanisms: dict[str, Any]) -> None:
    """Not even where the attack looks at the view of the claim."""
    claims = guarantees(**mechanisms)
    for view in ("forward", "release"):
        found = record(claims, leak("auc", 0.9, view=view))
        assert "claim allows" not in markdown([found]).lower()
        assert f"one {mechanisms['smashed'].unit} in from out" in markdown([found])
        (line,) = csv.DictReader(io.StringIO(csv_table([found])))
        assert line["membership_advantage_allowed"] == ""
        assert roc_data([found], {found.cell: {"loss threshold": scored()}}).panels[0].allows == ()
        assert flagged(found.leakage, allowed([claims])) == list(found.leakage)


def test_older_records_have_no_curve_and_show_none(dp_sgd: list[dict[str, Any]]) -> None:
    keys = ("tradeoff", "advantage", "tradeoff_basis")
    older = [{k: v for k, v in each.items() if k not in keys} for each in dp_sgd]
    assert "allows" not in markdown([record(older)])
    both = [record(older), replace(record(dp_sgd), labels=examples.done(seed=1).labels)]
    assert setting_rows(both)[0].allows == ()  # one seed of two says nothing of the other


def test_the_figure_draws_it_and_says_so(dp_sgd: list[dict[str, Any]]) -> None:
    found = record(dp_sgd)
    with_claim = roc_data([found], {found.cell: {"loss threshold": scored()}})
    without = roc_data([record(guarantees())], {found.cell: {"loss threshold": scored()}})
    assert f"The claim allows (release, each record) {WORDS}" in describe_roc(with_claim)
    assert "allows" not in describe_roc(without)
    by = "rates:draw_rates"
    assert png(with_claim, by, "") != png(without, by, "")


@pytest.mark.parametrize(
    ("metric", "most"),
    [
        ("tpr_at_1pct_fpr", 0.04745), ("tpr_at_01pct_fpr", 0.00913),
        ("balanced_accuracy", 0.6008), ("auc", 0.68129),
    ],
)  # fmt: skip
def test_an_interval_wholly_above_is_flagged(
    dp_sgd: list[dict[str, Any]], metric: str, most: float
) -> None:
    claims = allowed([dp_sgd])
    entries = [leak(metric, most + move) for move in (-1e-4, 1e-4)]
    inside, outside = flagged(entries, claims)
    assert isinstance(inside, Leak) and inside.flags == ()
    assert isinstance(outside, Leak) and outside.flags == (ABOVE_CLAIM,)
    assert "the claim's trade-off curve allows" in markdown([record(dp_sgd, outside)])
    assert "it does not hold" in setting_rows([record(dp_sgd, outside)])[0].alarms[0]


def test_over_seeds_the_most_that_any_allows_counts() -> None:
    one, two = (guarantees(training=DPSGD(1.0, sigma, RATE)) for sigma in (0.8, 1.5))
    (both,), (first,) = allowed([one, two]), allowed([one])
    assert both == first
    assert beside_leak(leak("auc", 0.5), [both]) is both
    assert beside_leak(leak("client_auc", 0.5, "client"), [both]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"tradeoff": [[0.1, 1.5]]}, {"tradeoff": [[0.1]]}, {"tradeoff": []}, {"advantage": -1},
        {"tradeoff": [[0.1, 0.5], [0.1, 0.6]]}, {"tradeoff": [[0.1, 0.5], [0.2, 0.4]]},
        {"advantage": "much"}, {"tradeoff_basis": ""},
    ],
)  # fmt: skip
def test_a_record_with_no_curve_in_its_place_is_refused(
    dp_sgd: list[dict[str, Any]], change: dict[str, Any]
) -> None:
    values = json.loads(json.dumps(record(dp_sgd).to_json()))
    values["guarantees"][4].update(change)
    with pytest.raises(ValueError, match=r"guarantees\[4\].*|expected"):
        CellResult.from_json(values)


def test_stored_points_are_never_below_the_curve() -> None:
    for event, releases in ((GaussianEvent(2.0), 3), (PureEvent(0.5), 4)):
        found = allowed_by(event, releases)
        assert [fpr for fpr, _ in found.points] == list(STORED)
        assert {0.001, 0.01, 0.1, 1.0} <= set(STORED)
    exact = gaussian_curve(2.0, 3)
    stored = allowed_by(GaussianEvent(2.0), 3)
    for fpr, tpr in stored.points:
        assert exact.tpr_at(fpr) <= tpr <= exact.tpr_at(fpr) * (1 + 1e-5)
    assert "line of one" in allowed_by_line(4.0, 1e-5).basis
    with pytest.raises(ValueError, match="expected an event with a trade-off curve"):
        allowed_by(MetricEvent(1.0), 1)


def test_the_plan_says_what_the_claim_allows() -> None:
    text = "\n".join(as_lines(plan(4.0, 1e-5, canaries=8), 4.0, 1e-5, 8, 0.05))
    assert "| TPR at 1 % FPR | 0.546 | 0.08054 |" in text
    assert "| advantage (TPR - FPR) | 0.964 | 0.3" in text


def test_the_plan_of_dp_sgd_goes_by_its_own_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of 1 as of a Gaussian; with the same noise and sampled there is less to see, and
    what bounds Gaussian mechanisms alone is left out.
    """
    same_noise = lambda epsilon, delta, *_: gaussian_sigma(epsilon, delta, 1.0)  # noqa: E731
    monkeypatch.setattr(behind, "poisson_noise_multiplier", same_noise)
    every = {each.name: each for each in plan(2.0, 1e-2, canaries=8)}
    whole = plan(2.0, 1e-2, canaries=8, sampling=(1.0, 1))
    sampled = plan(2.0, 1e-2, canaries=8, sampling=(0.5, 1))
    for found in (whole, sampled):
        assert [each.name for each in found] == [each for each in every if "Gaussian" not in each]
        assert [each.least for each in found] == [every[each.name].least for each in found]
    expected = [every[each.name].likely for each in whole]
    assert None not in expected[:3]
    assert [each.likely for each in whole[:3]] == pytest.approx(expected[:3], rel=0.03)
    for each, count in zip(sampled[:3], expected, strict=False):
        assert count is not None and (each.likely is None or each.likely > 2 * count)
    text = "\n".join(as_lines(sampled, 2.0, 1e-2, 8, 0.05, (0.5, 1)))
    assert "if epsilon is 4 (DP-SGD)" in text and "own trade-off curve" in text
    assert "assumes a Gaussian" in "\n".join(as_lines([], 2.0, 1e-2, 8, 0.05))
    for sampling in ((0.0, 3), (1.5, 3), (0.5, 0)):
        with pytest.raises(InputError, match=r"expected .*, got (sample_rate|steps)="):
            plan(2.0, 1e-2, sampling=sampling)
