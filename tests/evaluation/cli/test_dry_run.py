"""Dry runs: what would run, at what price, what is claimed; and what is refused before loading."""

import json
from pathlib import Path

import pytest

from evaluation.cli import dry_run
from evaluation.cli.dry_run import MEASURED, TIMED
from evaluation.grid import preflight
from evaluation.grid.parse import read_grid
from evaluation.run.calibration import Forecast
from fedbert import prepare
from fedbert.config import ModelConfig
from fedbert.model import load_model, load_tokenizer
from fedbert.tasks import TASKS
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
    found = json.loads(done.stdout)
    assert list(found)[:2] == ["schema", "command"] and found["command"] == "dry run"
    return found


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


SMASHED = '{ mechanism = "gaussian", clip_norm = 8.0 }'
KNOWN = [
    ('"gaussian", clip', '"gausian", clip', "did you mean 'gaussian'?"),
    ("clip_norm = 8.0", "clip_nrm = 8.0", "unknown key 'clip_nrm': did you mean 'clip_norm'?"),
    ("clip_norm = 8.0", 'clip_norm = "x"', "expected a number, got clip_norm='x'"),
    ("clip_norm = 8.0", "noise_multiplier = 1.0, clip_norm = 8.0", "only without target_epsilon"),
    ("clip_norm = 8.0", "clip_norm = 8.0, target_advantage = 0.1", "expected one of target_eps"),
    (SMASHED, '{ mechanism = "clip_only", clip_norm = 8.0 }', "a mechanism with a guarantee"),
    ("smashed = {", "training = {", "expected a DPSGD, got 'gaussian'"),
    (SMASHED, '{ mechanism = "dp_sgd", clip_norm = 8.0 }', "expected 'dp_sgd' at training"),
    ("clip_norm = 8.0", 'clip_norm = 8.0, view = "release"', "expected view forward, got"),
    ("clip_norm = 8.0", "clip_norm = 8.0, one_shot = 1", "expected true or false, got one_shot=1"),
    ("clip_norm = 8.0", 'unit = "token"', "expected clip_norm, got none"),
    ("[attacks]", '[attacks]\nmembership = ["rima"]', "did you mean 'rmia'?"),
    ("[attacks]", '[attacks]\nmembership = [{ attack = "rmia", refs = 1 }]', "unknown key"),
    ("[attacks]", '[attacks]\nmembership = [{ attack = "rmia", references = true }]', "an integer"),
    ('source = "generated"', 'source = "./there"', "a directory that exists, got source="),
    (
        'source = "generated"',
        'source = "there.csv"',
        "a directory or file that exists",
    ),
    ('tasks = ["sst2"]', 'tasks = ["cola"]', "expected task sst2 or mlm for source 'embedded'"),
    (
        'source = "tiny"',
        'source = "./there"',
        "model: expected a directory that exists",
    ),
    ('source = "tiny"', 'source = "tny"', "got source='tny': did you mean 'tiny'?"),
    ('source = "tiny"', 'source = "empty"', "expected a model with a config.json, got none in"),
    ('source = "tiny"', 'source = "bert"\ncut_layer = 3', "0 <= cut_layer <= 2, got cut_layer=3"),
    ('tokenizer = "generated"', 'tokenizer = "/there"', "model: expected a directory that exists"),
    ('tokenizer = "generated"', 'tokenizer = "empty"', "a tokenizer's files, as tokenizer.json or"),
]
"""Parts of a grid, what stands in their place, and what is said of it."""
NO_ATTACK = [each for each in KNOWN if "attack" not in each[0]]


@pytest.fixture
def model_folders(tmp_path: Path) -> None:
    """A folder without a model in it, and one with the settings of a model of two layers."""
    (tmp_path / "empty").mkdir()
    tiny_model(ModelConfig("tiny", tokenizer="generated"), tmp_path / "bert")


