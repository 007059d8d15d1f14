"""Output for machines and for pipes: JSON with units and views, quiet, and how to go on."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from evaluation.cli import main
from evaluation.cli.exit_codes import INTERRUPTED
from reports.noise_mode import REPEATABLE
from reports.records import read_records

RUN = Path("docs/results/one-message-sst2").resolve()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = (RUN / "records.jsonl").read_text().splitlines(keepends=True)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "records.jsonl").write_text("".join([*lines[:2], *lines[20:22]]))
    return folder


def test_a_report_is_json_with_every_number_its_interval_and_its_unit(here, run: Path) -> None:
    done = here("report", run, "--json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["command"], found["run"]) == (1, "report", "run")
    records = read_records(run / "records.jsonl")
    bare, noised = found["settings"]
    assert noised["cells"] == [records[2].cell, records[3].cell] and noised["seeds"] == ["0", "1"]
    assert {"value", "low", "high", "n"} <= noised["utility"]["accuracy"].keys()
    assert {each["kind"] for each in bare["claims"]} == {"no guarantee"}
    for claim in noised["claims"]:
        assert (claim["unit"], claim["relation"]) == ("record", "replace-one")
        assert claim["epsilon"] == pytest.approx(4.0) and claim["delta"] == 1e-5
    assert {each["view"] for each in noised["claims"]} == {
        "forward", "backward", "aggregator", "peer", "release",
    }  # fmt: skip
    for leak in noised["leaks"]:
        assert {"view", "attack", "metric", "unit", "estimate"} <= leak.keys()
    assert [each for each in found["answer"] if "take it off" in each] == [REPEATABLE]
    assert here("report", run).stdout.count("take it off") == 1
    assert noised["noise"] == ["repeatable"] and all(Path(p).exists() for p in found["files"])


def test_quiet_says_nothing_and_pipes_get_no_control_characters(here, run: Path) -> None:
    loud = here("report", run)
    assert loud.stdout and "\x1b" not in loud.stdout and "\r" not in loud.stdout + loud.stderr
    quiet = here("report", run, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (run / "report.html").is_file()
    wrong = here("report", "nowhere", "-q")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ")  # said all the same
    assert here("report", run).stdout == loud.stdout  # the next command is not quiet


def _options(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that has --json."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _options(command, (*before, name))
        elif command and any("--json" in each.opts for each in command.params):
            yield (*before, name)


EACH = {
    ("audit", "plan"): ["--epsilon", 1, "--delta", "1e-5", "--canaries", 20],
    ("audit", "run"): [],
    ("budget", "compose"): [
        f"{RUN}:{read_records(RUN / 'records.jsonl')[n].cell}" for n in (20, 21)
    ],
    ("budget", "epsilon"): ["--noise-multiplier", 1, "--delta", "1e-5"],
    ("budget", "noise"): ["--epsilon", 1, "--delta", "1e-5"],
    ("budget", "tuning"): ["--epsilon", 1, "--delta", "1e-5", "--mean", 3],
    ("budget", "views"): ["small.toml"],
    ("finetune",): ["--out", "new", "--dry-run"],
    ("frontier",): [],
    ("list",): ["tasks"],
    ("pretrain",): [],
    ("privacy-utility",): ["small.toml", "--dry-run"],
    ("report",): ["run"],
    ("show",): ["run", 1],
}
"""By command the words that make it print JSON; none where a test of its own looks at it."""


def test_every_command_that_prints_json_is_looked_at() -> None:
    assert set(_options(main.cli)) == set(EACH)


@pytest.mark.parametrize("command", [each for each, words in EACH.items() if words], ids=" ".join)
def test_all_json_begins_with_its_version_and_its_command(
    here, run: Path, small_grid: Path, command: tuple[str, ...]
) -> None:
    words = EACH[command]
    done = here(*command, *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found)[:2] == ["schema", "command"]
    assert isinstance(found["schema"], int) and found["schema"] >= 1
    assert found["command"] == ("dry run" if "--dry-run" in words else " ".join(command))
    assert "version" not in found and "format" not in found


def test_an_audit_plan_is_json(here) -> None:
    done = here("audit", "plan", "--epsilon", 1, "--delta", "1e-5", "--canaries", 20, "--json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["epsilon"], found["canaries"]) == (1, 1.0, 20)
    assert all({"name", "unit", "least", "likely", "reach"} == m.keys() for m in found["methods"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["privacy-utility", "my grid.toml", "--workers", "2"], "continues where this one ended: "),
        (["report", "my run"], "to begin anew: "),
    ],
)
def test_who_stops_a_command_is_told_the_one_to_go_on_with(
    here, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    def stops(**_: object) -> None:
        raise KeyboardInterrupt

    command = main.cli.get_command(main.click.Context(main.cli), words[0])
    monkeypatch.setattr(command, "callback", stops)
    done = here(*words)
    assert done.returncode == INTERRUPTED
    again = " ".join(each if " " not in each else f"'{each}'" for each in words)
    assert done.stderr.endswith(f"{told}fedbert-eval {again}\n")
