"""Message beside label: the closed form against a loss distribution, and what may be claimed."""

from dataclasses import replace

import numpy as np
import pytest
from dp_accounting.pld import common, privacy_loss_distribution

from privacy.accountants import gaussian_epsilon
from privacy.accounting import label_claims, ledger
from privacy.allowed import allowed_by
from privacy.composition import epsilon_of
from privacy.defence import Defence, refuse
from privacy.distance_correlation import DistanceCorrelation
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import GaussianEvent, MessageEvent, PureEvent, event_from_json, event_to_json
from privacy.facts import MessageFacts, TrainingFacts
from privacy.gaussian import Gaussian
from privacy.guarantee import SEVERAL_TEXTS, Guarantee, NoGuarantee, rounded_up
from privacy.laplace import Laplace
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import VIEWS, ClipOnly
from privacy.metric import Metric
from privacy.one_message import message_delta, message_epsilon, message_multiplier
from privacy.randomised_response import RandomisedResponse
from privacy.tradeoff import gaussian_curve, message_curve, pure_curve

DELTA = 1e-5
WITHIN = TrainingFacts(
    "one_message",
    releases=1,
    embeddings_frozen=True,
    delta=DELTA,
    records=1000,
    message=MessageFacts("within"),
)
BESIDE = replace(WITHIN, message=MessageFacts("beside"))
NOISE = Gaussian.calibrated(6.0, DELTA, clip_norm=1.0, unit="sequence")
COIN = RandomisedResponse(2.0, labels=2)
BOTH = Defence("both", smashed=NOISE, labels=COIN)
ALONE = Defence("alone", smashed=NOISE)


@pytest.mark.parametrize(("noise", "label", "releases"), [(0.7, 2.0, 1), (3.0, 0.5, 2)])
def test_epsilon_is_that_of_the_loss_distribution(noise, label, releases):
    grid = {"value_discretization_interval": 1e-4}
    message = privacy_loss_distribution.from_gaussian_mechanism(noise, **grid)
    coin = privacy_loss_distribution.from_privacy_parameters(
        common.DifferentialPrivacyParameters(label, 0.0), **grid
    )
    loss = message.compose(coin).self_compose(releases)
    for delta in (1e-3, 1e-5, 1e-8):
        expected = loss.get_epsilon_for_delta(delta)
        assert message_epsilon(noise, label, releases, delta) == pytest.approx(expected, rel=1e-4)


def test_together_they_cost_more_than_either_and_no_more_than_both():
    for noise, label in ((0.5, 3.0), (1.0, 1.0), (4.0, 0.1)):
        alone = gaussian_epsilon(noise, 1, DELTA)
        together = message_epsilon(noise, label, 1, DELTA)
        assert max(alone, label) < together <= alone + label + 1e-9


@pytest.mark.parametrize(("target", "label", "releases"), [(8.0, 2.0, 1), (1.0, 0.3, 3)])
def test_calibration_meets_its_target_and_wastes_nothing(target, label, releases):
    noise = message_multiplier(target, DELTA, label, releases)
    assert (
        target * (1 - 1e-6) < message_epsilon(noise, label, releases, DELTA) <= target * (1 + 1e-7)
    )
    assert message_epsilon(noise * 0.999, label, releases, DELTA) > target


@pytest.mark.parametrize(
    ("target", "label", "releases"), [(8.0, 7.9, 1), (2.0, 1.9, 1), (15.1, 3.0, 5)]
)
def test_a_claim_is_not_above_its_target_where_labels_take_most_of_it(target, label, releases):
    """There more noise lowers epsilon by next to nothing: head room on the noise alone is none."""
    noise = message_multiplier(target, DELTA, label, releases)
    found = message_epsilon(noise, label, releases, DELTA)
    assert target * (1 - 1e-8) < found <= target
    assert rounded_up(found) == f"{target:g}"


def test_a_target_that_the_labels_take_alone_is_refused():
    with pytest.raises(ValueError, match="expected target_epsilon > 2, which the labels take"):
        message_multiplier(2.0, DELTA, 1.0, releases=2)
    with pytest.raises(ValueError, match="which labels take alone"):
        Laplace.calibrated(1.0, clip_norm=1.0, beside=1.0)


