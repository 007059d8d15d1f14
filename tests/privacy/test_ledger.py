"""The ledger of the later mechanisms; each accounting rule has a test that ignoring it fails."""

import json
import logging
from dataclasses import replace

import pytest

from privacy.accountants import gaussian_epsilon, poisson_gaussian_epsilon
from privacy.accounting import label_claims, ledger
from privacy.defence import Defence
from privacy.distance_correlation import DistanceCorrelation
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from privacy.facts import STEPWISE, TrainingFacts
from privacy.gaussian import Gaussian
from privacy.guarantee import Guarantee, MetricGuarantee, NoGuarantee, NothingSent
from privacy.laplace import Laplace
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import VIEWS, ClipOnly
from privacy.metric import Metric
from privacy.randomised_response import RandomisedResponse

RATE, STEPS, DELTA = 0.01, 1000, 1e-5
TRAINING = DPSGD(clip_norm=1.0, noise_multiplier=1.0, sample_rate=RATE)
SGD = Defence("dp-sgd", training=TRAINING)
LABELS = RandomisedResponse(1.5, labels=3)


def use(strategy: str = "parallel", **changes) -> TrainingFacts:
    facts = {
        "releases": 3 if strategy in ("parallel", "sequential") else 0,
        "rounds": 0 if strategy == "centralised" else 4,
        "embeddings_frozen": False,
        "optimizer_state_shared": False,
        "delta": DELTA,
        "cut_layer": 0,
        "steps": STEPS,
        "sample_rate": RATE,
        "accountant": "rdp",  # the quick one
    }
    return TrainingFacts(strategy=strategy, **(facts | changes))


def covered(defence: Defence, facts: TrainingFacts) -> list[str]:
    entries = ledger(defence, facts)
    assert tuple(entries) == VIEWS
    for entry in entries.values():
        data = json.loads(json.dumps(entry.to_json(), allow_nan=False))
        assert data["sentence"].endswith(".") and data["sentence"].count(". ") == 0
    return [view for view, entry in entries.items() if isinstance(entry, Guarantee)]


# DP-SGD --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STEPWISE)
@pytest.mark.parametrize("shared", [False, True])
def test_dp_sgd_speaks_for_the_release_alone(strategy, shared):
    # The optimiser's moments are made of noised sums: handing them on costs nothing more.
    facts = use(strategy, optimizer_state_shared=shared)
    assert covered(SGD, facts) == ["release"]
    entries = ledger(SGD, facts)
    claim = entries["release"]
    assert (claim.unit, claim.relation) == ("record", "add-or-remove-one")
    assert (claim.scope, claim.releases, claim.delta) == ("data set", STEPS, DELTA)
    assert round(claim.epsilon, 5) == 2.10137
    assert claim.accountant == "rdp, Poisson sampling at rate 0.01"
    assert "norm and clip factor of each example's gradient" in claim.sentence()
    if strategy == "parallel":
        assert "not A" in entries["forward"].reason
        assert "norm and clip factor" in entries["backward"].reason
        assert "which records were drawn" in entries["aggregator"].reason
    if strategy == "fedavg":
        assert "sees the parts of every round" in entries["aggregator"].reason
    if strategy != "centralised":
        assert "amplification by sampling" in entries["peer"].reason


def test_the_default_accountant_is_pld():
    facts = use(accountant="pld")
    assert round(ledger(SGD, facts)["release"].epsilon, 5) == 1.82824
    assert TrainingFacts("fedavg", 0, 1, False, False, DELTA, 0).accountant == "pld"


def test_sampling_amplifies_for_the_release_alone():
    # Noise on A and on G_Z beside DP-SGD: the server sees every message, whatever was drawn.
    noisy = Gaussian(1.0, 2.0, unit="sequence")
    both = Defence("both", smashed=noisy, hidden_gradient=noisy, training=TRAINING)
    entries = ledger(both, use(releases=STEPS))
    assert covered(both, use()) == ["forward", "backward", "release"]
    for view in ("forward", "backward"):
        assert entries[view].epsilon == gaussian_epsilon(2.0, STEPS, DELTA)
        assert entries[view].unit == "sequence" and entries[view].scope == "local"
        assert "norm and clip factor" in entries[view].exclusions[0]
    assert entries["release"].unit == "record"
    assert entries["release"].epsilon < gaussian_epsilon(1.0, STEPS, DELTA) / 10
    # and the noise of the messages takes nothing off the release
    assert entries["release"] == ledger(SGD, use())["release"]


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.02])
def test_a_rate_above_the_mechanisms_own_is_the_one_that_counts(rate):
    claim = ledger(SGD, use(sample_rate=rate))["release"]
    counted = max(rate, RATE)
    assert claim.epsilon == poisson_gaussian_epsilon(1.0, counted, STEPS, DELTA, "rdp")


def test_shuffled_batches_are_not_accounted_as_poisson():
    entry = ledger(SGD, use(sample_rate=None))["release"]
    assert isinstance(entry, NoGuarantee) and "not drawn by Poisson sampling" in entry.reason


