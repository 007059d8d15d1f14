"""Tidying up after a cluster: by session, whoever its processes' parents are, and by folder."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.run.on_ray.tidy import PLACE, ROOM, cluster_folder, end_driver, living
from fedbert.disk import temporary

ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@linux
def test_a_driver_that_is_gone_takes_along_what_it_left_to_another_parent() -> None:
    """As the agents of Ray, which live on for many seconds after their raylet."""
    script = "sleep 600 >/dev/null & setsid sleep 600 >/dev/null & echo $!; wait $$ 2>/dev/null"
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", script], stdout=pipe, start_new_session=True) as leader:
        assert leader.stdout is not None
        other = int(leader.stdout.readline())  # in a session of its own: not ours to end
        while os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT) is None:
            pass
        assert len(living(leader.pid)) == 1
        end_driver(leader, 5.0)
        assert living(leader.pid) == [] and leader.returncode is not None
        os.kill(other, 9)
        end_driver(leader, 5.0)  # its number may be another's by now: nothing is done


@linux
def test_a_driver_that_does_not_end_is_ended() -> None:
    script = "sleep 600 & wait"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True) as leader:
        end_driver(leader, 0.0)
        assert leader.returncode == -9 and living(leader.pid) == []


@ray
def test_a_command_sweeps_what_a_killed_one_stranded_though_it_starts_no_cluster(
    tmp_path: Path,
) -> None:
    """All cells may be there already: nobody after it would come."""
    name = f".f.{os.urandom(6).hex()}.fedbert-tmp"
    stranded = tmp_path / name, PLACE / name
    for folder in stranded:
        (folder / "r" / "logs").mkdir(parents=True)
    code = "from evaluation.run.on_ray.engine import Ray, RaySettings; Ray(RaySettings())"
    own = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code], env=own, check=True)
    assert not any(folder.exists() for folder in stranded) and not list(tmp_path.iterdir())


def test_a_folder_of_a_cluster_leaves_room_for_the_names_of_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * ROOM)
    deep.mkdir()
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(deep))
    temporary.temporary_folder.cache_clear()
    folder = cluster_folder()
    try:
        assert len(os.fsencode(folder)) <= ROOM and folder.stat().st_mode & 0o077 == 0
    finally:
        folder.rmdir()
        folder.parent.rmdir()
        temporary.temporary_folder.cache_clear()
