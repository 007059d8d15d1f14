"""What travels to workers on Ray and back: JSON and arrays that arrive as they were."""

import io
import json
import pickle
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell
from evaluation.run.attempts import Answer
from evaluation.run.on_ray.payload import asked, packed, unpacked, work_of
from evaluation.run.outcome import Outcome
from fedbert.errors import InputError
from reports.records import CellResult
from reports.scores import Scored
from tests.light_cells import worked


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    return read_grid(small_grid).cells[0]


def test_a_function_and_its_cell_arrive_by_name_and_specification(
    tmp_path: Path, cell: Cell
) -> None:
    told = json.loads(asked(partial(worked, shadows=tmp_path), cell, None))
    assert told["function"] == "tests.light_cells:worked"
    tmp_path.joinpath("x").mkdir()
    outcome = work_of(told)()
    assert outcome.record == worked(cell, tmp_path).record
    with_hash = json.loads(asked(worked, cell, "ab"))
    assert with_hash["named"] == {"data_sha256": "ab"}


def test_an_outcome_arrives_as_it_was(tmp_path: Path, cell: Cell) -> None:
    made = worked(cell, tmp_path)
    clustered = Scored(np.arange(4.0), np.arange(4) > 1, 3, np.array([0, 0, 1, 1]))
    odd = {"bits": np.array([True]), "none": np.zeros((0, 3), np.float32)}
    sent = Outcome(made.record, made.counts, made.samples, made.scored | {"b": clustered}, odd)
    found: Outcome = unpacked(packed(Answer(sent))).value()
    assert found.record == sent.record and found.counts == sent.counts
    assert json.dumps(found.samples) == json.dumps(sent.samples)
    assert list(found.scored) == list(sent.scored) and list(found.signals) == list(sent.signals)
    for name, each in sent.scored.items():
        np.testing.assert_array_equal(found.scored[name].scores, each.scores)
        np.testing.assert_array_equal(found.scored[name].members, each.members)
        assert found.scored[name].seed == each.seed
    np.testing.assert_array_equal(found.scored["b"].clusters, clustered.clusters)  # type: ignore[arg-type]
    assert found.scored["attack"].clusters is None
    for name, value in odd.items():
        assert found.signals[name].dtype == value.dtype
        np.testing.assert_array_equal(found.signals[name], value)


def test_what_was_raised_is_raised_and_our_complaints_stay_ours() -> None:
    for error in (InputError("expected a"), RuntimeError("no memory")):
        answer = unpacked(packed(Answer(error=error)))
        with pytest.raises(type(error), match=str(error)):
            answer.value()


def test_a_pickle_among_the_arrays_is_refused(cell: Cell) -> None:
    record = CellResult(cell.id, "skipped", cell.spec(), cell.labels, "r")
    made = io.BytesIO()
    np.save(made, np.array([print], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(io.BytesIO(packed(Answer(Outcome(record, {}))))) as file:
        told = file.read("told.json")
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as out:
        out.writestr("told.json", told)
        out.writestr("signal-0.npy", made.getvalue())
    with pytest.raises(ValueError, match="allow_pickle"):
        unpacked(forged.getvalue())
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        unpacked(pickle.dumps(record))
