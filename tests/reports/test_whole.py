"""Files written whole or not at all."""

import os
from pathlib import Path

import pytest

from reports.whole import whole, write_whole


def test_content_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file.json"
    for content in (b"first", b"second, longer"):
        assert write_whole(path, content) == path and path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("error", [RuntimeError("full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_content_and_no_draft(tmp_path: Path, error: BaseException) -> None:
    path = write_whole(tmp_path / "file", b"old")
    with pytest.raises(type(error)), whole(path) as draft:
        draft.write_bytes(b"ha")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_nobody_sees_half_of_it_and_two_writers_do_not_share_a_draft(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", b"old")
    with whole(path) as draft:
        draft.write_bytes(b"new")
        assert path.read_bytes() == b"old" and str(os.getpid()) in draft.name
        assert draft.parent == path.parent  # another file system could not rename
    assert path.read_bytes() == b"new"


def test_product_code_replaces_files_in_one_place_alone() -> None:
    """But for the checkpoint, which commits a directory."""
    homes = [Path(name) for name in ("fedbert", "privacy", "attacks", "evaluation", "reports")]
    found = {
        str(path)
        for home in homes
        for path in home.rglob("*.py")
        if "os.replace" in (text := path.read_text()) or "os.rename" in text
    }
    assert found == {"reports/whole.py", "fedbert/checkpoint.py"}
