"""Every mechanism of the catalogue, through a whole cell: trained, attacked, accounted."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attacks.attack import Lacks
from attacks.backward.label_from_gradient import LabelFromGradient
from evaluation.adversary.knowledge import head_knowledge, knowledge_of
from evaluation.grid.catalogue import MECHANISMS
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, DefenceSpec, Spec
from evaluation.run.cell import _mechanisms, run_cell
from fedbert.errors import InputError
from fedbert.messages import ClientParts
from fedbert.prepare import prepare
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from privacy.empirical import FeatureDropout, Quantise
from privacy.gaussian import Gaussian
from privacy.laplace import Laplace
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import ClipOnly, Identity, Mechanism
from reports.leak import NotMeasured
from tests.attacks import worlds
from tests.privacy.others import EvenNoise, OwnLaplace

Params = dict[str, Any]
EXAMPLES: dict[str, tuple[str, Params, Params, Params]] = {
    # name: (place, parameters, model settings, training settings)
    "identity": ("smashed", {}, {}, {}),
    "clip_only": ("smashed", {"clip_norm": 3.0}, {}, {}),
    "gaussian": (
        "smashed",
        {"clip_norm": 3.0, "target_epsilon": 50.0, "one_shot": True},
        {"freeze_embeddings": True},
        {},
    ),
    "laplace": ("smashed", {"clip_norm": 3.0, "target_epsilon": 50.0}, {}, {}),
    "matrix_gaussian": (
        "smashed",
        {"clip_norm": 9.0, "target_epsilon": 50.0, "keep": 8, "column_spread": 2.0},
        {},
        {},
    ),
    "metric": ("smashed", {"eta": 5.0, "nearest_word": True}, {}, {}),
    "uniform": ("smashed", {"clip_norm": 3.0, "half_width": 0.2}, {}, {}),
    "quantise": ("smashed", {"clip_norm": 3.0, "bits": 6}, {}, {}),
    "feature_dropout": ("smashed", {"rate": 0.2}, {}, {}),
    "dp_fedavg": ("update", {"clip_norm": 1.0, "target_epsilon": 50.0}, {}, {}),
    "adaptive_dp_fedavg": ("update", {"clip_norm": 1.0, "target_epsilon": 50.0}, {}, {}),
    "dp_ftrl": (
        "update", {"clip_norm": 1.0, "target_epsilon": 50.0, "bands": 2}, {},
        {"clients_per_round": 1, "participation": "cyclic", "rounds": 2},
    ),
    "local_dp_fedavg": (
        "update", {"clip_norm": 1.0, "target_epsilon": 50.0}, {}, {"strategy": "fedavg"},
    ),
    "dp_sgd": ("training", {"clip_norm": 0.1, "target_epsilon": 1.0}, {}, {}),  # soon calibrated
    "randomised_response": ("labels", {"target_epsilon": 1.0}, {}, {}),
    "distance_correlation": ("penalty", {"weight": 1.0}, {}, {}),
}  # fmt: skip
CLAIMS = {  # the views that carry a claim, by place
    "smashed": {"forward"},
    "update": {"peer", "release"},
    "training": {"release"},
    "labels": {"backward", "aggregator", "peer", "release"},
    "penalty": set(),
}
PROMISES = {"target_epsilon", "eta"}  # without one of these parameters nothing is claimed
NONE = {name for name, (_, params, *_) in EXAMPLES.items() if not params.keys() & PROMISES}


def test_every_mechanism_has_an_example() -> None:
    apart = EXAMPLES.keys() ^ MECHANISMS.keys()
    assert not apart, f"law: one row here for one line of the catalogue, got {apart}"


LOOK_UPS = ("nearest_token", "unigram_prior", "bigram_prior", "unknown_scale", "masked_prior")


def named(small_grid: Path, target: str, **params: float) -> Cell:
    """Return a cell whose smashed data a mechanism of somebody else's protects."""
    cell = read_grid(small_grid).cells[0]
    spec = DefenceSpec("theirs", smashed=Spec(target, tuple(params.items()), code=True))
    attacks = replace(
        cell.attacks, inversion=LOOK_UPS, backward=(), updates=(), membership=("message_matching",)
    )
    training = replace(cell.config.training, rounds=1)
    return replace(
        cell, config=replace(cell.config, training=training), defence=spec, attacks=attacks
    )


