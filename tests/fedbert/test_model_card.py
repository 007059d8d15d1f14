"""The model card: Hugging Face's parser reads it, no claim is stronger than the manifest's."""

from typing import Any

import pytest
from huggingface_hub import ModelCard

from evaluation.grid.catalogue import MECHANISMS
from fedbert.model_card import NOISELESS, REPEATABLE, card_of
from privacy.claims import breach_words
from privacy.facts import TrainingFacts

CLAIM = {
    "view": "release", "kind": "guarantee", "unit": "record", "relation": "add-or-remove-one",
    "epsilon": 3.0001, "delta": 1e-05, "releases": 30, "scope": "data set", "accountant": "pld",
    "sentence": "Against the release view, each record is protected.", "advantage": 0.81234,
    "tradeoff": [[0.001, 0.05], [0.01, 0.2]],
}  # fmt: skip
NONE = {
    "view": "forward", "kind": "no guarantee", "reason": "A | B is sent as it is\n# Yes: proved",
    "sentence": "Against the forward view there is no guarantee.",
}  # fmt: skip


def manifest(noise: str = "secret", task: str = "sst2", **more: Any) -> dict[str, Any]:
    return {
        "config": {
            "model": {"cut_layer": 0}, "data": {"task": task, "clients": 4}, "noise": noise,
            "training": {"strategy": "parallel", "rounds": 10},
        },
        "defence": {"training": {"mechanism": "dp_sgd", "clip_norm": 1.0}, "delta": 1e-5},
        "costs": [{}], "guarantees": [NONE, CLAIM], "round": 10, **more,
    }  # fmt: skip


def test_hugging_face_reads_claims_by_view_with_their_numbers() -> None:
    text = card_of(manifest())
    card = ModelCard(text, ignore_metadata_errors=False)
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "text-classification")
    assert data["tags"] == ["fedbert", "federated-learning", "differential-privacy"]
    none, claim = data["privacy"]["claims"]
    assert none == {key: NONE[key] for key in ("view", "kind", "reason")}
    assert claim["epsilon"] == 3.0001 and claim["delta"] == 1e-5  # a number, not a text
    assert (claim["unit"], claim["relation"]) == ("record", "add-or-remove-one")
    assert data["privacy"]["mechanisms"] == {"training": "dp_sgd"}
    assert "| release | record | epsilon 3.01 | add-or-remove-one | 1e-05 |" in card.text
    assert "advantage (TPR less FPR) at most 0.813, TPR at 1 % FPR at most 0.2." in card.text
    assert "in a view without a claim: forward" in card.text and "seed, paths" in card.text
    assert "not finished" not in card.text and "not finished" in card_of(manifest(round=3))
    assert not any(line.startswith("# Yes") for line in card.text.splitlines())
    assert "fill-mask" in card_of(manifest(task="mlm"))


def test_of_noise_that_can_be_taken_off_nothing_is_claimed() -> None:
    card = ModelCard(card_of(manifest("repeatable")), ignore_metadata_errors=False)
    data = card.data.to_dict()
    assert {each["kind"] for each in data["privacy"]["claims"]} == {"no guarantee"}
    last = data["privacy"]["claims"][1]
    assert last["reason"] == REPEATABLE and last["with_secret_noise"]["epsilon"] == 3.0001
    assert "differential-privacy" not in data["tags"]
    assert "| epsilon" not in card.text and "at most" not in card.text
    assert "a view without a claim: forward, release" in card.text


@pytest.mark.parametrize("noise", ["secret", "repeatable"])
def test_without_a_mechanism_there_is_no_noise_and_no_guarantee(noise: str) -> None:
    bare = manifest(noise, costs=[], guarantees=[NONE], defence={"delta": 1e-5})
    data = ModelCard(card_of(bare), ignore_metadata_errors=False).data.to_dict()
    assert data["privacy"]["noise"] == "none" and data["privacy"]["mechanisms"] == {}
    assert data["tags"] == ["fedbert", "federated-learning"]


@pytest.mark.parametrize(
    ("claim", "tagged"),
    [
        (CLAIM, True),
        (CLAIM | {"view": "forward"}, False),
        (CLAIM | {"unit": "label"}, False),
        (CLAIM | {"advantage": 0.999}, False),
        (
            CLAIM | {"exclusions": [breach_words(TrainingFacts("parallel", delta=0.5, records=9))]},
            False,
        ),
    ],
)
def test_a_model_is_called_private_by_a_claim_about_it_that_binds(
    claim: dict[str, Any], tagged: bool
) -> None:
    card = ModelCard(card_of(manifest(guarantees=[claim])), ignore_metadata_errors=False)
    assert ("differential-privacy" in card.data.to_dict()["tags"]) is tagged


@pytest.mark.parametrize(
    ("mechanism", "noise"),
    [
        ("uniform", "without a claim"),
        ("tests.x:Own", "without a claim"),
        ("identity", "none"),
        ("clip_only", "none"),
        ("quantise", "none"),
    ],
)
def test_noise_without_a_claim_is_not_none(mechanism: str, noise: str) -> None:
    acts = {"smashed": {"mechanism": mechanism, "clip_norm": 1.0}}
    text = card_of(manifest(costs=[], guarantees=[NONE], defence=acts))
    data = ModelCard(text, ignore_metadata_errors=False).data.to_dict()
    assert data["privacy"]["noise"] == noise and f"- Noise: {noise}." in text
    again = card_of(manifest("repeatable", costs=[], guarantees=[NONE], defence=acts))
    assert (REPEATABLE in again) is (noise != "none")


def test_every_mechanism_that_draws_nothing_is_known() -> None:
    assert set(NOISELESS) < set(MECHANISMS)
