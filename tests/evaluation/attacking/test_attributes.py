"""Attributes through a whole cell: read off A and pooled vectors, beside chance; not in noise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import AttackSettings, Cell
from evaluation.run.cell import run_cell
from fedbert.config import DataConfig
from fedbert.data.sources import load
from fedbert.errors import InputError
from fedbert.tasks import TASKS, grouped
from reports.leak import Leak, NotMeasured
from reports.records import CellResult


@pytest.fixture
def made(small_grid: Path) -> Callable[[str, str | None], CellResult]:
    def make(defence: str, attribute: str | None) -> CellResult:
        cell: Cell = next(c for c in read_grid(small_grid).cells if c.defence.name == defence)
        data = replace(cell.config.data, pool_size=300, attribute=attribute)
        data = replace(data, evaluation=400, max_length=24)
        training = replace(cell.config.training, batch_size=32)
        attacks = AttackSettings(inversion=(), backward=(), updates=(), membership=(), messages=8)
        own = replace(cell, config=replace(cell.config, data=data, training=training))
        return run_cell(replace(own, attacks=attacks)).record

    return make


def told(record: CellResult) -> list[Leak]:
    assert record.status == "done", record.traceback
    return [x for x in record.leakage if isinstance(x, Leak) and x.metric == "attribute_accuracy"]


def test_what_a_text_also_tells_is_read_off_both_views(
    made: Callable[[str, str | None], CellResult],
) -> None:
    """Ten topics, told by a word of the text; intervals of 95 % lie far above chance."""
    record = made("none", "topic")
    found = {(x.view, x.attack): x for x in told(record)}
    assert set(found) == {
        ("forward", "attribute probe (smashed data)"),
        ("release", "attribute probe (mean)"),
        ("release", "attribute probe (cls)"),
    }
    smashed = found["forward", "attribute probe (smashed data)"]
    assert smashed.chance is not None and smashed.estimate.low > 2 * smashed.chance
    pooled = found["release", "attribute probe (mean)"]
    assert pooled.chance is not None and pooled.estimate.low > 2 * pooled.chance
    assert smashed.unit == pooled.unit == "record" and pooled.estimate.n > 100
    groups = record.subgroups
    ways = ["accuracy by length", "accuracy by class", "accuracy by topic"]
    assert list(groups) == ways and list(groups[ways[1]]) == ["negative", "positive"]
    right = sum(each.value * each.n for each in groups[ways[1]].values())
    assert right == pytest.approx(record.utility["accuracy"].value * record.utility["accuracy"].n)
    assert len(groups[ways[2]]) > 1 and all(name.isalpha() for name in groups[ways[2]])


def test_noise_on_a_hides_it_there_alone(made: Callable[[str, str | None], CellResult]) -> None:
    """An interval lies above chance, where nothing is told, in less than 3 of 100 draws; the seed
    is fixed. The largest share among the judged is more than a guess reaches.
    """
    found = {x.view: x for x in told(made("gaussian", "topic"))}
    smashed = found["forward"]
    assert smashed.chance is not None and smashed.estimate.low <= smashed.chance
    assert found["release"].estimate.low > (found["release"].chance or 1)


def test_nothing_is_asked_where_no_attribute_is_named(
    made: Callable[[str, str | None], CellResult],
) -> None:
    record = made("none", None)
    assert not [x for x in record.leakage if "attribute" in x.attack]
    assert not [x for x in record.leakage if isinstance(x, NotMeasured) and "attrib" in x.reason]


@pytest.mark.parametrize(
    ("task", "attribute", "words"),
    [
        ("sst2", "topics", "expected attribute agent, place, time, topic, got attribute='topics'"),
        ("sst2", "agent", "expected an attribute that every text has"),
        ("sst2", "label", "expected another column for the attribute than text or label"),
        ("mlm", "topic", "expected attribute with a task with labels"),
    ],
)
def test_an_attribute_that_is_not_there_is_refused(task: str, attribute: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(grouped(TASKS[task], None, attribute), "generated", 20, 10)


def test_a_column_of_ones_own_is_read_and_trains_nothing(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,label,region\n" + "".join(f"t{i},{i % 2},r{i % 3}\n" for i in range(9)))
    data = DataConfig(
        task="own", source=str(path), text="text", labels=("0", "1"), attribute="region"
    )
    found = load(data.chosen_task, str(path))["train"]
    assert set(found.attributes) == {"r0", "r1", "r2"}
    assert "attribute" not in DataConfig().to_json()
    with pytest.raises(InputError, match="expected column 'regio'"):
        load(replace(data, attribute="regio").chosen_task, str(path))
