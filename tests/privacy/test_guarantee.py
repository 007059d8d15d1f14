"""What a claim says of itself: pure and metric guarantees beside the usual ones."""

import json
import math

import pytest

from privacy.guarantee import Guarantee, MetricGuarantee


def test_a_pure_claim_has_delta_0_and_says_so():
    claim = Guarantee(
        "release", "label", "replace-one", 1.5, 0.0, 1, "data set", "pure, summed", ("the text",)
    )
    assert "each label" in claim.sentence()
    assert "epsilon 1.5 and delta 0 over one release" in claim.sentence()
    assert claim.to_json()["delta"] == 0.0


METRIC = {
    "view": "forward",
    "unit": "token",
    "eta": 2.00001,
    "releases": 3,
    "exclusions": ("lengths",),
    "scope": "local",
}


def test_a_metric_claim_is_its_own_kind_and_never_an_epsilon_delta():
    claim = MetricGuarantee(**METRIC)
    data = json.loads(json.dumps(claim.to_json(), allow_nan=False))
    assert data["kind"] == "metric guarantee"
    assert not {"epsilon", "delta", "relation", "accountant"} & set(data)
    sentence = claim.sentence()
    assert data["sentence"] == sentence
    for part in (
        "the forward view",
        "each token",
        "no (epsilon, delta)",
        "L2 distance d",
        "epsilon 2.001 d per release",  # rounded up
        "so 6.001 d over 3 releases",
        "local",
        "not covered are lengths",
    ):
        assert part in sentence
    once = MetricGuarantee(**(METRIC | {"releases": 1})).sentence()
    assert "per release;" in once and "releases" not in once
    assert not isinstance(claim, Guarantee)


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": 0.0},
        {"eta": math.inf},
        {"releases": -1},
        {"view": "sideways"},
        {"unit": "word"},
        {"scope": "global"},
        {"exclusions": ()},
    ],
)
def test_a_metric_claim_without_meaning_cannot_be_made(changes):
    with pytest.raises(ValueError, match=f"expected .*{next(iter(changes))}"):
        MetricGuarantee(**(METRIC | changes))
