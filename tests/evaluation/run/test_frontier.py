"""The search end to end: in a world whose curves are known, and once with trainings of its own."""

import json
import math
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from evaluation.cli import frontier
from evaluation.cli.main import cli
from evaluation.grid.written import toml
from evaluation.run import runner
from evaluation.run.changes import Known
from reports.frontier.answer import answer
from reports.frontier.wish import wish_of
from reports.named import ANEW
from reports.records import read_records
from reports.run_folder import in_order
from tests.evaluation.run.frontier_world import FILE, World

Run = Callable[[World], Path]


def world(**rest: object) -> World:
    """dp-sgd reaches .74 (with its interval) near epsilon 3.6; labels never do."""
    scales = {"dp-sgd": 2.0, "labels": 60.0}
    tops = {"dp-sgd": 0.2, "labels": 0.5, "none": 0.9}
    return World(
        lambda name, epsilon: 0.5 + 0.3 * (1 - math.exp(-epsilon / scales.get(name, 1.0))),
        lambda name, epsilon: tops[name] * (1 - math.exp(-epsilon / 8)),
        **rest,  # type: ignore[arg-type]
    )


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on FILE in a world, without a look at model and data; the run's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "checked", lambda grid: Known([]))
    (tmp_path / "f.toml").write_text(FILE)

    def run(one: World, command: str = "frontier f.toml", out: str = "run") -> Path:
        monkeypatch.setattr(runner, "worked", one)
        cli.main(args=[*command.split(), "--out", out], standalone_mode=False)
        return tmp_path / out

    return run