def test_more_steps_than_the_noise_was_made_for_cost_more_and_say_so():
    made = DPSGD.calibrated(2.0, DELTA, 1.0, sample_rate=1.0, steps=10)
    entries = [
        ledger(Defence("d", training=made), use(steps=n, sample_rate=1.0, accountant="pld"))
        for n in (10, 20)
    ]
    assert entries[0]["release"].epsilon == pytest.approx(2.0, rel=1e-3)
    assert entries[0]["release"].epsilon <= 2.0
    assert entries[1]["release"].epsilon > 2.8
    assert "over 20 releases" in entries[1]["release"].sentence()


def test_dp_sgd_that_did_not_step_or_whose_examples_meet_in_the_loss_claims_nothing():
    idle = ledger(SGD, use(steps=0))["release"]
    assert isinstance(idle, NoGuarantee) and "no step" in idle.reason
    penalised = Defence("d", training=TRAINING, penalty=DistanceCorrelation(1.0))
    entry = ledger(penalised, use())["release"]
    assert isinstance(entry, NoGuarantee) and "over a whole batch" in entry.reason


def test_a_penalty_alone_claims_nothing():
    assert covered(Defence("nopeek", penalty=DistanceCorrelation(1.0)), use()) == []


# Client updates ------------------------------------------------------------------------------


def test_noise_at_the_client_covers_the_aggregator_too():
    local = Defence("local", update=LocalDPFedAvg(1.0, 5.0))
    central = Defence("central", update=DPFedAvg(1.0, 5.0))
    assert covered(local, use("fedavg")) == ["aggregator", "peer", "release"]
    assert covered(central, use("fedavg")) == ["peer", "release"]
    for view in ("aggregator", "peer", "release"):
        claim = ledger(local, use("fedavg"))[view]
        assert (claim.unit, claim.relation, claim.releases) == ("client", "replace-one", 4)
        assert claim.epsilon == gaussian_epsilon(5.0, 4, DELTA)
        assert not any("sees each client's update" in each for each in claim.exclusions)


@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_noise_at_the_client_needs_an_update_that_is_all_the_clients(strategy):
    local = Defence("local", update=LocalDPFedAvg(1.0, 5.0))
    assert covered(local, use(strategy)) == []


def test_raw_optimiser_state_takes_the_claims_of_noise_at_the_client():
    local = Defence("local", update=LocalDPFedAvg(1.0, 5.0))
    facts = use("fedavg", optimizer_state_shared=True)
    assert covered(local, facts) == []
    assert "made of raw gradients" in ledger(local, facts)["aggregator"].reason


# The forward message -------------------------------------------------------------------------

FROZEN = {"embeddings_frozen": True}


def test_one_shot_release_counts_once_and_speaks_of_the_data_set():
    once = Defence("once", smashed=Gaussian(1.0, 2.0), one_shot=True)
    often = Defence("often", smashed=Gaussian(1.0, 2.0))
    facts = use(releases=9, **FROZEN)
    claims = [ledger(each, facts)["forward"] for each in (once, often)]
    assert [claim.releases for claim in claims] == [1, 9]
    assert [claim.epsilon for claim in claims] == [gaussian_epsilon(2.0, n, DELTA) for n in (1, 9)]
    assert claims[0].scope == "data set"
    # A trained E makes another A each time: nothing is re-used, whatever was asked for.
    trained = ledger(once, use(releases=9))["forward"]
    assert (trained.releases, trained.scope) == (9, "local")


def test_laplace_noise_is_pure_and_every_release_adds():
    defence = Defence("laplace", smashed=Laplace(1.0, 0.5))
    claim = ledger(defence, use())["forward"]
    assert (claim.epsilon, claim.delta, claim.releases) == (1.5, 0.0, 3)
    assert covered(defence, use()) == ["forward"]
    many = ledger(defence, use(releases=10_000))["forward"]
    assert many.delta == DELTA and many.epsilon < 0.5 * 10_000


def test_matrix_noise_is_accounted_by_its_least_direction():
    mechanism = MatrixGaussian(1.0, 2.0, width=4, length=3, row_spread=3.0)
    claim = ledger(Defence("matrix", smashed=mechanism), use())["forward"]
    assert claim.unit == "sequence"
    assert claim.epsilon == pytest.approx(gaussian_epsilon(2.0, 3, DELTA))


def test_metric_privacy_is_its_own_type_in_the_ledger():
    defence = Defence("metric", smashed=Metric(eta=10.0, width=4))
    entries = ledger(defence, use())
    assert covered(defence, use()) == []
    claim = entries["forward"]
    assert isinstance(claim, MetricGuarantee)
    assert (claim.eta, claim.releases, claim.unit, claim.scope) == (10.0, 3, "token", "local")
    assert ledger(defence, use(**FROZEN))["forward"].scope == "data set"
    assert isinstance(ledger(defence, use(cut_layer=1))["forward"], NoGuarantee)
    assert all(isinstance(entries[view], NoGuarantee) for view in VIEWS[1:])


# Labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "views"),
    [
        ("parallel", ["backward", "aggregator", "peer", "release"]),
        ("sequential", ["backward", "aggregator", "peer", "release"]),
        ("fedavg", ["aggregator", "peer", "release"]),
        ("centralised", ["release"]),
    ],
)
def test_randomised_labels_are_claimed_for_every_view_that_they_reach(strategy, views):
    defence = Defence("labels", labels=LABELS)
    claims = label_claims(defence, use(strategy))
    assert [claim.view for claim in claims] == views
    for claim in claims:
        assert (claim.unit, claim.relation, claim.scope) == ("label", "replace-one", "data set")
        # once for all epochs, steps and rounds
        assert (claim.epsilon, claim.delta, claim.releases) == (1.5, 0.0, 1)
        assert "the text of the record" in claim.exclusions[0]
    # Labels say nothing for the record's text: the five entries are those without them.
    entries = ledger(defence, use(strategy))
    for view, bare in ledger(Defence("none"), use(strategy)).items():
        covered = view in views
        assert entries[view] == (replace(bare, but_labels=True) if covered else bare)
        told = "no guarantee for the text of a record, only for its label: "
        assert (told in entries[view].sentence()) is covered


def test_without_randomised_labels_nothing_is_claimed_of_them():
    assert label_claims(SGD, use()) == []
    assert label_claims(Defence("x", smashed=ClipOnly(1.0)), use()) == []


def test_labels_and_dp_sgd_are_claimed_apart():
    both = Defence("both", labels=LABELS, training=TRAINING)
    assert ledger(both, use())["release"] == ledger(SGD, use())["release"]
    assert [claim.view for claim in label_claims(both, use())][-1] == "release"


# Delta ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("records", "warned"), [(99_999, False), (100_000, True), (10**6, True)])
def test_a_delta_that_allows_for_publishing_a_record_is_named(records, warned, caplog):
    caplog.set_level(logging.WARNING)
    claim = ledger(SGD, use(records=records))["release"]
    assert (f"n={records} records" in claim.sentence()) is warned
    assert (f"n={records} records" in caplog.text) is warned
    assert len(caplog.records) == int(warned)


def test_delta_0_and_clients_have_nothing_to_do_with_the_number_of_records(caplog):
    facts = use("fedavg", records=10**6)
    assert "n=" not in ledger(Defence("d", update=DPFedAvg(1.0, 5.0)), facts)["release"].sentence()
    laplace = Defence("l", smashed=Laplace(1.0, 0.5))
    assert "n=" not in ledger(laplace, use(records=10**6))["forward"].sentence()
    assert all("n=" not in c.sentence() for c in label_claims(Defence("d", labels=LABELS), facts))
    assert not caplog.records
    assert "n=" not in ledger(SGD, use())["release"].sentence()  # nobody counted


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": -1},
        {"steps": 1.5},
        {"sample_rate": 0.0},
        {"sample_rate": 1.1},
        {"accountant": "gdp"},
        {"records": 0},
        {"records": -1},
    ],
)
def test_facts_that_cannot_be_are_refused(changes):
    with pytest.raises(ValueError, match=f"got {next(iter(changes))}="):
        use(**changes)


def test_facts_of_dp_sgd_may_be_left_out():
    plain = TrainingFacts("parallel", 3, 2, False, False, DELTA, 0)
    entries = ledger(Defence("none"), plain)
    assert not any(isinstance(entry, NothingSent) for entry in entries.values())
    assert "no step" in ledger(SGD, plain)["release"].reason


def test_a_delta_below_what_the_tails_leave_is_no_guarantee() -> None:
    """Noise of a fortieth of the distance cannot reach where the neighbour's values lie."""
    slight = Defence("d", smashed=Gaussian(1.0, 1 / 40, "sequence"))
    entry = ledger(slight, use(delta=1e-7))["forward"]
    assert isinstance(entry, NoGuarantee) and "cut tails" in entry.sentence()
    held = ledger(slight, use(delta=1e-5))["forward"]
    assert isinstance(held, Guarantee) and 1e-5 < held.delta < 1.5e-5
    usual = ledger(Defence("d", smashed=Gaussian(1.0, 0.1, "sequence")), use())["forward"]
    assert isinstance(usual, Guarantee) and usual.delta == DELTA
    slight = Defence("d", smashed=Laplace(1.0, 600.0, "sequence"))  # pure: any floor is too much
    assert isinstance(ledger(slight, use(releases=1))["forward"], NoGuarantee)


def test_what_is_drawn_once_counts_once_more_for_each_restart() -> None:
    frozen = use(embeddings_frozen=True, restarts=2)
    once = Defence("d", smashed=Gaussian(1.0, 2.0, "sequence"), one_shot=True, labels=LABELS)
    assert ledger(once, frozen)["forward"].releases == 3
    assert {claim.epsilon for claim in label_claims(once, frozen)} == {3 * 1.5}
