"""Driver of Ray, a process of its own: it starts or joins a cluster, and hands cells to workers.

The command that started it speaks to it through a pipe, in JSON and bytes. It ends with that
command, even a killed one; a cluster that it started ends with it. What Ray writes on the terminal
goes nowhere, and a crash of Ray costs the cells at work, not the command.
"""

import json
import os
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from evaluation.run.on_ray.tidy import clear, end_session
from evaluation.run.on_ray.worker import CellWorker

STORE = 128 * 2**20
"""Bytes of a local cluster's object store: cells are sent as JSON, answers are small."""
PATIENCE = 10
"""Seconds that Ray has to end, before it is ended."""
LOOK = 0.5
"""Seconds between two looks at the servers of a local cluster."""
SERVERS = ("raylet", "gcs_server")
GONE = ("node has died", "node was terminated", "NODE_TERMINATED")
MEMORY = ("OUT_OF_MEMORY", "OutOfMemory", "running low on memory")


def main() -> None:
    """Serve the command at the other end of the pipe that the first argument numbers."""
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    asked, events = json.loads(sys.argv[2]), SimpleQueue[Any]()
    heard = pipe, events, asked["folder"]
    threading.Thread(target=_listen, args=heard, daemon=True).start()
    if asked["folder"] is not None:
        threading.Thread(target=_watch, args=(asked["folder"],), daemon=True).start()
    try:
        import ray

        room = _joined(ray, asked)
        _tell(pipe, {"what": "ready", "room": room})
    except Exception as error:  # the command tells it in a line, or starts another driver
        again = asked["folder"] is not None and not isinstance(error, ValueError)
        what = "failed" if again else "refused"
        _tell(pipe, {"what": what, "text": f"{type(error).__name__}: {error}"})
    else:
        _Office(ray, pipe, events, asked).serve()
        if asked["folder"] is None:
            ray.shutdown()
    _tidy(asked["folder"])
    os._exit(0)  # threads of Ray have nothing left to do


def _joined(ray: Any, asked: dict[str, Any]) -> int:
    """Start or join a cluster; return how many cells it has room for at once."""
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if asked["address"] != "local":
        ray.init(address=asked["address"], **quiet)
        there = ray.cluster_resources()
        room = there.get("CPU", 0) / asked["cpus"]
        if asked["gpus"]:
            room = min(room, there.get("GPU", 0) / asked["gpus"])
        return int(room)
    ray.init(
        address="local",
        num_cpus=max(1, round(asked["workers"] * asked["cpus"] + 0.499)),
        num_gpus=None if asked["gpus"] else 0,
        include_dashboard=False,
        object_store_memory=STORE,
        _temp_dir=asked["folder"],
        **quiet,
    )
    if (found := ray.cluster_resources().get("GPU", 0)) < asked["gpus"]:
        raise ValueError(f"expected {asked['gpus']:g} GPUs for a cell, got {found:g}")
    return int(asked["workers"])


def _listen(pipe: "Connection[Any, Any]", events: "SimpleQueue[Any]", folder: str | None) -> None:
    """Pass on what is asked; once nobody is there to ask, see that this process ends."""
    try:
        while True:
            told = json.loads(pipe.recv_bytes())
            events.put((told["do"], told["worker"], pipe.recv_bytes() if "work" in told else None))
    except (EOFError, OSError):
        events.put(("close", 0, None))
        end = threading.Timer(PATIENCE, _give_up, (folder,))
        end.daemon = True
        end.start()


def _give_up(folder: str | None) -> None:
    """End at once, whatever Ray is doing, and all that was started here."""
    _tidy(folder)
    os._exit(1)


def _tidy(folder: str | None) -> None:
    """Leave nothing of a local cluster; folder: its files, None of a cluster of others."""
    if folder is not None:
        end_session(os.getpid())
        clear(Path(folder))


def _children(process: int) -> list[int]:
    """Return the processes that a process has started; none elsewhere than on Linux."""
    found: list[int] = []
    for each in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, each.read_text().split())
    return found


def _watch(folder: str) -> None:
    """End this process, and all that it started, once a server of its own cluster has died.

    Ray itself would wait for it for a long time, or for ever.
    """
    while True:
        time.sleep(LOOK)
        if any(map(_fallen, _children(os.getpid()))):
            _give_up(folder)


def _fallen(child: int) -> bool:
    """Return whether a process is a server of Ray that has ended."""
    try:
        name, _, rest = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name in SERVERS and rest.split()[0] in "ZX"


def _tell(pipe: "Connection[Any, Any]", told: dict[str, Any], more: bytes | None = None) -> None:
    try:
        pipe.send_bytes(json.dumps(told).encode())
        if more is not None:
            pipe.send_bytes(more)
    except OSError:
        return  # nobody is there: `_listen` hears it, too


class _Office:
    """Workers by number: actors that Ray does not start again by itself."""

    def __init__(self, ray: Any, pipe: Any, events: "SimpleQueue[Any]", asked: Any) -> None:
        self.ray, self.pipe, self.events, self.asked = ray, pipe, events, asked
        self.actors: dict[int, Any] = {}
        self.kind = ray.remote(CellWorker).options(
            num_cpus=asked["cpus"],
            num_gpus=asked["gpus"],
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=1,
        )

    def serve(self) -> None:
        """Do what is asked, and tell what becomes of it, until nobody is there to ask."""
        while True:
            what, worker, given = self.events.get()
            if what == "close":
                return
            if what == "hire":
                self.actors[worker] = self.kind.remote()
                self._await(self.actors[worker].begin.remote(self.asked["needed"]), worker)
            elif what == "give" and worker in self.actors:
                self._await(self.actors[worker].work.remote(given), worker)
            elif what == "end" and worker in self.actors:
                self.ray.kill(self.actors.pop(worker), no_restart=True)
            elif what == "heard" and worker in self.actors:
                self._heard(worker, given)

    def _await(self, reference: Any, worker: int) -> None:
        """Have it told here when something is done."""
        future = reference.future()
        future.add_done_callback(lambda done: self.events.put(("heard", worker, done)))

    def _heard(self, worker: int, done: Any) -> None:
        """Pass on an answer, that a worker is there, or that it died."""
        error = done.exception()
        if error is not None:
            _tell(self.pipe, {"what": "died", "worker": worker, "text": _fate(error)})
            return
        made = done.result()
        if isinstance(made, bytes):
            _tell(self.pipe, {"what": "answer", "worker": worker}, made)
        else:
            _tell(self.pipe, {"what": "begun", "worker": worker})


def _fate(error: BaseException) -> str:
    """Return how a worker came to its end, in words."""
    text = str(error)
    if any(each in text for each in MEMORY):
        return "Ray ended the worker, as memory ran out, before the cell ended"
    if any(each in text for each in GONE):
        return "the node of the worker died before the cell ended"
    if type(error).__name__ in ("ActorDiedError", "RayActorError", "ActorUnavailableError"):
        return "the worker process died before the cell ended"
    return f"the worker could not begin or answer ({text.strip().splitlines()[-1]})"


if __name__ == "__main__":
    main()
