"""What is built and shipped: six top-level packages, a template, a grid, no third-party text."""

import importlib
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"fedbert", "privacy", "attacks", "evaluation", "reports"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that is made from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_wheel_holds_the_six_packages_and_their_data(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    top = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert top == PACKAGES
    for needed in ("reports/templates/page.html.j2", "evaluation/grids/default.toml"):
        assert needed in names
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert archive.read("reports/glossary.md") == Path("docs/glossary.md").read_bytes()
    (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
    assert archive.read(licence) == Path("LICENSE").read_bytes()


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked, from another directory: help, the list, and the default grid from the package."""
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        "import sys\n"
        "from evaluation.cli import main\n"
        "from evaluation.grid.parse import default_grid, read_grid\n"
        "path = default_grid()\n"
        "print(main.__file__, path, len(read_grid(path).cells), sep='\\n')\n"
        "for arguments in (['list'], ['--help']):\n"
        "    sys.argv = ['fedbert-eval', *arguments]\n"
        "    try:\n        main.main()\n"
        "    except SystemExit as end:\n        print('code', end.code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) > 3 and lines[0].startswith(str(unpacked)), done.stdout + done.stderr
    assert Path(lines[1]) == unpacked / "evaluation/grids/default.toml" and int(lines[2]) > 0
    assert len([line for line in lines if line in ("code None", "code 0")]) == 2, done.stderr
    assert "nearest_token" in done.stdout and "Usage: fedbert-eval" in done.stdout


def test_init_files_hold_a_docstring_only() -> None:
    for path in (p for name in PACKAGES for p in Path(name).rglob("__init__.py")):
        text = path.read_text().strip()
        assert text.startswith('"""') and text.endswith('"""') and text.count('"""') == 2, path


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["demo"], *extras["dev"]]
    lines = Path("constraints.txt").read_text().lower().split()
    pinned = {line.split("==")[0].replace("_", "-") for line in lines}
    for requirement in wanted:
        name = requirement.split(">")[0].split("=")[0].split("<")[0].strip().lower()
        assert name in pinned, name


def test_the_benchmarks_fit_the_code_that_they_measure() -> None:
    for path in sorted(Path("benchmarks").glob("[!_]*.py")):
        importlib.import_module(f"benchmarks.{path.stem}")
