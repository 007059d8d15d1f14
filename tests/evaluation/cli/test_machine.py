"""Output for machines and for pipes: JSON with units and views, quiet, and how to go on."""

import json
from pathlib import Path

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