def test_noise_of_a_kind_that_nobody_knows_gives_no_number(small_grid: Path) -> None:
    record = run_cell(named(small_grid, "tests.privacy.others:EvenNoise")).record
    assert record.status == "done", record.traceback
    asked = {each.attack: each for each in record.leakage}
    for name in ("nearest token", "unigram prior", "bigram prior", "bigram prior, unknown scale",
                 "masked-LM prior", "message matching"):  # fmt: skip
        law, entry = f"law: {name} does not apply to unknown noise", asked[name]
        assert isinstance(entry, NotMeasured), law
        assert "says how its noise is distributed" in entry.reason, law


def test_a_subclass_is_known_for_what_it_is() -> None:
    ours, theirs = Laplace(3.0, 8.0), OwnLaplace(3.0, 8.0)
    known = [knowledge_of(Defence("d", smashed=each), None, 0.1) for each in (ours, theirs)]
    assert known[0] == known[1] and known[0].noise == "laplace"


@pytest.mark.parametrize(
    ("mechanism", "fields"),
    [
        (Identity(), ()),
        (ClipOnly(1.0), ()),
        (Gaussian(1.0, 1.0), ()),
        (Laplace(1.0, 1.0), ("noise",)),
        (EvenNoise(), ("noise",)),
        (Quantise(4, 1.0), ("noise",)),
        (FeatureDropout(0.1), ("noise",)),
        (MatrixGaussian(1.0, 1.0, width=4, length=9, row_spread=2.0), ("noise",)),
        (MatrixGaussian(1.0, 1.0, width=4, length=9, keep=2), ("noise",)),
    ],
    ids=str,
)
def test_attacks_on_gradients_know_gaussian_noise_alone(
    mechanism: Mechanism, fields: tuple[str, ...]
) -> None:
    defence = Defence("d", hidden_gradient=mechanism)
    known = head_knowledge(defence, ClientParts(0, 0, {}), worlds.model())
    lacks = known if isinstance(known, Lacks) else LabelFromGradient().missing(known)
    assert (() if lacks is None else lacks.fields) == fields


@pytest.mark.parametrize(
    ("name", "words"),
    [("Silent", "'tests.privacy.others:Silent' without noise_model"), ("Vague", "a NoiseModel of")],
)
def test_a_mechanism_that_does_not_state_its_noise_is_refused(
    small_grid: Path, name: str, words: str
) -> None:
    cell = named(small_grid, f"tests.privacy.others:{name}")
    prepared = prepare(cell.config, coin=True)
    with pytest.raises(InputError, match=words):
        make_defence(cell.defence, facts_of(cell.config, prepared, cell.defence, cell.delta))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_mechanism_runs_through_a_cell(name: str, small_grid: Path) -> None:
    place, params, model, training = EXAMPLES[name]
    cell: Cell = read_grid(small_grid).cells[0]
    config = replace(
        cell.config,
        model=replace(cell.config.model, **model),
        training=replace(cell.config.training, **training),
    )
    spec = DefenceSpec(name, **{place: Spec(name, tuple(params.items()))})
    attacks = replace(cell.attacks, inversion=(), updates=())  # test_forward and test_updates
    record = run_cell(replace(cell, config=config, defence=spec, attacks=attacks)).record
    assert record.status == "done", record.reason + record.traceback
    expected = set() if name in NONE else CLAIMS[place]
    expected = expected | {"aggregator"} if name == "local_dp_fedavg" else expected
    claims = ("guarantee", "metric guarantee")
    stated = {g["view"] for g in record.guarantees if g["kind"] in claims}
    assert stated == expected, f"law: {name} claims what its cost gives for its place, no more"
    if name != "identity":
        assert record.mechanisms[place]["name"]
        costs_nothing = record.mechanisms[place]["cost"] is None
        assert costs_nothing is (name in NONE), f"law: no guarantee of {name}, no cost"


def test_a_record_says_that_every_gradient_was_scaled() -> None:
    done: Any = SimpleNamespace(protection={})
    for clipping, name in (("flat", "DPSGD"), ("automatic", "DPSGD (automatic clipping)")):
        defence = Defence("d", training=DPSGD(1.0, 1.0, 0.1, clipping))
        assert _mechanisms(defence, done, [])["training"]["name"] == name
