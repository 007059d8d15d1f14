"""What is built and shipped: five top-level packages, a template, a grid, no third-party text."""

import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

PACKAGES = {"fedbert", "privacy", "attacks", "evaluation", "reports"}


def test_the_wheel_made_from_the_sdist_holds_the_five_packages_and_their_data(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
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
