"""Group privacy: what a claim for records says of a person with several."""

import math
from typing import Any

import pytest

from privacy.accountants import gaussian_epsilon
from privacy.accounting import label_claims, ledger
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from privacy.facts import TrainingFacts
from privacy.gaussian import Gaussian
from privacy.group_privacy import for_persons, of_group
from privacy.guarantee import SEVERAL_RECORDS, Guarantee, MetricGuarantee
from privacy.randomised_response import RandomisedResponse


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_a_group_is_never_promised_more_than_the_exact_gaussian_gives(
    noise: float, count: int
) -> None:
    """The oracle: count records move a sum by count sensitivities."""
    delta = 1e-9
    found = of_group(gaussian_epsilon(noise, 1, delta), delta, count)
    if found is None:
        assert noise < 2 and count > 3
        return
    assert gaussian_epsilon(noise / count, 1, found[1]) <= found[0] * (1 + 1e-9)
    assert count == 1 or found[1] > count * delta


def test_pure_claims_add_up_and_large_ones_leave_nothing() -> None:
    assert of_group(0.7, 0.0, 4) == pytest.approx((2.8, 0.0))
    assert of_group(0.0, 1e-5, 4) == pytest.approx((0.0, 4e-5))
    assert of_group(0.5, 1e-5, 3) == pytest.approx((1.5, 1e-5 * (1 + math.e**0.5 + math.e)))
    assert of_group(8.0, 1e-5, 2) == pytest.approx((16.0, 1e-5 * (1 + math.e**8)))
    assert of_group(8.0, 1e-5, 3) is None and of_group(500.0, 1e-300, 9) is None
    assert of_group(500.0, 0.0, 9) == (4500.0, 0.0)


def use(rows: int | None, **changes: Any) -> TrainingFacts:
    facts = {"releases": 3, "rounds": 4, "steps": 10, "sample_rate": 0.01, "delta": 1e-5}
    return TrainingFacts("parallel", person_rows=rows, **{**facts, **changes})


def test_dp_sgd_says_what_is_left_for_a_person_and_its_unit_stays_the_record() -> None:
    made = Defence("d", training=DPSGD(1.0, 1.0, 0.01))
    plain = ledger(made, use(None))["release"]
    claim = ledger(made, use(2))["release"]
    assert isinstance(plain, Guarantee) and isinstance(claim, Guarantee)
    assert (claim.unit, claim.epsilon, claim.delta) == ("record", plain.epsilon, plain.delta)
    assert SEVERAL_RECORDS in plain.exclusions and SEVERAL_RECORDS not in claim.exclusions
    assert plain.tradeoff is not None and claim.tradeoff is None  # the curve is a record's
    left = of_group(claim.epsilon, claim.delta, 2)
    assert left is not None
    told = claim.exclusions[0]
    assert told.startswith("a person as a whole, who may have 2 records, for whom group privacy")
    epsilon = float(told.split("epsilon ")[1].split(" ")[0])
    assert left[0] <= epsilon < left[0] * 1.001
    many = ledger(made, use(400))["release"]
    assert isinstance(many, Guarantee)
    assert many.exclusions[0].endswith("who may have 400 records, for whom group privacy leaves "
                                       "no guarantee")  # fmt: skip
    one = ledger(made, use(1))["release"]
    assert isinstance(one, Guarantee) and one.tradeoff == plain.tradeoff
    assert one.exclusions == tuple(e for e in plain.exclusions if e != SEVERAL_RECORDS)


def test_clients_hold_persons_whole_and_a_token_is_no_person() -> None:
    client = Defence("d", update=DPFedAvg(1.0, 5.0))
    assert ledger(client, use(7)) == ledger(client, use(None))
    token = ledger(Defence("d", smashed=Gaussian(1.0, 2.0)), use(7))["forward"]
    assert isinstance(token, Guarantee)
    assert token.exclusions[0] == "a person as a whole, whose texts have many tokens"


def test_labels_and_metric_claims_speak_of_persons_as_well() -> None:
    labels = Defence("d", labels=RandomisedResponse(1.5, 2))
    for claim in label_claims(labels, use(3)):
        assert "who may have 3 records" in claim.sentence() and "epsilon 4.5" in claim.sentence()
    metric = MetricGuarantee("forward", "sequence", 1.0, 1, ("x",), "local")
    assert for_persons(metric, 3).exclusions == ("a person as a whole, who may have 3 records", "x")
    assert for_persons(metric, None) is metric