@pytest.mark.parametrize("kind", [Gaussian, MatrixGaussian, Laplace])
def test_a_target_counts_the_label_beside(kind):
    shape = {"width": 4, "length": 1} if kind is MatrixGaussian else {}
    more = {} if kind is Laplace else {"delta": DELTA}
    made = kind.calibrated(4.0, clip_norm=1.0, beside=1.0, **more, **shape)
    defence = Defence("x", smashed=replace(made, unit="sequence") if not shape else made)
    claim = ledger(replace(defence, labels=RandomisedResponse(1.0, 2)), BESIDE)["release"]
    assert 4.0 * (1 - 1e-6) < claim.epsilon <= 4.0 * (1 + 1e-6)


def test_the_curve_lies_above_each_one_and_meets_its_claim():
    curve = message_curve(1.0, 1.0)
    for fpr in (0.001, 0.01, 0.1, 0.5):
        allowed = curve.tpr_at(fpr)
        assert allowed > gaussian_curve(1.0).tpr_at(fpr)
        assert allowed > pure_curve(1.0).tpr_at(fpr)
        epsilon = message_epsilon(1.0, 1.0, 1, DELTA)
        assert allowed <= np.exp(epsilon) * fpr + DELTA + 1e-9


def test_the_curve_is_what_the_best_test_reaches():
    """The likelihood-ratio test of a unit Gaussian at distance 1 beside a coin, by simulation.

    200,000 draws a side: its rates err by less than .006 at five standard errors (two-sided, a
    false alarm in a million for each of three).
    """
    rng, n = np.random.default_rng(0), 200_000
    right = 1 / (1 + np.exp(-1.0))

    def losses(member: bool) -> np.ndarray:
        values = rng.standard_normal(n) + member
        says_yes = rng.random(n) < (right if member else 1 - right)
        return values - 0.5 + np.where(says_yes, 1.0, -1.0)

    members, others = losses(True), losses(False)
    for fpr in (0.01, 0.1, 0.3):
        found = (members > np.quantile(others, 1 - fpr)).mean()
        assert found == pytest.approx(message_curve(1.0, 1.0).tpr_at(fpr), abs=0.008)


