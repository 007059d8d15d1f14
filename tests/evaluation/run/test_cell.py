"""One cell: who counts as a member, what is heard, what the mechanism is calibrated for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.adversary.candidates import members_and_non_members
from evaluation.adversary.transcript import Transcript, spread
from evaluation.grid.defence import costs, make_defence
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, DefenceSpec, Spec
from evaluation.run.cell import run_cell
from fedbert.data.synthetic import WORDS
from fedbert.errors import InputError
from fedbert.messages import ClientParts, SmashedData
from fedbert.prepare import prepare
from privacy.accountants import gaussian_epsilon, poisson_gaussian_epsilon
from privacy.facts import TrainingFacts
from reports.leak import Leak, NotMeasured

FACTS = TrainingFacts(
    strategy="parallel",
    delta=1e-5, releases=3, rounds=10, steps=20, sample_rate=0.1, width=8, length=6, labels=3,
    records=40,
)  # fmt: skip


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    return read_grid(small_grid).cells[0]


def test_members_are_those_that_were_trained_on(cell: Cell) -> None:
    config = replace(cell.config, training=replace(cell.config.training, batch_size=4))
    prepared = prepare(config, coin=True)
    assert prepared.members is not None
    members, non_members = members_and_non_members(config, prepared)
    seen = {
        int(data.pool_positions[i])
        for data in prepared.clients
        if data.pool_positions is not None
        for step in range(2)  # two rounds of one step
        for i in data.chosen(step)
    }
    assert set(members.tolist()) == seen
    assert set(non_members.tolist()) == set(np.flatnonzero(~prepared.members).tolist())
    assert len(members) == 2 * 2 * 4 < prepared.members.sum()
    longer = replace(config, training=replace(config.training, local_steps=20))
    assert set(members_and_non_members(longer, prepared)[0].tolist()) == set(
        np.flatnonzero(prepared.members).tolist()
    )


def test_blocks_of_one_document_are_one_candidate(cell: Cell) -> None:
    config = replace(
        cell.config,
        data=replace(cell.config.data, task="mlm", pool_size=20),
        training=replace(cell.config.training, local_steps=30),
    )
    prepared = prepare(config, coin=True)
    for side in members_and_non_members(config, prepared):
        documents = prepared.pool.documents[side]
        assert len(set(documents.tolist())) == len(documents) > 0


@pytest.mark.parametrize("task", ["sst2", "stsb", "mnli", "mlm"])
def test_every_kind_of_task_gives_a_record(cell: Cell, task: str) -> None:
    own = replace(cell, config=replace(cell.config, data=replace(cell.config.data, task=task)))
    record = run_cell(own).record
    assert record.status == "done", record.traceback
    inversion = next(leak for leak in record.leakage if leak.attack == "nearest token")
    assert isinstance(inversion, Leak)
    assert inversion.metric == "token_accuracy" and inversion.estimate.value == 1.0
    assert run_cell(own).record.to_json() | {"seconds": 0} == record.to_json() | {"seconds": 0}


def test_a_record_keeps_what_may_be_wrong(cell: Cell, tmp_path: Path) -> None:
    rows = [f"{WORDS[n % 8]} {WORDS[n // 8]} zyxx,{n % 2}" for n in range(40)]
    (tmp_path / "x.csv").write_text("\n".join(["review,stars", *rows, ""]))
    own = {"task": "own", "text": "review", "label": "stars", "labels": ("0", "1")}
    data = replace(cell.config.data, source=str(tmp_path / "x.csv"), pool_size=None, **own)
    record = run_cell(replace(cell, config=replace(cell.config, data=data))).record
    assert record.status == "done", record.traceback
    (told,) = [each for each in record.doubts if "[UNK]" in each]
    assert told.startswith(f"data {tmp_path / 'x.csv'} for own: ")
    assert run_cell(cell).record.doubts == []


def test_a_deeper_cut_is_not_measured_by_look_up(cell: Cell) -> None:
    own = replace(cell, config=replace(cell.config, model=replace(cell.config.model, cut_layer=1)))
    record = run_cell(own).record
    assert record.status == "done", record.traceback
    assert isinstance(record.leakage[0], NotMeasured) and record.leakage[0].view == "forward"


def test_target_epsilon_counts_releases_on_messages_and_rounds_on_updates() -> None:
    gaussian = Spec("gaussian", (("clip_norm", 1.0), ("target_epsilon", 8.0)))
    for place, releases in (("smashed", 3), ("hidden_gradient", 3), ("update", 10)):
        made = make_defence(DefenceSpec("d", **{place: gaussian}), FACTS)
        cost = getattr(made, place).cost()
        assert gaussian_epsilon(cost.event.noise_multiplier, releases, 1e-5) == pytest.approx(8.0)
        assert cost.unit == ("client" if place == "update" else "token")


def test_wiretap_hears_first_steps_of_rounds_spread_over_the_training() -> None:
    assert spread(10, 32, 16) == {0, 9}
    assert spread(3, 2, 100) == {0, 1, 2}
    tap = Transcript(spread(10, 32, 16), 8)
    empty = np.zeros((1, 1, 1), np.float32)
    for round_ in range(10):
        for client in range(32):
            tap.hear(ClientParts(client, round_, {"word": empty}))
        for step in range(2):
            for client in range(32):
                tap.hear(SmashedData(client, round_, 2 * round_ + step, empty, empty[0]))
    heard = [(k.message.round, k.message.client, k.message.step) for k in tap.entries]
    assert heard == [(r, c, 2 * r) for r in (0, 9) for c in range(8)]
    assert all(k.parts.round == k.message.round for k in tap.entries)


def test_max_length_beyond_the_position_table_is_refused(cell: Cell) -> None:
    model = replace(cell.config.model, architecture="roberta")
    fits = replace(cell.config, model=model, data=replace(cell.config.data, max_length=512))
    prepare(fits, coin=True)
    from fedbert import model as models

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "POSITIONS", 100)
        with pytest.raises(InputError, match="expected max_length <= 100, got max_length=512"):
            prepare(fits, coin=True)


def test_a_defence_is_calibrated_for_the_training_it_serves() -> None:
    def made(**places: dict[str, object]) -> Any:
        specs = {}
        for place, params in places.items():
            name = str(params.pop("mechanism"))
            specs[place] = Spec(name, tuple(params.items()))  # type: ignore[arg-type]
        return make_defence(DefenceSpec("d", **specs), FACTS)

    gaussian = {"mechanism": "gaussian", "clip_norm": 1.0, "target_epsilon": 8.0}
    once = made(smashed={**gaussian, "one_shot": True})
    cost = once.smashed.cost()
    assert once.one_shot and gaussian_epsilon(cost.event.noise_multiplier, 1, 1e-5) <= 8.0
    assert [c["releases"] for c in costs(once, FACTS)] == [1]
    private = made(training={"mechanism": "dp_sgd", "clip_norm": 0.1, "target_epsilon": 1.0})
    event = private.training.cost().event
    assert event.sample_rate == 0.1
    epsilon = poisson_gaussian_epsilon(event.noise_multiplier, 0.1, 20, 1e-5)
    assert 0.998 < epsilon <= 1.0
    labels = made(labels={"mechanism": "randomised_response", "target_epsilon": 1.0})
    assert labels.labels.labels == 3 and labels.labels.epsilon == 1.0
    matrix = made(smashed={**gaussian, "mechanism": "matrix_gaussian", "keep": 4})
    assert (matrix.smashed.width, matrix.smashed.length) == (8, 6)


@pytest.mark.parametrize(
    ("place", "params", "words"),
    [
        ("training", {"mechanism": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0,
                      "view": "forward"}, "expected view release, got view='forward'"),
        ("smashed", {"mechanism": "gaussian", "clip_norm": 1.0, "noise_multiplier": 1.0,
                     "view": "backward"}, "expected view forward"),
        ("smashed", {"mechanism": "metric", "target_epsilon": 1.0}, "with a guarantee"),
        ("smashed", {"mechanism": "quantise", "bits": 2, "target_epsilon": 1.0}, "a guarantee"),
        ("labels", {"mechanism": "gaussian", "clip_norm": 1.0, "noise_multiplier": 1.0},
         "expected a RandomisedResponse"),
        ("training", {"mechanism": "gaussian", "clip_norm": 1.0, "noise_multiplier": 1.0},
         "expected a DPSGD"),
        ("smashed", {"mechanism": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0},
         "at training, where it acts"),
        ("smashed", {"mechanism": "gaussian", "clip_norm": 1.0, "noise_multiplier": 1.0,
                     "one_shot": "yes"}, "expected true or false"),
        ("training", {"mechanism": "dp_sgd", "clip_norm": 0.0, "noise_multiplier": 1.0},
         "clip_norm > 0"),
        ("training", {"mechanism": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0,
                      "sample_rate": 1.5}, "sample_rate"),
        ("training", {"mechanism": "dp_sgd", "clip_norm": 1.0, "target_epsilon": -1.0},
         "target_epsilon"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_are_refused(place: str, params: dict[str, Any], words: str) -> None:
    rest = {k: v for k, v in params.items() if k != "mechanism"}
    spec = DefenceSpec("d", **{place: Spec(params["mechanism"], tuple(rest.items()))})
    with pytest.raises(InputError, match=words):
        make_defence(spec, FACTS)


def test_under_secret_noise_judges_see_the_coins_that_fell(cell: Cell) -> None:
    """Batches are those that were trained on, though nothing outside the process could tell."""
    params = (("clip_norm", 1.0), ("noise_multiplier", 1.0))
    private = DefenceSpec("d", training=Spec("dp_sgd", params))
    own = replace(cell, config=replace(cell.config, noise="secret"), defence=private)
    record = run_cell(own).record
    assert record.status == "done", record.traceback
    assert record.spec["noise"] == "secret" and record.leakage
