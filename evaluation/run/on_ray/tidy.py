"""Tidying up after a local cluster: its processes, known by their session, and its folder."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from fedbert.disk.temporary import temporary_folder
from fedbert.disk.writer import claimed, sweep

ROOM = 40
"""Bytes of a folder in which the addresses of Ray's sockets have room."""
PLACE = Path("/tmp")
"""Where a cluster's folder lies if there is no room in that of temporary files."""
SHORT = "r"
"""Name of a cluster's folder in one that was made for it alone."""
LOOK = 0.5
"""Seconds between two tries."""
TIMES = 20
"""How often a folder is removed before it is left to the next command."""


def cluster_folder() -> Path:
    """Return a new private folder for a cluster's files, whose sockets have room in it."""
    folder = temporary_folder() / f"r{secrets.token_hex(2)}"
    if len(os.fsencode(folder)) <= ROOM:
        folder.mkdir(mode=0o700)
        return folder
    inner = claimed(PLACE / "f")[0] / SHORT  # of which Ray gives everybody leave
    inner.mkdir(mode=0o700)
    return inner


def sweep_stranded() -> None:
    """Take away what killed commands have left, whether or not this one starts a cluster."""
    temporary_folder()  # sweeps the place where it is made
    sweep(PLACE)


def clear(folder: Path) -> None:
    """Remove a cluster's folder, and the private one around it where that was made for it alone.

    Processes that are about to end may write into it once more.
    """
    for _ in range(TIMES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(LOOK)
    if folder.name == SHORT:
        with suppress(OSError):
            folder.parent.rmdir()


def end_driver(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """End the leader of a session, which has so long to do so by itself, and all that it started.

    A server of Ray ends with it, workers some seconds after, and agents live on for longer, with
    another parent. Until the leader is waited for, its number is nobody else's.
    """
    if process.returncode is not None:
        return
    if sys.platform == "linux":
        deadline, how = time.monotonic() + seconds, os.WEXITED | os.WNOHANG | os.WNOWAIT
        while time.monotonic() < deadline and os.waitid(os.P_PID, process.pid, how) is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)  # a living one could start more
        end_session(process.pid)
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
    process.wait()


def end_session(leader: int) -> None:
    """Kill every process of a session but its leader: there is nothing to tidy up but files."""
    for _ in range(TIMES):
        found = living(leader)
        for each in found:
            with suppress(OSError):
                os.kill(each, signal.SIGKILL)
        if not found:
            return
        time.sleep(LOOK / 10)


def living(leader: int) -> list[int]:
    """Return the processes of a session but its leader; none elsewhere than on Linux."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session, *_ = each.read_text().rpartition(")")[2].split()
            if int(session) == leader and state not in "ZX" and int(each.parent.name) != leader:
                found.append(int(each.parent.name))
    return found