def test_the_event_survives_a_file_and_has_a_claim():
    event = MessageEvent(0.7, 2.0)
    assert event_from_json(event_to_json(event)) == event
    assert epsilon_of(event, 0, DELTA).epsilon == 0.0
    assert allowed_by(event, 1).basis == "Gaussian beside randomised response, closed form"
    assert message_delta(np.array([0.0]), 0.7, 2.0)[0] < 1
    for wrong in ((0.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="expected"):
            MessageEvent(*wrong)


# Claims --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("defence", "facts"), [(ALONE, WITHIN), (BOTH, BESIDE)])
def test_one_claim_holds_for_all_five_views(defence, facts):
    entries = ledger(defence, facts)
    assert tuple(entries) == VIEWS
    claims = {replace(claim, view="release") for claim in entries.values()}
    assert len(claims) == 1
    (claim,) = claims
    assert isinstance(claim, Guarantee)
    assert (claim.unit, claim.relation, claim.scope) == ("record", "replace-one", "data set")
    assert (claim.releases, claim.delta) == (1, DELTA)
    expected = 6.0 if facts is WITHIN else message_epsilon(NOISE.noise_multiplier, 2.0, 1, DELTA)
    assert claim.epsilon == pytest.approx(expected, rel=1e-6)


def test_each_launch_sent_every_record_once_more():
    claim = ledger(ALONE, replace(WITHIN, restarts=2))["peer"]
    assert claim.releases == 3
    assert claim.epsilon == pytest.approx(gaussian_epsilon(NOISE.noise_multiplier, 3, DELTA))


def test_a_text_in_several_pairs_is_said_to_be_several_records():
    for rows in (None, 1, 3):
        claim = ledger(ALONE, replace(WITHIN, person_rows=rows))["release"]
        assert SEVERAL_TEXTS in claim.exclusions


def test_a_person_with_several_records_is_told_what_is_left():
    claim = ledger(ALONE, replace(WITHIN, person_rows=3))["forward"]
    left = gaussian_epsilon(NOISE.noise_multiplier, 3, DELTA)
    told = f"may have 3 records, for whom as many messages leave epsilon {rounded_up(left)} and"
    assert told in claim.sentence()
    assert left < 3 * claim.epsilon and claim.tradeoff is None
    alone = ledger(ALONE, replace(WITHIN, person_rows=1))["forward"]
    assert "person" not in alone.sentence() and alone.tradeoff is not None


FAILING = {
    "E was trained": replace(WITHIN, embeddings_frozen=False),
    "trained on MNLI": replace(WITHIN, message=MessageFacts(seen="MNLI")),
    "stands among the records": replace(WITHIN, message=MessageFacts(mixed=True)),
    "by their true labels": replace(WITHIN, message=MessageFacts(dealt_by_label=True)),
}


@pytest.mark.parametrize("reason", FAILING)
def test_a_condition_that_fails_leaves_no_claim(reason):
    for entry in ledger(ALONE, FAILING[reason]).values():
        assert isinstance(entry, NoGuarantee)
        assert reason in entry.sentence()


@pytest.mark.parametrize(
    ("defence", "facts", "reason"),
    [
        (Defence("none"), WITHIN, "left as it is"),
        (Defence("clip", smashed=ClipOnly(1.0, unit="sequence")), WITHIN, "not noised"),
        (Defence("token", smashed=Gaussian(1.0, 1.0)), WITHIN, "needs the sequence as unit"),
        (ALONE, BESIDE, "nothing acts at labels"),
        (Defence("label", labels=COIN), BESIDE, "left as it is"),
        (Defence("metric", smashed=Metric(1.0, 8), labels=COIN), BESIDE, "the sequence as unit"),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_without_noise_on_both_there_is_no_claim(defence, facts, reason):
    entries = ledger(defence, facts)
    assert all(isinstance(entry, NoGuarantee) for entry in entries.values())
    assert all(reason in entry.sentence() for entry in entries.values())


def test_answered_labels_keep_their_claim_in_all_views():
    claims = label_claims(Defence("label", labels=COIN), BESIDE)
    assert [claim.view for claim in claims] == list(VIEWS)
    entries = ledger(Defence("label", labels=COIN), BESIDE)
    assert all(entry.but_labels for entry in entries.values())


def test_a_pure_message_adds_its_epsilon_to_the_labels():
    defence = Defence("laplace", smashed=Laplace(1.0, 3.0, unit="sequence"), labels=COIN)
    claim = ledger(defence, BESIDE)["aggregator"]
    assert (claim.epsilon, claim.delta) == (5.0, 0.0)
    within = ledger(replace(defence, labels=None), WITHIN)["aggregator"]
    assert within.epsilon == 3.0


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ({"update": DPFedAvg(1.0, 1.0)}, "no client trains"),
        ({"hidden": Gaussian(1.0, 1.0)}, "acts at hidden"),
        ({"hidden_gradient": Gaussian(1.0, 1.0)}, "acts at hidden_gradient"),
        ({"smashed_gradient": Gaussian(1.0, 1.0)}, "acts at smashed_gradient"),
        ({"training": DPSGD(1.0, 1.0, 0.01)}, "acts at training"),
        ({"penalty": DistanceCorrelation(1.0)}, "acts at penalty"),
        ({"smashed": NOISE, "one_shot": True}, "sent once in any case"),
        ({"labels": COIN}, "go within the message"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_cannot_act_on_one_message_is_refused(places, why):
    reason = refuse(Defence("odd", **places), WITHIN)
    assert reason is not None and reason.startswith("odd ") and why in reason


def test_what_can_act_is_not_refused():
    for defence, facts in ((ALONE, WITHIN), (BOTH, BESIDE), (Defence("none"), WITHIN)):
        assert refuse(defence, facts) is None
    assert isinstance(NOISE.cost().event, GaussianEvent)
    assert isinstance(COIN.cost().event, PureEvent)
