"""Precision in a cell: what `auto` came to is in the record, and attackers win in it as before."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks.inversion.nearest_token import NearestToken
from evaluation.adversary.shadow_models import Trainings, key_of
from evaluation.grid.parse import read_grid
from evaluation.grid.preflight import preflight
from evaluation.run.cell import run_cell
from fedbert import precision
from fedbert.precision import products
from reports.leak import Leak
from tests.fedbert import tiny


def test_a_cell_that_came_to_bf16_says_so_and_is_read_in_the_open(
    small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "pays", lambda *of: True)
    grid = read_grid(small_grid)
    cell = grid.cells[0]
    training = replace(cell.config.training, precision="auto")
    attacks = replace(cell.attacks, backward=(), updates=(), membership=(), pooled=())
    config = replace(cell.config, training=training)
    cell = replace(cell, config=config, attacks=attacks)
    notes = preflight(replace(grid, cells=(cell,))).notes
    assert [note for note in notes if note.startswith("precision auto: bf16 (")]
    narrow, reconstruct = [], NearestToken.reconstruct

    def watched(self: Any, *known: Any) -> Any:
        narrow.append(torch.backends.mkldnn.matmul.fp32_precision)
        return reconstruct(self, *known)

    monkeypatch.setattr(NearestToken, "reconstruct", watched)
    record = run_cell(cell).record
    assert record.status == "done", record.traceback
    assert record.provenance["precision"] == "bf16"
    assert record.spec["training"]["precision"] == "auto"
    found = {
        (each.attack, each.metric): each.estimate.value
        for each in record.leakage
        if isinstance(each, Leak)
    }
    for name in ("nearest token", "bigram prior"):  # the positive control
        assert found[name, "token_accuracy"] == 1.0
    assert "bf16" in narrow


def test_an_adversary_of_a_training_in_float32_multiplies_float32() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    model = tiny.split_model().whole.config
    with products(tiny.config_of(), model):
        assert torch.backends.mkldnn.matmul.fp32_precision == before
    with products(tiny.config_of(precision="bf16"), model):
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_shadows_of_one_precision_do_not_stand_in_for_those_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny.config_of(precision="auto")
    prepared = tiny.prepared_for(config)
    keys = []
    for pays in (True, False):
        monkeypatch.setattr(precision, "pays", lambda *of, pays=pays: pays)
        trainings = Trainings(config, prepared, tiny.NO_DEFENCE, {})
        keys.append(key_of(trainings, prepared.clients[0].in_pool, 0))
    assert keys[0] != keys[1]
