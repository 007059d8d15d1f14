"""Every forward attack against every mechanism of the catalogue, through a whole cell."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import INVERSION
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, DefenceSpec, Spec
from evaluation.metrics import intervals
from evaluation.run.cell import run_cell
from reports.leak import Leak, LeakageEntry, NotMeasured
from tests.evaluation.run.test_mechanisms import EXAMPLES, Params

MORE: dict[str, tuple[str, Params, Params, Params]] = {  # what one example a mechanism leaves out
    "gaussian, sequence": ("smashed", {"clip_norm": 9.0, "noise_multiplier": 0.05,
                                       "unit": "sequence"}, {}, {}),
    "gaussian, once, sequence": ("smashed", {"clip_norm": 9.0, "noise_multiplier": 0.05,
                                             "unit": "sequence", "one_shot": True},
                                 {"freeze_embeddings": True}, {}),
    "metric, its own rows": ("smashed", {"eta": 5.0}, {}, {}),
    "matrix_gaussian, rows": ("smashed", {"clip_norm": 9.0, "noise_multiplier": 0.05,
                                          "row_spread": 2.0}, {}, {}),
    "dp_sgd": ("training", {"clip_norm": 0.1, "noise_multiplier": 1.0}, {}, {}),  # not calibrated
}  # fmt: skip
ROWS = EXAMPLES | MORE
# What acts elsewhere than on A leaves it as it is: one cut tells all.
CUT = [
    (row, cut) for row, (place, *_) in ROWS.items() for cut in (0, 1)[: 1 + (place == "smashed")]
]
FORWARD = tuple(INVERSION)


@pytest.fixture
def cell(small_grid: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A cell with one round of small messages; decoders are narrow and barely train, the search is
    brief, intervals are rough.
    """
    monkeypatch.setattr("attacks.inversion.parts.decoder.INNER", 16)
    monkeypatch.setattr("attacks.inversion.parts.cloze.INNER", 16)
    monkeypatch.setattr("attacks.inversion.parts.first_scores.DRAWS", 2)
    monkeypatch.setattr("attacks.inversion.optimisation.STEPS", 3)
    monkeypatch.setattr("attacks.inversion.learned_decoder.MOST_STEPS", 2)
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 2)
    monkeypatch.setattr("attacks.inversion.parts.simulation.TOKENS_PER_WIDTH", 4)
    real = intervals.ratio_resamples
    monkeypatch.setattr(intervals, "ratio_resamples", lambda a, b, rng, *_: real(a, b, rng, 40))
    found = read_grid(small_grid).cells[0]
    nothing: dict[str, Any] = dict.fromkeys(("backward", "updates", "membership"), ())
    attacks = replace(found.attacks, inversion=FORWARD, **nothing)
    config = replace(found.config, training=replace(found.config.training, rounds=1, batch_size=4))
    return replace(found, config=config, attacks=attacks)


def leaks(cell: Cell, row: str, cut_layer: int = 0, task: str = "sst2") -> tuple[LeakageEntry, ...]:
    place, params, model, training = ROWS[row]
    config = cell.config
    config = replace(
        config,
        model=replace(config.model, cut_layer=cut_layer, **model),
        data=replace(config.data, task=task),
        training=replace(config.training, **training),
    )
    spec = DefenceSpec(row, **{place: Spec(row.split(",")[0], tuple(params.items()))})
    record = run_cell(replace(cell, config=config, defence=spec)).record
    if record.status == "skipped":
        assert cut_layer > 0 and "behind encoder layers" in record.reason
        return ()
    assert record.status == "done", record.traceback
    return record.leakage


@pytest.mark.parametrize(("row", "cut_layer"), CUT)
def test_every_attack_on_every_mechanism_runs_or_says_why_not(
    cell: Cell, row: str, cut_layer: int
) -> None:
    found = leaks(cell, row, cut_layer)
    if not found:  # nothing was sent, or the cell was refused
        assert row == "local_dp_fedavg" or (row == "metric" and cut_layer == 1)
        return
    names = [make_attack(name, INVERSION, "reconstruct").name for name in FORWARD]
    by_name = {leak.attack: leak for leak in reversed(found)}
    assert list(dict.fromkeys(leak.attack for leak in found)) == names
    ran = {name for name in names if isinstance(by_name[name], Leak)}
    for name in names:
        each = by_name[name]
        assert isinstance(each, Leak) or each.reason.startswith("needs ")
    always = {"learned decoder", "learned decoder, noise-unaware", "optimisation"}
    nearest = by_name["nearest token"]
    untold = isinstance(nearest, NotMeasured) and "noise is distributed" in nearest.reason
    assert always <= ran and ("nearest token" in ran) is (cut_layer == 0 and not untold)


@pytest.mark.parametrize("task", ["mlm", "qnli"])
def test_masked_and_paired_texts_are_read_too(cell: Cell, task: str) -> None:
    found = {leak.attack: leak for leak in reversed(leaks(cell, "identity", 1, task))}
    for name in ("learned decoder", "optimisation"):
        leak = found[name]
        assert isinstance(leak, Leak) and leak.estimate.value > 0.9


def test_under_dp_sgd_a_batch_that_is_sent_wider_than_its_texts_is_read(cell: Cell) -> None:
    config = replace(cell.config, data=replace(cell.config.data, max_length=40))
    few = replace(cell.attacks, inversion=(Spec("nearest_token"),))
    found = leaks(replace(cell, config=config, attacks=few), "dp_sgd")
    (read,) = [each for each in found if getattr(each, "metric", "") == "token_accuracy"]
    assert isinstance(read, Leak) and read.estimate.value == 1.0
