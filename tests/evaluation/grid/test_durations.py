"""What a grid will still take: cells that differ by ten times, skipped ones, several workers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.catalogue import FAMILIES, INVERSION, UPDATES
from evaluation.grid.durations import (
    PRICED,
    UPDATES_SENT,
    Remaining,
    asked,
    estimated,
    units,
)
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Spec


@pytest.fixture
def cells(small_grid: Path) -> list[Cell]:
    """Two seeds of two defences, and the same with ten times the steps."""
    short = list(read_grid(small_grid).cells)
    long = [
        replace(c, config=replace(c.config, training=replace(c.config.training, local_steps=10)))
        for c in short
    ]
    return short + long


def spent(cell: Cell, speed: float = 0.001) -> dict[str, float]:
    """What a machine takes that needs `speed` seconds a token and 2 for everything else."""
    attacks = dict.fromkeys(FAMILIES, 0.0)
    return {"prepare": 1.0, "train": speed * units(cell)["train"], "evaluate": 1.0, **attacks}


def left_after(ended: list[Cell], cells: list[Cell], workers: int = 1) -> float | None:
    remaining = Remaining({cell.id: cell for cell in cells})
    for cell in ended:
        remaining.ended(cell.id, spent(cell), False)
    return remaining.seconds(workers)


def test_cells_with_ten_times_the_steps_are_priced_as_such(cells: list[Cell]) -> None:
    for ended in (cells[:1], cells[-1:], cells[1:5]):
        rest = [cell for cell in cells if cell not in ended]
        true = sum(sum(spent(cell).values()) for cell in rest)
        assert left_after(ended, cells) == pytest.approx(true, rel=0.01)
    plain_mean = sum(spent(cells[0]).values()) * 7
    assert left_after(cells[:1], cells) > 2 * plain_mean  # what a plain mean would promise


def test_workers_share_what_is_left(cells: list[Cell]) -> None:
    one, two = left_after(cells[:2], cells), left_after(cells[:2], cells, workers=2)
    assert one is not None and two == pytest.approx(one / 2)
    assert left_after(cells[:7], cells, workers=8) == left_after(cells[:7], cells)


def test_nothing_is_known_before_the_first_and_nothing_left_after_the_last(cells) -> None:
    assert left_after([], cells) is None
    assert left_after(cells, cells) == 0.0


def test_a_defence_that_was_skipped_is_taken_to_be_skipped_again(cells: list[Cell]) -> None:
    remaining = Remaining({cell.id: cell for cell in cells[:4]})
    remaining.ended(cells[0].id, spent(cells[0]), False)
    before = remaining.seconds(1)
    remaining.ended(cells[2].id, {}, True)  # one seed of the second defence
    after = remaining.seconds(1)
    assert before is not None and after == pytest.approx(before / 3)
    remaining.ended("ffff", {}, False)  # not of this grid
    assert remaining.seconds(1) == after


def test_what_an_attack_learns_first_is_priced_once(
    cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = INVERSION["bigram_prior"]
    cell = replace(cells[0], attacks=replace(cells[0].attacks, inversion=(Spec("bigram_prior"),)))
    before = units(cell)["inversion"]
    monkeypatch.setitem(PRICED, "bigram_prior", replace(entry, first=100.0))
    assert units(cell)["inversion"] == pytest.approx(before + 100)


def under(cell: Cell, strategy: str, **settings: Any) -> Cell:
    training = replace(cell.config.training, strategy=strategy, **settings)
    return replace(cell, config=replace(cell.config, training=training))


def test_attacks_without_anything_to_look_at_cost_nothing(cells: list[Cell]) -> None:
    here = {name: asked(under(cells[0], name)) for name in ("parallel", "fedavg", "centralised")}
    assert here["parallel"]["inversion"] == ("nearest_token", "bigram_prior", "label_from_gradient")
    assert "gradient_matching" not in here["parallel"]["updates"]
    assert here["fedavg"]["inversion"] == () and "gradient_matching" in here["fedavg"]["updates"]
    assert "gradient_matching" not in asked(under(cells[0], "fedavg", local_steps=2))["updates"]
    assert here["centralised"]["updates"] == ()


def test_attacks_that_nobody_was_asked_yet_cost_what_the_catalogue_says(cells: list[Cell]) -> None:
    """Cells under `parallel` end first and quickly; under `fedavg` one attack takes minutes."""
    quick, slow = cells[:2], [under(cell, "fedavg") for cell in cells[:2]]
    remaining = Remaining({cell.id: cell for cell in quick + slow})
    for cell in quick:
        remaining.ended(cell.id, spent(cell), False)
    least = 2 * UPDATES_SENT * (UPDATES["gradient_matching"].most or 0.0)
    left = remaining.seconds(1)
    assert left is not None and least <= left <= 1.5 * least
    took = spent(slow[0]) | {"updates": 77.0}
    remaining.ended(slow[0].id, took, False)
    assert remaining.seconds(1) == pytest.approx(sum(took.values()), rel=0.01)


def test_every_attack_of_the_catalogue_has_a_price() -> None:
    for family, entries in FAMILIES.items():
        for name, entry in entries.items():
            assert entry.seconds is not None and 0 < entry.seconds <= (entry.most or 1e9), name
            assert estimated(family, entry).split()[0] in ("about", "under")
    assert {name for name, entry in INVERSION.items() if entry.alone} == {
        "nearest_token", "unigram_prior",
    }  # fmt: skip
