"""Names of runs stay one folder below `runs/`."""

from pathlib import Path

import pytest

from evaluation.grid.parse import grid_from, read_grid
from evaluation.grid.run_name import run_name
from fedbert.errors import InputError

BAD = ("", ".", "..", "../x", "a/b", "/etc", "a\\b", "C:\\x", "C:", "~", "~root", "-rf", ".hidden",
       "x.", " x", "x ", "a\nb", "a\x1b[2Jb", "a\u202eb", "con", "NUL.txt", "com1", "plots",
       "Plots", "a\x00b", "x" * 101, "\u00e9" * 51, "a*b")  # fmt: skip
GOOD = ("mine", "glue, 3 seeds", "a..b", "v1.2", "K\u00fcche", "console", "x" * 100)


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused_wherever_they_come_from(name: str) -> None:
    with pytest.raises(InputError, match=r"here: expected a name for one folder below runs/"):
        run_name(name, "here")
    if name:
        with pytest.raises(InputError, match="one folder below runs/"):
            grid_from({"name": name, "tasks": ["sst2"]}, "here", "file")
        with pytest.raises(InputError, match="one folder below runs/"):
            grid_from({"tasks": ["sst2"]}, "here", name)


@pytest.mark.parametrize("name", GOOD)
def test_names_of_folders_pass(name: str) -> None:
    assert run_name(name, "here") == name
    path = Path("runs") / name
    assert path.parent == Path("runs") and path.name == name


def test_a_file_lends_its_name(small_grid: Path) -> None:
    other = small_grid.with_name("other.toml")
    other.write_text(small_grid.read_text().replace('name = "small"\n', "", 1))
    assert read_grid(other).name == "other"
