"""Classes made from names and parameters: what `target_epsilon` may stand beside."""

from typing import Any

import pytest

from evaluation.grid.build import build
from evaluation.grid.defence import make_defence
from evaluation.grid.spec import DefenceSpec, Spec
from fedbert.errors import InputError
from privacy.facts import TrainingFacts
from privacy.matrix_gaussian import MatrixGaussian

FACTS = {"delta": 1e-5, "releases": 4, "width": 8, "length": 6, "rounds": 2}
GIVEN = {"target_epsilon": 8.0, "clip_norm": 1.0}
SHAPE = {"row_spread": 2.0, "column_spread": 3.0, "keep": 4, "basis_seed": 5}


def test_a_calibrated_mechanism_takes_the_fields_that_its_maker_passes_on() -> None:
    made = build(MatrixGaussian, GIVEN | SHAPE, FACTS, "here")
    assert made == MatrixGaussian.calibrated(8.0, 1e-5, 1.0, 8, 6, releases=4, **SHAPE)
    assert {name: getattr(made, name) for name in SHAPE} == SHAPE
    assert build(MatrixGaussian, GIVEN, FACTS, "here").keep is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"row_spred": 2.0}, "here: unknown key 'row_spred': did you mean 'row_spread'?"),
        ({"basis_seed": 0.5}, "here: expected an integer, got basis_seed=0.5"),
        ({"keep": True}, "here: expected an integer, got keep=true"),
        ({"noise_multiplier": 1.0}, "only without target_epsilon, got noise_multiplier=1.0"),
    ],
)
def test_fields_that_are_passed_on_are_checked_as_others_are(
    more: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        build(MatrixGaussian, GIVEN | more, FACTS, "here")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("defence", "expected"),
    [
        ({"training": {"mechanism": "dp_sgd", "clip_norm": 1.0}},
         "training: expected noise_multiplier or {TARGETS}, got none"),
        ({"smashed": {"mechanism": "randomised_response", "epsilon": 1.0, "labels": 2}},
         "smashed: expected 'randomised_response' at labels, where it acts, got smashed"),
        ({"smashed": {"mechanism": "gaussian", "noise_multiplier": 1.0}},
         "smashed: expected clip_norm or {TARGETS}, got none"),
    ],
)  # fmt: skip
def test_what_a_mechanism_needs_and_where_it_acts_is_said(
    defence: dict[str, dict[str, Any]], expected: str
) -> None:
    named = {
        place: Spec(each["mechanism"], tuple((k, v) for k, v in each.items() if k != "mechanism"))
        for place, each in defence.items()
    }
    facts = TrainingFacts("parallel", delta=1e-5, steps=4, sample_rate=0.1, labels=2, records=9)
    with pytest.raises(InputError) as error:
        make_defence(DefenceSpec("d", **named), facts)
    targets = "target_epsilon, target_tpr_at_1pct or target_advantage"
    assert expected.replace("{TARGETS}", targets) in str(error.value)
