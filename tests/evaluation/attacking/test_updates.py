"""Attacks on updates and on G_Z through whole cells: they win in the open, or say why not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.catalogue import BACKWARD, UPDATES
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, DefenceSpec, Spec
from evaluation.run.cell import run_cell
from reports.leak import Leak

NAMES = {
    "masked_tokens": "masked tokens",
    "label_from_gradient": "label from gradient",
    "embedding_rows": "embedding rows",
    "embedding_rows_peer": "embedding rows, received",
    "row_order": "row order",
    "span_check": "span check",
    "gradient_matching": "gradient matching",
}
UPDATE = {"clip_norm": 1.0, "target_epsilon": 50.0}
GRADIENT = {"clip_norm": 1.0, "target_epsilon": 50.0}
CROSSED: list[tuple[str, str, dict[str, Any], str]] = [
    # mechanism, place, parameters, strategy
    ("identity", "update", {}, "fedavg"),
    ("clip_only", "update", {"clip_norm": 1.0, "unit": "client"}, "parallel"),
    ("dp_fedavg", "update", UPDATE, "fedavg"),
    ("dp_fedavg", "update", UPDATE, "parallel"),
    ("adaptive_dp_fedavg", "update", UPDATE, "parallel"),
    ("dp_ftrl", "update", {"bands": 1} | UPDATE, "parallel"),
    ("local_dp_fedavg", "update", UPDATE, "fedavg"),
    ("dp_sgd", "training", {"clip_norm": 0.1, "noise_multiplier": 1.0}, "parallel"),
    ("clip_only", "hidden_gradient", {"clip_norm": 1.0}, "parallel"),
    ("gaussian", "hidden_gradient", GRADIENT, "sequential"),
    ("laplace", "hidden_gradient", GRADIENT, "parallel"),
    ("matrix_gaussian", "hidden_gradient", GRADIENT, "parallel"),
    ("metric", "hidden_gradient", {"eta": 5.0}, "parallel"),
    ("quantise", "hidden_gradient", {"clip_norm": 3.0, "bits": 6}, "parallel"),
    ("feature_dropout", "hidden_gradient", {"rate": 0.2}, "parallel"),
]


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    found = read_grid(small_grid).cells[0]
    training = replace(found.config.training, rounds=2, batch_size=2, max_grad_norm=10.0)
    model = replace(found.config.model, dropout=0.0)
    attacks = replace(found.attacks, inversion=(), membership=())
    config = replace(found.config, training=training, model=model)
    return replace(found, config=config, attacks=attacks)


def leaks(cell: Cell, **training: Any) -> dict[tuple[str, str], Any]:
    config = replace(cell.config, training=replace(cell.config.training, **training))
    record = run_cell(replace(cell, config=config)).record
    assert record.status == "done", record.reason + record.traceback
    return {
        (each.attack, each.metric or ""): each.estimate if isinstance(each, Leak) else each.reason
        for each in record.leakage
    }


def test_one_step_of_sgd_gives_whole_sentences_away(cell: Cell) -> None:
    found = leaks(
        cell, strategy="fedavg", optimizer="sgd", learning_rate=1.0, precision="float64",
        warmup_fraction=0.0,
    )  # fmt: skip
    for name in ("span check", "gradient matching"):
        assert found[name, "token_accuracy"].value > 0.9
        assert found[name, "rougeL"].value > 0.9
    assert found["row order", "token_accuracy"].value > 0.5
    assert found["gradient matching", "exact_match"].n == 4  # two updates of two sentences
    assert found["embedding rows", "token_recall"].value == 1.0


@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_a_peer_reads_the_words_of_the_others(cell: Cell, strategy: str) -> None:
    found = leaks(cell, strategy=strategy, optimizer_state="reset")
    name = "embedding rows, received"
    assert found[name, "token_recall"].value == found[name, "token_precision"].value == 1.0


def test_moments_that_are_handed_on_tell_a_peer(cell: Cell) -> None:
    found = leaks(cell, strategy="sequential", optimizer_state="hand_on")
    assert found["embedding rows, received", "token_recall"].value == 1.0


def test_several_steps_and_adaptive_ones_are_no_gradient(cell: Cell) -> None:
    found = leaks(cell, strategy="fedavg", local_steps=2)
    assert "not applicable" in found["span check", ""]
    assert "local steps" in found["gradient matching", ""]
    found = leaks(cell, strategy="fedavg", batch_size=1)
    assert "AdamW" in found["span check", ""]
    assert found["gradient matching", "token_accuracy"].value > 0.9


@pytest.mark.parametrize(("name", "place", "params", "strategy"), CROSSED)
def test_every_mechanism_crossed_with_every_attack_runs_or_says_why_not(
    name: str, place: str, params: dict[str, Any], strategy: str, cell: Cell
) -> None:
    assert set(NAMES) == set(BACKWARD) | set(UPDATES)
    defence = DefenceSpec(name, **{place: Spec(name, tuple(sorted(params.items())))})
    optimizer = "sgd" if strategy == "fedavg" else "adamw"
    size = 1 if strategy == "fedavg" else 2
    cell = replace(cell, defence=defence)
    found = leaks(cell, strategy=strategy, optimizer=optimizer, batch_size=size)
    split = strategy != "fedavg"
    for attack in (*UPDATES, *(("label_from_gradient",) if split else ())):
        said = [value for (who, _), value in found.items() if who == NAMES[attack]]
        assert said, attack
        assert all((isinstance(each, str) and each) or each.n > 0 for each in said)
    if name in ("dp_sgd", "local_dp_fedavg"):
        assert isinstance(found["row order", ""], str)
