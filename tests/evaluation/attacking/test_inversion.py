"""The attacks of every view, through a whole cell: they win in the open, or say why not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, DefenceSpec, Spec
from evaluation.run.cell import run_cell
from reports.estimate import Estimate
from reports.leak import Leak


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    first = read_grid(small_grid).cells[0]
    return replace(first, attacks=replace(first.attacks, updates=("embedding_rows",)))


def found(cell: Cell, task: str = "sst2", **changes: Any) -> dict[tuple[str, str], Any]:
    """What a cell's record says of each attack: an estimate by metric, or why there is none."""
    config = replace(cell.config, data=replace(cell.config.data, task=task))
    if "training" in changes:
        config = replace(config, training=replace(config.training, **changes.pop("training")))
    record = run_cell(replace(cell, config=config, **changes)).record
    assert record.status == "done", record.reason + record.traceback
    return {
        (each.attack, each.metric or ""): each.estimate if isinstance(each, Leak) else each.reason
        for each in record.leakage
    }


def test_in_the_open_every_view_gives_everything_away(cell: Cell) -> None:
    leaks = found(cell)
    for name in ("nearest token", "bigram prior"):
        assert leaks[name, "token_accuracy"].value == 1.0
    assert leaks["label from gradient", "label_accuracy"].value == 1.0
    assert leaks["embedding rows", "token_precision"].value == 1.0
    assert leaks["embedding rows", "token_recall"].value == 1.0


def test_masked_words_are_read_from_the_gradient(cell: Cell) -> None:
    leaks = found(cell, "mlm")
    assert leaks["masked tokens", "masked_token_accuracy"].value >= 0.95
    assert ("label from gradient", "label_accuracy") not in leaks


@pytest.mark.parametrize("strategy", ["fedavg", "sequential"])
def test_updates_give_words_away_under_every_strategy(cell: Cell, strategy: str) -> None:
    leaks = found(cell, training={"strategy": strategy})
    assert leaks["embedding rows", "token_recall"].value == 1.0
    assert leaks["embedding rows", "token_precision"].value > 0.5


def test_noise_on_the_gradient_hides_labels(cell: Cell) -> None:
    params = (("clip_norm", 0.001), ("target_epsilon", 0.5), ("unit", "sequence"))
    defence = DefenceSpec("noise", hidden_gradient=Spec("gaussian", params))
    estimate = found(cell, defence=defence)["label from gradient", "label_accuracy"]
    assert isinstance(estimate, Estimate) and estimate.low <= 0.65


def test_what_cannot_be_judged_says_why(cell: Cell) -> None:
    params = (("clip_norm", 0.1), ("noise_multiplier", 1.0))
    leaks = found(cell, defence=DefenceSpec("dp-sgd", training=Spec("dp_sgd", params)))
    assert "DP-SGD" in leaks["embedding rows", ""]
    assert leaks["label from gradient", "label_accuracy"].value == 1.0  # G_Z crosses in the clear
    params = (("clip_norm", 0.1), ("target_epsilon", 1.0))
    laplace = DefenceSpec("laplace", hidden_gradient=Spec("laplace", params))
    assert "Gaussian" in found(cell, defence=laplace)["label from gradient", ""]
