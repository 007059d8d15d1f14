"""Engine for cells on Ray: the command's own side, which needs neither Ray nor torch itself."""

import importlib.util
import itertools
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pipe, connection, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evaluation.run.attempts import TRIES, Answer, attempts
from evaluation.run.changes import Known
from evaluation.run.needed import NEEDED
from evaluation.run.on_ray.driver import PATIENCE
from evaluation.run.on_ray.payload import asked, unpacked
from evaluation.run.on_ray.tidy import clear, cluster_folder, end_driver, sweep_stranded
from evaluation.run.workers import Workers
from fedbert.errors import InputError

if TYPE_CHECKING:
    from evaluation.grid.spec import Cell, Grid
    from evaluation.run.outcome import Outcome

T = TypeVar("T")

LOCAL, AUTO = "local", "auto"
START = 120
"""Seconds that a cluster has to start or to be joined."""
HOW = 'pip install "fedbert-privacy[ray]"'
ALONE = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else servers listen on every interface
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_DASHBOARD_AGENT_CHECK_PARENT_INTERVAL_S": "1",  # five of these, and they end
    "RAY_RUNTIME_ENV_AGENT_CHECK_PARENT_INTERVAL_S": "1",
    "RAY_worker_niceness": "0",  # as of other processes: beside them, cells would hardly run
}
"""Environment of a local cluster: loopback alone, and nobody without its token."""


@dataclass(frozen=True)
class RaySettings:
    """Where cells run. address: "local" (a cluster of this machine, for this command), "auto" (the
    one that is there), or HOST:PORT.

    workers: how many cells side by side; None: as many as the cluster has room for. cpus, gpus:
    what each asks for. needed: modules that a worker imports first.
    """

    address: str = LOCAL
    workers: int | None = 1
    cpus: float = 1.0
    gpus: float = 0.0
    needed: tuple[str, ...] = NEEDED


class Ray:
    """Cells side by side, in actors of a Ray cluster.

    What is sent is a cell's specification and the hash of its data; records come back, and this
    process alone writes them. A worker, a node or the driver of Ray that dies costs the cells that
    it had at work: each is begun again, as by `Workers`.
    """

    def __init__(self, settings: RaySettings) -> None:
        """Use a cluster; nothing is started yet.

        Raises:
            InputError: where Ray is not installed.
        """
        require_ray()
        sweep_stranded()
        self.settings, self._numbers = settings, itertools.count()
        self._data: dict[object, str] = {}
        self._driver: _Driver | None = None

    def begin(self) -> None:
        """Have the cluster start or be joined, while this process reads a grid."""
        self._driver = self._driver or _Driver(self.settings)

    def call(self, function: "Callable[[Grid], T]", grid: "Grid") -> T:
        """Return what it returns in a process of this machine; it keeps what it says of data."""
        near = Workers(1)
        found = near.call(function, grid)
        list(near.run(lambda _: None, ()))  # type: ignore[arg-type, return-value]
        if isinstance(found, Known):
            self._data |= {_inputs(c): found.data[c.id] for c in grid.cells if c.id in found.data}
        return found

    def run(
        self,
        function: "Callable[[Cell], Outcome]",
        cells: "Sequence[Cell]",
        limit: float | None = None,
    ) -> "Iterator[tuple[Cell, Outcome]]":
        """Yield every cell with its outcome; limit: seconds of a cell, from when it is begun."""
        if cells:
            self._started()
        yield from attempts(self, [], function, cells, limit)

    @property
    def size(self) -> int:
        """How many work side by side."""
        return self.settings.workers or max(1, self._started().room or 0)

    def hire(self) -> "_RayWorker":
        """Return a new worker; it waits for room by itself."""
        return _RayWorker(self._started(), next(self._numbers), self._data)

    def ready(self, workers: "list[_RayWorker]", limit: float | None) -> "list[_RayWorker]":
        """Return those that have answered, died or are beyond the limit; wait for one."""
        while True:
            found = [each for each in workers if each.heard or _late(each, limit)]
            if found:
                return found
            left = None if limit is None else limit - max(each.seconds for each in workers)
            workers[0].driver.hear({each.number: each for each in workers}, left)

    def _started(self) -> "_Driver":
        """Return the driver, started again where it has died, or a server of its cluster."""
        why = ""
        for _ in range(TRIES):
            driver = self._driver = self._driver or _Driver(self.settings)
            if driver.serves():
                return driver
            why, self._driver = driver.why or "a driver that died", None
        raise InputError(f"expected Ray to start, got {why}, {TRIES} times")


