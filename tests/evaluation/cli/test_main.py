"""The real command, as a user meets it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.cli.audit import audit
from evaluation.cli.budget import budget
from evaluation.cli.main import COMMANDS, main
from evaluation.grid.catalogue import MEMBERSHIP
from evaluation.grid.listed import listed
from evaluation.grid.schema import grid_schema, training_schema
from reports.render import render

RUN = "docs/results/one-message-sst2"
HEAVY = ("torch", "transformers", "opacus", "datasets", "sklearn", "dp_accounting")


def without(modules: Sequence[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which must not import these modules."""
    return without_each((modules, *arguments))


def without_each(*commands: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
    """Run commands in one process of their own: modules that must not be there after, and words."""
    told = [(tuple(modules), [str(each) for each in words]) for modules, *words in commands]
    code = (
        "import sys, evaluation.cli.main as c\n"
        f"for modules, words in {told!r}:\n"
        "    sys.argv = ['fedbert-eval', *words]\n"
        "    try:\n        c.main()\n    except SystemExit as end:\n"
        "        there = [m for m in modules if m in sys.modules]\n"
        "        if there or end.code:\n            sys.exit(f'{words}: {there}, {end.code}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_help_list_and_report_import_nothing_heavy(tmp_path: Path) -> None:
    """In an order in which none hides what a later one would import; of a run without scores."""
    first = Path(RUN, "records.jsonl").read_text().splitlines(keepends=True)[0]
    (tmp_path / "records.jsonl").write_text(first)
    render(tmp_path)  # so that no figure is left to draw
    names = [["audit", name] for name in audit.commands] + [["budget", n] for n in budget.commands]
    names += [[name] for name in COMMANDS]
    done = without_each(
        ((*HEAVY, "scipy", "pydantic", "rich", "numpy"), "--help"),
        *(((*HEAVY, "scipy", "pydantic", "numpy"), *name, "--help") for name in names),
        ((*HEAVY, "scipy", "matplotlib", "numpy", "jinja2", "rich"), "show", tmp_path, 1, "--json"),
        ((*HEAVY, "scipy", "pydantic", "numpy"), "list"),
        ((*HEAVY, "scipy", "matplotlib", "numpy", "jinja2"), "show", tmp_path, 1),
        ((*HEAVY, "scipy", "matplotlib", "numpy", "pydantic"), "report", tmp_path),
        ((*HEAVY, "scipy"), "plot", tmp_path, "--figure", "utility", "--out", tmp_path / "new"),
        (HEAVY, "schema", "grid"),
        (("torch", "transformers"), "budget", "noise", "--epsilon", 1, "--delta", "1e-5"),
    )
    assert done.stdout.count("Usage: ") == 1 + len(names) and "noise multiplier" in done.stdout


def test_a_schema_is_printed_as_json(here) -> None:
    for what, made in (("grid", grid_schema), ("training", training_schema)):
        done = here("schema", what)
        assert done.returncode == 0 and json.loads(done.stdout) == json.loads(json.dumps(made()))
    assert here("schema", "cell").returncode == 2


def test_list_tells_a_kind_with_its_parameters_and_as_json(here) -> None:
    found = json.loads(here("list", "--json").stdout)
    assert found == {"schema": 1, "command": "list"} | listed()
    only = json.loads(here("list", "mechanisms", "--json").stdout)
    assert only == {"schema": 1, "command": "list", "mechanisms": found["mechanisms"]}
    shown = here("list", "attacks").stdout
    assert "references = " in shown and "gaussian" not in shown.split("\n")[1]
    keys = here("list", "keys").stdout
    assert "max_epsilon" in keys and "micro_batch" in keys and "lira_online" not in keys
    assert here("list", "attack").returncode == 2
    one = json.loads(here("list", "attacks", "rmia", "--json").stdout)["attacks"]
    assert [each["name"] for each in one] == ["rmia"]
    done = here("list", "mechanisms", "gausian")
    assert done.returncode == 2 and "did you mean 'gaussian'?" in done.stderr


def test_list_shows_a_baseline_as_one(here) -> None:
    lines = here("list").stdout.splitlines()
    shown = [line.split()[2] for line in lines if line.startswith("membership (baseline)")]
    assert shown == [name for name, entry in MEMBERSHIP.items() if entry.baseline] != []
    assert sum(line.startswith("membership ") for line in lines) == len(MEMBERSHIP)


def test_a_foreign_name_does_not_steer_the_terminal(
    here,
) -> None:
    for command in ("report", "plot", "budget views", "audit"):
        done = here(*command.split(), "\x1b]0;owned\x07[/b]")
        assert done.returncode == 2 and "\x1b" not in done.stderr + done.stdout
        assert "\\x1b]0;owned\\x07[/b]" in done.stderr


@pytest.mark.parametrize(
    ("replace", "by", "expected"),
    [
        ('tasks = ["sst2"]', 'tasks = ["sst3"]', "tasks: expected one of cola,"),
        ("rounds = 2", "round = 2", "training: unknown key 'round': did you mean 'rounds'?"),
        ("rounds = 2", "rounds = 0", "expected rounds >= 1, got rounds=0"),
        ("rounds = 2", "rounds = true", "expected an integer, got training.rounds=true"),
        ("clip_norm = 8.0", "clip_norm = -1.0", "expected clip_norm > 0, got clip_norm=-1.0"),
        ("clip_norm = 8.0", "clip = 8.0", "mean 'clip_norm'? allowed: target_epsilon, target"),
        ('mechanism = "gaussian"', 'mechanism = "gauss"', "or module:Class, got 'gauss'"),
        ('mechanism = "gaussian"', 'mechanism = "clip_only"', "a mechanism with a guarantee"),
        ('source = "generated"', 'source = "./nowhere"', "expected a directory that exists"),
        ("clients = 2", "clients = 2000", "clients"),
        ("[attacks]", '[attacks]\ninversion = ["psychic"]', "got 'psychic'"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "expected different values (0 comes twice)"),
        ("seeds = [0, 1]", "seeds = [0", "expected a TOML file"),
        ("smashed = {", "smashd = {", "'smashd': did you mean 'smashed'? allowed: name, smashed,"),
        ("clip_norm = 8.0", "clip_norm = inf", "expected a finite value, got clip_norm=inf"),
        ("[1.0]", "[]", "expected level ="),
        ("[attacks]", "[attacks]\ninversion = 5", "expected a list, got attacks.inversion=5"),
        ("[attacks]", '[attacks]\nmembership = ["os:getcwd"]', "--allow-code, since 'os:getcwd'"),
        ('mechanism = "gaussian", clip_norm = 8.0', 'mechanism = "collections:Counter"', "Counter"),
        ("batch_size = 8", 'batch_size = 8\ndevice = "cuda"', "training: expected a device that"),
        ('tokenizer = "generated"', 'tokenizer = "generated"\ncut_layer = 9', "model: expected 0"),
        ("max_length = 16", "max_length = 512000", "max_length"),
        ('name = "small"', 'name = "../small"', "one folder below runs/"),
    ],
)  # fmt: skip
def test_bad_grids_end_with_one_line_and_code_2(
    tmp_path: Path,
    small_grid: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    replace: str,
    by: str,
    expected: str,
) -> None:
    small_grid.write_text(small_grid.read_text().replace(replace, by))
    arguments = ["privacy-utility", str(small_grid), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["fedbert-eval", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    errors = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and len(errors) == 1  # before any word of cells
    assert errors[0].startswith("error: ") and str(small_grid) in errors[0]
    assert expected in errors[0]
    assert not (tmp_path / "run" / "records.jsonl").exists()


def test_a_file_that_says_nothing_is_refused_with_what_it_could_say(tmp_path: Path, here) -> None:
    for name, text in (("empty.toml", ""), ("comment.toml", "# nothing\n")):
        (tmp_path / name).write_text(text)
        for command in (["privacy-utility"], ["budget", "views"]):
            done = here(*command, name)
            least = f'error: {name}: expected a grid, at the least tasks = ["sst2"], got an empty'
            assert done.returncode == 2 and done.stderr.startswith(least), done.stderr
        done = here("finetune", name, "--out", "out")
        assert done.returncode == 2 and f"{name}: expected a training, got an empty" in done.stderr
        assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_a_training_beyond_its_file_is_told_with_it(
    tmp_path: Path, here
) -> None:
    text = TRAINING.format(task="sst2", rounds=1).replace('"tiny"', '"tiny"\ncut_layer = 9')
    (tmp_path / "deep.toml").write_text(text)
    done = here("finetune", "deep.toml", "--out", "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: deep.toml: model: expected 0 <= cut_layer <= 2, got cut")


def test_wrong_usage_ends_with_code_2(here) -> None:
    assert "did you mean 'show'?" in here("shwo").stderr
    for arguments in (
        ["--no-such"],
        ["privacy-utility", "absent.toml"],
        ["report", "absent"],
        ["plot", "absent"],
    ):
        done = here(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


TRAINING = """
seed = 3
[model]
source = "tiny"
tokenizer = "generated"
[data]
task = "{task}"
source = "generated"
pool_size = 24
evaluation = 8
max_length = 16
clients = 2
[training]
rounds = {rounds}
local_steps = 1
batch_size = 8
"""


def test_pretrain_then_finetune(tmp_path: Path, here) -> None:
    (tmp_path / "pre.toml").write_text(TRAINING.format(task="mlm", rounds=2))
    done = here("pretrain", "pre.toml", "--out", "pre")
    assert done.returncode == 0, done.stderr
    assert "masked_accuracy" in done.stdout and "round 2/2" in done.stderr
    tuned = TRAINING.format(task="stsb", rounds=2).replace('"tiny"', '"pre/checkpoint/model"')
    (tmp_path / "tune.toml").write_text(tuned)
    done = here("finetune", "tune.toml", "--out", "tune")
    assert done.returncode == 0 and "pearson" in done.stdout, done.stderr
    manifest = json.loads((tmp_path / "tune" / "checkpoint" / "manifest.json").read_text())
    assert manifest["round"] == 2 and manifest["config"]["data"]["task"] == "stsb"
    # Another configuration does not continue this checkpoint.
    (tmp_path / "tune.toml").write_text(tuned.replace("seed = 3", "seed = 4"))
    other = here("finetune", "tune.toml", "--out", "tune")
    assert other.returncode == 2 and "expected a checkpoint of the same seed" in other.stderr
    # Nor does the same configuration under another defence.
    guarded = '\n[defence]\nname = "d"\nupdate = { mechanism = "dp_fedavg", '
    guarded += "clip_norm = 1.0, target_epsilon = 8.0 }\n"
    (tmp_path / "tune.toml").write_text(tuned + guarded)
    other = here("finetune", "tune.toml", "--out", "tune")
    assert other.returncode == 2 and "expected a checkpoint of the same defence" in other.stderr
    done = here("finetune", "tune.toml", "--out", "guarded")
    assert done.returncode == 0, done.stderr
    assert "Against the peer, release views, each client is protected" in done.stdout
    manifest = json.loads((tmp_path / "guarded" / "checkpoint" / "manifest.json").read_text())
    assert [g["view"] for g in manifest["guarantees"] if g["kind"] == "guarantee"] == [
        "peer",
        "release",
    ]
    assert manifest["costs"][0]["releases"] == 2 and manifest["defence"]["delta"] == 1e-5
    wrong = here("finetune", "pre.toml", "--out", "wrong")
    assert wrong.returncode == 2 and "expected a task with labels for finetune" in wrong.stderr


def test_readme_help_block_is_current(here, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    done = here("--help")
    commands = done.stdout.split("Commands:")[1].split("Examples:")[0].splitlines()
    lacking = [line.split()[0] for line in commands if line and line not in readme]
    assert not lacking, f"README.md: its block of commands lacks {lacking}"
