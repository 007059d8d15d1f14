"""Files written whole or not at all, for their owner alone, and what a kill leaves of them."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedbert.disk.writer import SUFFIX, appending, sweep, whole, whole_folder, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def everybody() -> Iterator[None]:
    """The most open umask that a user may have."""
    before = os.umask(0)
    yield
    os.umask(before)


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
    with whole(path) as draft, whole(path) as other:
        draft.write_bytes(b"new")
        other.write_bytes(b"newer")
        assert path.read_bytes() == b"old" and draft != other
    assert path.read_bytes() == b"new"  # the outer block ended last


def test_what_is_written_is_its_owners_alone_from_its_first_byte_on(
    tmp_path: Path, everybody: None
) -> None:
    path = tmp_path / "run" / "scores" / "file"
    with whole(path) as draft:
        draft.touch()
        assert mode(draft) == 0o600 and mode(draft.parent) == 0o700
    with appending(tmp_path / "run" / "records") as file:
        file.write(b"line\n")
        assert mode(tmp_path / "run" / "records") == 0o600
    with whole_folder(tmp_path / "run" / "folder") as made:
        (made / "inner").mkdir()
        (made / "inner" / "file").write_bytes(b"x")
    found = {str(p.relative_to(tmp_path)): mode(p) for p in tmp_path.rglob("*")}
    assert found == {
        "run": 0o777, "run/scores": 0o700, "run/scores/file": 0o600, "run/records": 0o600,
        "run/folder": 0o700, "run/folder/inner": 0o700, "run/folder/inner/file": 0o600,
    }  # fmt: skip


def test_what_is_shared_follows_the_users_umask(tmp_path: Path, everybody: None) -> None:
    path = write_whole(tmp_path / "cards" / "audit.json", b"{}", shared=True)
    assert mode(path) == 0o666 and mode(path.parent) == 0o777


KILLED = """
import os, sys
from pathlib import Path
from fedbert.disk.writer import whole, whole_folder
place = Path(sys.argv[1])
if sys.argv[2] == "file":
    with whole(place / "samples.json") as draft:
        draft.write_text("private")
        (draft.parent / ".tmpLibrary").write_text("private")
        os.kill(os.getpid(), 9)
rename, calls = os.rename, []
def dies(*paths):
    rename(*paths)
    os.kill(os.getpid(), 9)
os.rename = dies
with whole_folder(place / "checkpoint") as draft:
    (draft / "manifest.json").write_text("new")
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_a_kill_leaves_is_swept_and_what_it_set_aside_is_put_back(
    tmp_path: Path, what: str
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "manifest.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), what], check=False)
    assert done.returncode == -9
    (left,) = [p for p in tmp_path.iterdir() if p.name.endswith(SUFFIX)]
    assert (tmp_path / "checkpoint").exists() is (what == "file")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
    assert (tmp_path / "checkpoint" / "manifest.json").read_text() == "old"
    assert not left.exists()


def test_the_draft_of_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    with whole(tmp_path / "file") as draft:
        draft.write_bytes(b"new")
        sweep(tmp_path, tmp_path / "nowhere")
        assert draft.read_bytes() == b"new"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_drafts_of_earlier_versions_are_swept_and_nothing_else_is(tmp_path: Path) -> None:
    left = (".samples.json.41.tmp", ".report.html.7.tmp", ".0a1b.npz.7.tmp")
    kept = (".env", ".notes.41.tmp", "samples.json.41.tmp", f".x.short{SUFFIX}", f"x{SUFFIX}")
    for name in (*left, *kept):
        (tmp_path / name).write_text("x")
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(kept)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 4 kB: what a full disk looks like to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_names_the_file_and_leaves_what_was_there(
    tmp_path: Path, small_disk: None
) -> None:
    path, records = tmp_path / "samples.json", tmp_path / "records.jsonl"
    write_whole(path, b"old")
    with pytest.raises(OSError) as error:
        write_whole(path, bytes(10_000))
    assert error.value.filename == str(path) and path.read_bytes() == b"old"
    with pytest.raises(OSError) as error, appending(records) as file:
        file.write(bytes(10_000))
    assert error.value.filename == str(records)
    assert {p.name for p in tmp_path.iterdir()} == {"samples.json", "records.jsonl"}


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    with pytest.raises(OSError) as error:
        write_whole(tmp_path / "file" / "inner", b"x")
    assert error.value.filename == str(tmp_path / "file")


WRITES = (
    "os.replace", "os.rename", ".write_text(", ".write_bytes(", "save_file(", "os.makedirs",
    '.open("w', '.open("a', ".mkdir(", "tempfile", ".chmod(", "savez",
)  # fmt: skip


def test_product_code_writes_files_by_the_one_writer_alone() -> None:
    """Whoever else names a way to write does it within a draft that the writer gave it."""
    homes = [Path(name) for name in ("fedbert", "privacy", "attacks", "evaluation", "reports")]
    found = {
        str(path): "fedbert.disk.writer" in text or "fedbert.disk.temporary" in text
        for home in homes
        for path in home.rglob("*.py")
        if path.parent != Path("fedbert/disk")
        and any(each in (text := path.read_text()) for each in WRITES)
    }
    assert found == {
        "fedbert/export.py": True,
        "fedbert/checkpoint.py": True,  # and recovers what versions before left
        "fedbert/one_message/files.py": False,  # into the checkpoint's draft
        "evaluation/adversary/shadow_models.py": True,
        "evaluation/run/forking.py": True,  # where sockets go
        "evaluation/run/foretold.py": True,  # the folder of prices
        "evaluation/run/on_ray/tidy.py": True,  # where a cluster's files go
        "reports/scores.py": True,
    }