class _Driver:
    """The process that speaks to Ray; everything that it held is gone once it has died."""

    def __init__(self, settings: RaySettings) -> None:
        local = settings.address == LOCAL
        self.folder = cluster_folder() if local else None
        told = {
            "address": settings.address,
            "workers": settings.workers or os.cpu_count() or 1,
            "cpus": settings.cpus,
            "gpus": settings.gpus,
            "needed": settings.needed,
            "folder": None if self.folder is None else str(self.folder),
        }
        environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
        if local:
            environment |= ALONE | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.pipe, theirs = Pipe()
        self.room: int | None = None
        self.why = ""
        self.gone = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.driver", str(theirs.fileno()), json.dumps(told)],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process alone
        )
        theirs.close()
        util.Finalize(self, _end, args=(self.pipe, self.process, self.folder), exitpriority=0)

    def serves(self) -> bool:
        """Return whether it is there; wait for it to start.

        Raises:
            InputError: for what it says of a cluster that it cannot have.
        """
        deadline = time.monotonic() + START
        while self.room is None and not self.gone:
            self.hear({}, deadline - time.monotonic())
            if time.monotonic() >= deadline:
                raise InputError(f"expected Ray within {START} s, got none")
        return not self.gone

    def tell(self, do: str, worker: int, work: bytes | None = None) -> None:
        """Ask for something; whether it is there shows in what it tells."""
        try:
            more = {} if work is None else {"work": len(work)}
            self.pipe.send_bytes(json.dumps({"do": do, "worker": worker, **more}).encode())
            if work is not None:
                self.pipe.send_bytes(work)
        except OSError:
            self.gone = True

    def hear(self, workers: "dict[int, _RayWorker]", seconds: float | None) -> None:
        """Hear one thing, or wait so long for it; those that it concerns hear it."""
        try:
            if self.gone or not connection.wait([self.pipe], timeout=seconds):
                pass
            else:
                told = json.loads(self.pipe.recv_bytes())
                more = self.pipe.recv_bytes() if told["what"] == "answer" else None
                self._heard(told, workers.get(told.get("worker")), more)
        except (EOFError, OSError):
            self.gone = True
        if self.gone:
            for each in workers.values():
                each.fate = each.fate or "the driver of Ray died before the cell ended"
            _end(self.pipe, self.process, self.folder)

    def _heard(self, told: dict[str, Any], worker: "_RayWorker | None", more: bytes | None) -> None:
        if told["what"] in ("refused", "failed"):
            self.why = " ".join(told["text"].split())
        if told["what"] == "refused":
            raise InputError(f"expected a Ray cluster, got {self.why}")
        if told["what"] == "ready":
            self.room = told["room"]
        elif worker is not None and told["what"] == "begun":
            worker.began = time.monotonic()
        elif worker is not None and told["what"] == "died":
            worker.fate = told["text"]
        elif worker is not None and more is not None:
            worker.answered = more


class _RayWorker:
    """An actor of the cluster, known by its number."""

    def __init__(self, driver: _Driver, number: int, data: dict[object, str]) -> None:
        self.driver, self.number, self.data = driver, number, data
        self.began: float | None = None
        self.answered: bytes | None = None
        self.fate = ""
        driver.tell("hire", number)

    @property
    def heard(self) -> bool:
        """Whether it has answered or died."""
        return self.answered is not None or bool(self.fate)

    @property
    def seconds(self) -> float:
        """How long it has been at work; 0 while it waits for room or is made ready."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    def give(self, function: Callable[[Any], Any], task: Any) -> None:
        """Give it a cell; whether it lives shows in its answer."""
        self.began = None if self.began is None else time.monotonic()
        self.driver.tell("give", self.number, asked(function, task, self.data.get(_inputs(task))))

    def answer(self) -> Answer | None:
        """Return its answer; None where there is none."""
        given, self.answered = self.answered, None
        return None if given is None else unpacked(given)

    def died(self) -> str:
        """Return how it came to its end, in words."""
        return self.fate

    def end(self) -> None:
        """End it, whatever it does."""
        self.driver.tell("end", self.number)


def require_ray() -> None:
    """Raise InputError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError(f"expected Ray, which is asked for, got an installation without: {HOW}")


def _late(worker: _RayWorker, limit: float | None) -> bool:
    return limit is not None and worker.seconds >= limit


def _inputs(cell: "Cell") -> object:
    """Return what says which examples a cell draws on."""
    return cell.config.model, replace(cell.config.data, partition="iid"), cell.config.seed


def _end(pipe: Any, process: "subprocess.Popen[bytes]", folder: Path | None) -> None:
    """End a driver: it ends its cluster once the pipe is closed."""
    pipe.close()
    end_driver(process, PATIENCE + 5)
    if folder is not None:
        clear(folder)
