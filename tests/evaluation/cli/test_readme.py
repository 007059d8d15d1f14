"""The grid of one's own that README prints runs as it stands, on CSV files."""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from reports.records import read_records

ROWS = 64
GRID = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^fedbert-eval (privacy-utility .+)$", re.MULTILINE)


def test_the_first_grid_of_ones_own_runs_on_csv_files(
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
    (tmp_path / "my-data").mkdir()
    for name in ("train", "validation"):
        with (tmp_path / "my-data" / f"{name}.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["sentence", "label"])
            lines.writerows(
                [f"a {'fine' if i % 2 else 'poor'} film, number {i}", i % 2] for i in range(ROWS)
            )
    done = here(*command.replace("--workers 2", "--workers 1").split())
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_records(tmp_path / "runs" / "mine" / "records.jsonl")
    assert [record.status for record in records] == ["done"] * 3
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()
