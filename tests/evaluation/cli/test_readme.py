"""The grid of one's own that README prints runs as it stands, on a CSV file of five classes."""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from reports.records import read_records

ROWS = 100
GRID = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^fedbert-eval (privacy-utility .+)$", re.MULTILINE)


def test_the_first_grid_of_ones_own_runs_on_a_csv_file(
    here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    (grid,), (command,) = GRID.findall(readme), COMMAND.findall(readme)
    smaller = grid.replace('source = "embedded"', 'source = "tiny"', 1)  # a model of no wait
    smaller = smaller.replace("rounds = 4", "rounds = 1").replace(
        "local_steps = 8", "local_steps = 2"
    )
    assert (
        smaller.count("rounds = 1") == smaller.count("local_steps = 2") == 1 != grid.count("tiny")
    )
    (tmp_path / "mine.toml").write_text(smaller)
    words = ("awful", "poor", "fair", "good", "superb")
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["review", "stars"])
        lines.writerows([f"a {words[i % 5]} film, number {i}", i % 5 + 1] for i in range(ROWS))
    done = here(*command.replace("--workers 2", "--workers 1").split())
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_records(tmp_path / "runs" / "mine" / "records.jsonl")
    assert [record.status for record in records] == ["done"] * 3
    assert "data: train 80 rows, validation 20 rows (there is one split" in done.stderr
    assert "labels of train: 1 1" in done.stderr
    assert {record.labels["task"] for record in records} == {"own"}
    page = (tmp_path / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "This run goes on" not in page and "was not written" not in done.stderr
