"""Dry runs: what would run, at what price, what is claimed; and what is refused before loading."""

import json
import sys
from pathlib import Path

import pytest

from evaluation.cli import dry_run
from evaluation.cli.dry_run import MEASURED, TIMED
from evaluation.grid import preflight
from evaluation.grid.parse import read_grid
from evaluation.run.calibration import Forecast
from fedbert import prepare
from reports.noise_mode import REPEATABLE
from reports.records import CellResult, append_record
from tests.reports.examples import estimate

BOTH = 'strategies = ["parallel", "fedavg"]\n[model]'


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell takes seven seconds, and a gigabyte: nothing is timed."""

    def told(cells, inputs):
        return Forecast({cell.id: 7.0 for cell in cells}, 10**9)

    monkeypatch.setattr(dry_run, "forecast", told)


def planned(here, *words: object) -> dict:
    done = here(*words, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_says_what_each_cell_will_be_and_writes_nothing(
    here, small_grid: Path, tmp_path: Path
) -> None:
    small_grid.write_text(small_grid.read_text().replace("[model]", BOTH, 1))
    before = sorted(tmp_path.rglob("*"))
    found = planned(here, "privacy-utility", small_grid, "--out", "run", "--workers", 2)
    assert sorted(tmp_path.rglob("*")) == before
    grid = read_grid(small_grid)
    cells = {cell["id"]: cell for each in found["settings"] for cell in each["cells"]}
    assert set(cells) == {cell.id for cell in grid.cells} and len(cells) == 8
    fates = {(each["strategy"], each["defence"]): each for each in found["settings"]}
    skipped = fates["fedavg", "gaussian"]
    assert {cell["fate"] for cell in skipped["cells"]} == {"will be skipped"}
    assert "fedavg sends none" in skipped["refused"] and skipped["claims"] == []
    for cell in grid.cells:
        own = cells[cell.id]
        if own["fate"] == "will run":
            assert own["seconds"] == 7.0
    assert (
        found["seconds_basis"] == TIMED and found["worker_bytes"] == 10**9 and found["workers"] == 2
    )
    claim = next(c for c in fates["parallel", "gaussian"]["claims"] if c["view"] == "forward")
    assert claim["epsilon"] == pytest.approx(1.0, abs=1e-6) and claim["unit"] == "token"
    assert {each["noise"] for each in found["settings"]} == {"repeatable"}
    assert fates["parallel", "gaussian"]["caveat"] == REPEATABLE
    assert fates["parallel", "none"]["caveat"] is None
    viewed = json.loads(here("budget", "views", small_grid, "--json").stdout)
    marks = {(each["noise"], each["caveat"]) for each in viewed["settings"]}
    assert marks == {("repeatable", REPEATABLE), ("repeatable", None)}
    done = here("privacy-utility", small_grid, "--out", "run", "--dry-run")
    assert "8 cells, 6 would run" in done.stdout and "2 would be skipped" in done.stdout
    assert "nothing was written" in done.stdout and sorted(tmp_path.rglob("*")) == before
    refused = here("privacy-utility", small_grid, "--json")
    assert refused.returncode == 2 and "--json with --dry-run" in refused.stderr


def test_a_price_is_that_of_cells_that_ended_here(here, small_grid: Path, tmp_path: Path) -> None:
    first, *_ = read_grid(small_grid).cells
    guarantees = [
        {"view": view, "kind": "no guarantee", "reason": "x", "sentence": "x."}
        for view in ("forward", "backward", "aggregator", "peer", "release")
    ]
    record = CellResult(
        first.id, "done", first.spec(), first.labels, guarantees=guarantees,
        utility={"accuracy": estimate(0.7, 0.1)}, seconds={"train": 500.0, "evaluate": 1.0},
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    append_record(tmp_path / "run" / "records.jsonl", record)
    found = planned(here, "privacy-utility", small_grid, "--out", "run")
    (cells,) = (each["cells"] for each in found["settings"] if each["defence"] == "none")
    assert [cell["fate"] for cell in cells] == ["has a record", "will run"]
    assert cells[0]["seconds"] is None and cells[1]["seconds"] == pytest.approx(501, abs=5)
    assert found["seconds_basis"] == MEASURED


def test_a_search_says_the_most_that_it_may_train(here, small_text: str, tmp_path: Path) -> None:
    head = small_text.split("[[defences]]")[0]
    wish = '[frontier]\ndata = "private"\nleast_share = 0.9\nsteps = 4\n[model]'
    text = head.replace("[model]", wish, 1) + (
        '[[defences]]\nname = "token"\nepsilon = [1.0, 8.0]\n'
        'smashed = { mechanism = "gaussian", clip_norm = 8.0 }\n'
    )
    (tmp_path / "ship.toml").write_text(text)
    found = planned(here, "frontier", "ship.toml")
    assert found["most_trainings"] == 2 + 4 * 2 and len(found["next"]) == 2
    kinds = {claim["kind"] for each in found["settings"] for claim in each["claims"]}
    assert kinds == {"no guarantee"} and not (tmp_path / "runs").exists()
    assert {each["caveat"] for each in found["settings"]} == {None}
    (tmp_path / "ship.toml").write_text(text.replace('data = "private"', 'data = "public"'))
    found = planned(here, "frontier", "ship.toml")
    marks = [(each["noise"], each["caveat"]) for each in found["settings"]]
    assert ("repeatable", REPEATABLE) in marks


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"gaussian", clip', '"gausian", clip', "did you mean 'gaussian'?"),
        ("[attacks]", '[attacks]\nmembership = ["rima"]', "did you mean 'rmia'?"),
        ("[attacks]", '[attacks]\nmembership = [{ attack = "rmia", refs = 1 }]', "unknown key"),
        ('source = "generated"', 'source = "./there"', "a directory that exists, got source="),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_loaded(
    here, small_grid: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    """By the real run, a dry one, and budget views, in the words of the later check."""
    text = small_grid.read_text()
    small_grid.write_text(text.replace(old, new, 1))
    with pytest.raises(Exception, match=r"expected|unknown") as late:
        preflight.preflight(read_grid(small_grid))
    monkeypatch.setattr(prepare, "load_tokenizer", lambda *_, **__: pytest.fail("loaded"))
    for command in (["privacy-utility"], ["privacy-utility", "--dry-run"], ["budget", "views"]):
        done = here(*command, small_grid)
        assert done.returncode == 2 and told in done.stderr
        assert done.stderr == f"error: {late.value}\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("audit nowhere", "expected a checkpoint directory, got none at nowhere"),
        ("audit there --members no.csv --non-members no.csv", "examples, got none at no.csv"),
        ("audit there --out file", "expected a folder for --out, got the file file"),
        ("finetune none.toml --out out", "got no file none.toml"),
        ("finetune wrong.toml --out out", "wrong.toml: defence 'd': smashed: expected one of"),
        ("finetune --out file", "expected a folder for --out, got the file file"),
        ("export there --out there", "expected a new or an empty folder, got --out there"),
        ("data ./nowhere.csv", "expected a directory or file that exists"),
        ("frontier small.toml", "expected [frontier]"),
    ],
)
def test_no_command_loads_torch_to_say_what_a_look_would_show(
    here, small_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").touch()
    (tmp_path / "file").touch()
    wrong = '[data]\ntask = "sst2"\n[defence]\nname = "d"\nsmashed = { mechanism = "gau" }\n'
    (tmp_path / "wrong.toml").write_text(wrong)
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it would fail
    for name in [each for each in sys.modules if each.split(".")[0] in OURS]:
        if name.startswith(LOADING):
            monkeypatch.delitem(sys.modules, name)
    done = here(*command.split())
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1


OURS = ("fedbert", "evaluation", "attacks", "privacy")
LOADING = (
    "evaluation.auditing.card", "evaluation.run.training", "fedbert.export", "fedbert.model",
    "fedbert.checkpoint", "evaluation.attacking", "fedbert.data.batches",
)  # fmt: skip