def tiny_model(config: ModelConfig, folder: Path) -> None:
    tokenizer = load_tokenizer(config)
    load_model(config, TASKS["sst2"], tokenizer, 0).whole.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def written(text: str, old: str, new: str) -> str:
    assert old in text
    text = text.replace(old, new, 1)
    if new.startswith("training"):
        text = text.replace('"smashed.', '"training.')
    if "cola" in new:
        text = text.replace('source = "generated"', 'source = "embedded"')
    return text


@pytest.mark.usefixtures("model_folders")
@pytest.mark.parametrize(("old", "new", "told"), KNOWN)
def test_what_can_be_known_is_said_before_anything_is_loaded(
    here, small_grid: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    """By the real run, a dry one, and budget views, in the words of the later check."""
    small_grid.write_text(written(small_grid.read_text(), old, new))
    with monkeypatch.context() as patch, pytest.raises(Exception, match=r"expected|unkn") as late:
        patch.chdir(small_grid.parent)
        preflight.preflight(read_grid(small_grid))
    for name in ("load", "load_tokenizer", "load_model"):
        monkeypatch.setattr(prepare, name, lambda *_, **__: pytest.fail("loaded"))
    for command in (["privacy-utility"], ["privacy-utility", "--dry-run"], ["budget", "views"]):
        done = here(*command, small_grid)
        assert done.returncode == 2 and told in done.stderr
        assert done.stderr == f"error: {late.value}\n"


@pytest.mark.usefixtures("model_folders")
@pytest.mark.parametrize(("old", "new", "told"), NO_ATTACK)
def test_a_training_is_refused_before_anything_is_loaded(
    here, tmp_path: Path, small_text: str, monkeypatch: pytest.MonkeyPatch, old: str, new: str,
    told: str,
) -> None:  # fmt: skip
    text = written(small_text, old, new).replace('tasks = ["sst2"]', "").replace("cola", "rte")
    head, _, rest = text.partition("[attacks]")
    head = head.replace('name = "small"', "").replace("seeds = [0, 1]", "")
    if 'tasks = ["rte"]' in head:
        head = head.replace('tasks = ["rte"]', "").replace("[data]", '[data]\ntask = "rte"')
    asked = rest.rpartition("[[defences]]")[2].partition("level =")[0]
    target = ", target_epsilon = 1.0 }"
    (tmp_path / "t.toml").write_text(f"{head}[defence]{asked.replace(' }', target)}")
    monkeypatch.setattr("evaluation.run.training.prepare", lambda *_: pytest.fail("loaded"))
    done = here("finetune", "t.toml", "--out", "ft")
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "ft").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "./there"], "--data: expected a directory that exists, got source='./there'"),
        (["--public", "x.csv"], "--public: expected a directory or file that exists"),
        (["--start", "./there"], "--start: expected a directory that exists, got source='./there'"),
        (["--reference", "empty"], "--reference: expected a model with a config.json, got none"),
        (["--members", "none.csv"], "expected a file of examples, got none at none.csv"),
    ],
)
@pytest.mark.usefixtures("model_folders")
def test_an_audit_looks_for_its_files_before_it_loads_any(
    here, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setattr("evaluation.auditing.card.audit", lambda *_: pytest.fail("loaded"))
    done = here("audit", "run", "bert", *words)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("clip_norm = 8.0", "clip_norm = -1.0", "expected clip_norm > 0, got clip_norm=-1.0"),
        ("clip_norm = 8.0", 'clip_norm = 8.0, unit = "word"', "unit"),
    ],
)
def test_values_are_judged_before_data_and_models_are_loaded(
    here, small_grid: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    """By the classes themselves, for which torch is imported."""
    text = small_grid.read_text().replace(old, new, 1)
    small_grid.write_text(text.split("level =")[0].replace(" }\n", ", noise_multiplier = 1.0 }\n"))
    for name in ("load", "load_tokenizer", "load_model"):
        monkeypatch.setattr(prepare, name, lambda *_, **__: pytest.fail("loaded"))
    done = here("privacy-utility", small_grid)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
