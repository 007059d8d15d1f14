"""The documents fit the code: the table of files is current, first lines can be searched."""

import json
import re
from pathlib import Path

import pytest

from tests import architecture, keys, parameters

APHORISMS = re.compile(
    r"(?:an?|the|what|how|who|whom|which|where|when|whether|why|from|to|at|is|was|are|can|does|"
    r"one|some|several|every|everything|see|look|cut|ask|\w+ing (?:the|a|an|every|one))(?![-\w])",
    re.IGNORECASE,
)
MODULES = architecture.modules()


def test_the_table_of_files_is_current() -> None:
    text = architecture.DOCUMENT.read_text(encoding="utf-8")
    again = "docs/architecture.md is not current: run `python -m tests.architecture`"
    assert text == architecture.document(text), again


def test_every_module_begins_with_a_noun_to_search_for() -> None:
    lines = {path: architecture.first_line(architecture.ROOT / path) for path in MODULES}
    for path, line in lines.items():
        assert line.endswith((".", "?")), f"{path}: expected one whole sentence, got {line!r}"
        assert not APHORISMS.match(line), f"{path}: expected a noun first, got {line!r}"


BLOCK = re.compile(r"^```(python|text|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["docs/python.md"])
def test_the_python_of_the_documents_runs_and_prints_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(name).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 10)  # else most of the time
    printed, names = "", {"__name__": "documents"}
    for language, block in BLOCK.findall(text):
        if language == "python":
            capsys.readouterr()
            exec(compile(block, name, "exec"), names)
            printed = capsys.readouterr().out
        elif language == "text":
            assert printed == block


def test_the_parameters_are_current() -> None:
    assert parameters.PATH.read_text(encoding="utf-8") == parameters.document(), (
        "run python -m tests.parameters"
    )


def test_the_readme_is_short() -> None:
    assert len(Path("README.md").read_bytes()) <= 8192


DOCUMENTS = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").rglob("*.md"))]
NAMED = (*architecture.PACKAGES, "tests", "docs")
THERE = [f"/{path}" for name in NAMED for path in Path(name).rglob("*.*")]
THERE += [f"/{path}" for path in Path().glob("*.*")]
ROOMS = "|".join(NAMED)
PATHS = re.compile(rf"`((?:{ROOMS})(?:/[a-z0-9_.-]+)+)/?`|`([a-z0-9_/]+\.py)`")
LINKS = re.compile(r"\]\((?!https?:|#)([^)#]+)")
DOTTED = re.compile(rf"`((?:{'|'.join(architecture.PACKAGES)})(?:\.(?!py`)\w+)+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_place_that_a_document_names_exists(document: Path) -> None:
    """Paths from the root, or ends of them; links from the document; modules, what is in them."""
    text = document.read_text(encoding="utf-8")
    for whole, end in PATHS.findall(text):
        found = Path(whole).exists() if whole else any(each.endswith(f"/{end}") for each in THERE)
        assert found, f"{document}: no {whole or end}"
    for link in LINKS.findall(text):
        assert (document.parent / link).exists(), f"{document}: no {link}"
    for name in DOTTED.findall(text):
        parts, at = name.split("."), Path()
        while parts and (at / parts[0]).is_dir():
            at /= parts.pop(0)
        if parts and (at / parts[0]).with_suffix(".py").is_file():
            at = (at / parts.pop(0)).with_suffix(".py")
            assert all(part in at.read_text(encoding="utf-8") for part in parts), (
                f"{document}: {name}"
            )
        else:
            assert not parts, f"{document}: no {name}"


def test_the_keys_of_a_grid_are_current_and_each_is_explained() -> None:
    """In the document and in what `list` reads, made anew from the classes."""
    again = "run python -m tests.keys"
    assert keys.PATH.read_text(encoding="utf-8") == keys.document(), again
    assert keys.LISTED.read_text(encoding="utf-8") == keys.written(), again
    assert keys.SIGNATURES.read_text(encoding="utf-8") == keys.signed(), again
    assert json.loads(keys.written()) == keys.listing()
    for row in keys.every_key():
        assert all(row[part] for part in ("type", "default", "what")), row