@pytest.fixture
def unshown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report: it takes most of the time."""
    monkeypatch.setattr(frontier, "show", lambda directory: None)


def chosen(directory: Path) -> tuple[str, str]:
    grid = json.loads((directory / "grid.json").read_text())
    wish = wish_of(grid)
    assert wish is not None
    found = answer(in_order(read_records(directory / "records.jsonl"), grid), wish).chosen
    assert found is not None and found.best is not None
    return found.name, found.best.row.level


def lines(directory: Path) -> list[str]:
    """The records of a run, by cell."""
    return sorted((directory / "records.jsonl").read_text().splitlines())


def test_the_level_of_a_known_curve_is_found_and_the_answer_told(
    search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    one = world()
    directory = search(one)
    name, level = chosen(directory)
    epsilon = float(level.removeprefix("target_epsilon="))
    lower = [0.5 + 0.3 * (1 - math.exp(-each / 2)) - 0.01 for each in (epsilon, epsilon / 1.2)]
    assert name == "dp-sgd" and lower[0] >= 0.74 > lower[1]
    told = capsys.readouterr()
    assert told.out.startswith(f"{ANEW}: dp-sgd, training batch size 64 (parallel): epsilon ")
    assert "labels: keeps too little utility" in told.out
    assert "next: dp-sgd at target_epsilon=10.0 (3 cells)" in told.err
    labels = [cell.labels for cell in one.ran]
    assert [each["defence"] for each in labels[:3]] == ["none"] * 3  # before any defence
    assert len({cell.id for cell in one.ran}) == len(one.ran) == 3 * (2 + 1 + 8)
    assert sum("training.batch_size" in each for each in labels) == 3 * 9  # its own row without it


def test_the_grid_that_is_left_gives_the_same_answer_again(
    search: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.toml").write_text(FILE.replace("steps = 8", "steps = 3"))
    directory = search(world())
    text = (directory / "grid.toml").read_text()
    again = search(world(), f"privacy-utility {directory / 'grid.toml'}", "again")
    assert lines(again) == lines(directory) and chosen(again) == chosen(directory)
    tables = [(each / "table.md").read_text().split("\n", 1)[1] for each in (directory, again)]
    assert tables[0] == tables[1] and "## Answer" in tables[0]
    written = tomllib.loads(text)
    assert tomllib.loads(toml(written)) == written
    monkeypatch.setattr(frontier, "show", lambda directory: None)
    nothing = world()
    search(nothing)
    assert nothing.ran == []  # all of it has a record


@pytest.mark.parametrize("stop", [0, 4, 17])
def test_a_search_that_was_stopped_goes_on_to_the_same_records(
    search: Run, unshown: None, stop: int
) -> None:
    whole = search(world(), out="whole")
    with pytest.raises(click.Abort):
        search(world(stop=stop))
    rest = world()
    assert lines(search(rest)) == lines(whole)
    assert len(rest.ran) == len(lines(whole)) - stop


def test_a_failed_cell_keeps_nothing_and_is_tried_again(search: Run, unshown: None) -> None:
    def breaks(cell: object) -> bool:
        return "target_epsilon=10.0" in str(cell.labels)  # type: ignore[attr-defined]

    ill = world(broken=breaks)
    with pytest.raises(SystemExit):
        search(ill)
    assert len({cell.id for cell in ill.ran}) == len(ill.ran)  # not again in every wave
    name, level = chosen(Path("run"))
    assert name == "dp-sgd" and float(level.split("=")[1]) > 10
    healed = world()
    search(healed)  # that level again, and what then follows; what the detour tried stays
    assert [cell.level for cell in healed.ran][:3] == ["target_epsilon=10.0"] * 3
    assert chosen(Path("run")) == chosen(search(world(), out="whole"))


def test_a_void_comparison_ends_the_search_before_any_defence(
    search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    one = World(lambda name, epsilon: 0.5, lambda name, epsilon: 0.1)
    directory = search(one)
    assert len(one.ran) == 3
    assert "Ship no defence of these: this comparison is void" in capsys.readouterr().out
    assert "[[defences]]" in (directory / "grid.toml").read_text()


def test_another_wish_in_the_same_folder_uses_what_is_there(
    search: Run, unshown: None, tmp_path: Path
) -> None:
    first = world()
    search(first)
    (tmp_path / "f.toml").write_text(FILE.replace("0.8", "0.5"))
    more = world()
    directory = search(more)
    assert not {cell.id for cell in first.ran} & {cell.id for cell in more.ran}
    epsilon = float(chosen(directory)[1].split("=")[1])
    assert 0.5 + 0.3 * (1 - math.exp(-epsilon / 2)) - 0.01 >= 0.65 and epsilon < 2.5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('data = "public"', "", "frontier: expected data, got none"),
        ('data = "public"', 'data = "mine"', "expected one of public, spent, private, got data"),
        ("least_share", "least_shar", "frontier: unknown key 'least_shar': did you mean 'least_"),
        ("least_share = 0.8", "", "expected one of least_utility and least_share, got none"),
        ("[1.0, 64.0]", "[64.0, 1.0]", "expected an epsilon above 0 that rises, got labels.targe"),
        (
            'target_epsilon" = [1.0, 100.0]',
            'target_advantage" = [0.0, 0.5]',
            "expected a risk above 0, which guessing reaches, that rises and stays below 1, got",
        ),
        (
            'target_epsilon" = [1.0, 100.0]',
            'target_tpr_at_1pct" = [0.3, 0.2]',
            "expected a risk above 0.01, which guessing reaches",
        ),
        ("[1.0, 64.0]", "[1.0]", "expected two different numbers, the most private one first"),
        ("epsilon = [1.0, 64.0]", "", "defence 'labels': expected epsilon = [0.5, 16.0] or search"),
        ("training.target", "update.target", "search: expected a mechanism at update, got update"),
        ("training.batch_size", "training.batchsize", "set: unknown key 'training.batchsize': did"),
        ("[0, 1, 2]", '[0]\nsweep = { "data.clients" = [1, 2] }', "expected a single training"),
        ('"dp-sgd"', '"labels"', "expected different names, got 'labels' twice"),
        ("[frontier]", "[other]", "unknown key 'other'"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    here: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    old: str,
    new: str,
    told: str,
) -> None:
    assert FILE.count(old) == 1
    (tmp_path / "f.toml").write_text(FILE.replace(old, new))
    done = here("frontier", "f.toml")
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_grid_is_no_search_and_a_search_no_grid(
    here: Callable[..., subprocess.CompletedProcess[str]], small_grid: Path, tmp_path: Path
) -> None:
    done = here("frontier", small_grid)
    assert done.returncode == 2 and "expected [frontier] with data" in done.stderr
    (tmp_path / "f.toml").write_text(FILE)
    done = here("privacy-utility", "f.toml")
    assert done.returncode == 2 and "expected levels, got a search" in done.stderr


def test_a_search_with_trainings_of_its_own(
    here: Callable[..., subprocess.CompletedProcess[str]], unshown: None, tmp_path: Path
) -> None:
    """Two levels of a defence on generated text, one seed: the top keeps .5, the bottom none."""
    values = tomllib.loads(FILE) | {"strategies": ["centralised"], "seeds": [0]}
    values["frontier"] |= {"least_share": 0.3, "steps": 2, "adversary": "release"}
    values["model"]["dropout"] = 0.0
    values["data"] |= {"pool_size": 300, "evaluation": 100, "max_length": 16, "clients": 1}
    values["training"] = {"rounds": 1, "local_steps": 40, "batch_size": 16, "learning_rate": 2e-3}
    values["attacks"] = {"inversion": [], "backward": [], "updates": [], "candidates": 20}
    values["defences"] = [values["defences"][0] | {"epsilon": [0.01, 8.0]}]
    (tmp_path / "f.toml").write_text(toml(values))
    done = here("frontier", "f.toml")
    assert done.returncode == 0, done.stderr
    assert chosen(tmp_path / "runs" / "ship") == ("labels", "target_epsilon=8.0")
    records = read_records(tmp_path / "runs" / "ship" / "records.jsonl")
    assert [each.labels["level"] for each in records] == ["-", "target_epsilon=8.0",
                                                          "target_epsilon=0.01"]  # fmt: skip
    assert all(each.gains["accuracy"].n == 100 for each in records)
