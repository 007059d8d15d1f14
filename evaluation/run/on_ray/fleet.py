"""Fleet on Ray: the server and groups of clients of one training, each in a process of its own."""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from evaluation.run.on_ray.driver import STORE
from evaluation.run.on_ray.engine import ALONE, LOCAL, require_ray
from evaluation.run.on_ray.host import PartyHost
from evaluation.run.on_ray.tidy import clear, cluster_folder, sweep_stranded
from fedbert.errors import InputError
from fedbert.receiving import RefusedError
from fedbert.round import SERVER

TOKEN = "RAY_AUTH_TOKEN"
ROOMY = 16 * STORE
"""Bytes of a local cluster's object store, where parts of models lie while they are sent."""


class RayFleet:
    """Parties in actors: the server in one, clients in groups in others; messages by reference.

    Every message still passes the trainer's channel. Each party draws from generators of its own,
    so that the training is the one that it is in a single process. An actor that dies is an error:
    Ray does not start it again, since what its parties had learnt would be gone without a word.
    """

    def __init__(self, told: Mapping[str, Any], groups: int, address: str = LOCAL) -> None:
        """Start or join a cluster with the server and so many groups of clients.

        told: as for `evaluation.run.on_ray.host.makers_of`; "data_sha256": what hosts must find.

        Raises:
            InputError: where Ray is not installed, or a host finds other data.
        """
        require_ray()
        sweep_stranded()
        self._folder = cluster_folder() if address == LOCAL else None
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if address == LOCAL:
            token = os.environ.get(TOKEN) or secrets.token_hex(32)
            os.environ.update(ALONE | {TOKEN: token})  # read when Ray is imported
        import ray

        self._ray, self._groups = ray, groups
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
        if address == LOCAL:
            quiet |= {
                "num_cpus": groups + 1,
                "num_gpus": None if str(told["config"]["training"]["device"]) != "cpu" else 0,
                "include_dashboard": False,
                "object_store_memory": ROOMY,
                "_temp_dir": str(self._folder),
            }
        ray.init(address=address, **quiet)
        actor = ray.remote(PartyHost).options(num_cpus=1, max_restarts=0, max_task_retries=0)
        self._hosts = [actor.remote() for _ in range(groups + 1)]
        asked = json.dumps(dict(told), allow_nan=False).encode()
        found = self._get([host.begin.remote(asked) for host in self._hosts], "a host of parties")
        if set(found) != {told["data_sha256"]}:
            self.close()
            raise InputError("expected the same data on every node, got others on one of them")

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Bring a party into being where it lives; it is made there, not by this factory."""
        self._answer(self._host(name).spawn.remote(name), name)

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Return what the party's method answers.

        Raises:
            InputError: if the process in which it lives has died.
        """
        return self._answer(self._host(name).call.remote(name, method, *arguments), name)

    def retire(self, name: str) -> None:
        """Let a party go; it may be spawned again."""
        self._answer(self._host(name).retire.remote(name), name)

    def close(self) -> None:
        """Let all parties go, and the cluster, where it was started for them."""
        self._ray.shutdown()
        if self._folder is not None:
            clear(self._folder)
            self._folder = None

    def _host(self, name: str) -> Any:
        if name == SERVER:
            return self._hosts[0]
        return self._hosts[1 + int(name.rpartition("-")[2]) % self._groups]

    def _answer(self, reference: Any, name: str) -> Any:
        what, made = self._get(reference, f"party {name}")
        if what == "refused":
            raise RefusedError(*made)
        if what == "input":
            raise InputError(made)
        if what == "value":
            raise ValueError(made)
        return made

    def _get(self, reference: Any, whose: str) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            told = f"expected an answer of {whose}, got none: the process in which it lives died"
            again = "the same command goes on from the last saved round"
            raise InputError(f"{told}; {again}") from None
