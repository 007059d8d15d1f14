"""Drawn faults: what is wrong with a client in a round, as a function of settings and seed alone.

They follow the seed under a label of their own, so that faults change no other draw, and a
training that goes on after a stop meets the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fedbert.config import Config
from fedbert.fault_settings import DRAWN, GOES, Kind
from fedbert.schedule import local_steps, participants
from fedbert.seeding import numpy_rng


@dataclass(frozen=True)
class Fault:
    """What is wrong with a client in one round.

    kind: None for nothing. steps: whole local steps before it is gone. delay: simulated seconds
    until its update comes. factor: of its change, where it is poisoned.
    """

    kind: Kind | None = None
    steps: int = 0
    delay: float = 0.0
    factor: float = 1.0


NONE = Fault()


def faults_of(config: Config, round_: int) -> Mapping[int, Fault]:
    """Return what is wrong with whom of a round's clients; nobody of whom nothing is."""
    asked = config.faults
    if not asked.to_json():
        return {}
    fixed = {each.client: each.kind for each in asked.clients}
    found = {}
    for client in participants(config, round_):
        fault = _fault(config, round_, client, fixed.get(client))
        if fault != NONE:
            found[client] = fault
    return found


def _fault(config: Config, round_: int, client: int, fixed: Kind | None) -> Fault:
    """Return what is wrong with one client; fixed: what always is."""
    asked, (_, when, how_late) = config.faults, _numbers(config, round_)[client]
    delay = -asked.mean_delay * float(np.log1p(-how_late))
    kind = fixed
    if fixed is None:
        kind = "absent" if _away(config, round_, client) else _kind(config, round_, client)
        if kind is None and asked.deadline is not None and delay > asked.deadline:
            kind = "late"
    if kind == "late" and asked.deadline is not None:
        delay = max(delay, float(np.nextafter(asked.deadline, np.inf)))
    factor = asked.poison_factor if kind == "poisoned" else 1.0
    return Fault(kind, int(when * local_steps(config)), delay, factor)


def _kind(config: Config, round_: int, client: int) -> Kind | None:
    """Return the fault that is drawn for a client's turn."""
    edges = np.cumsum(config.faults.shares)
    place = int(np.searchsorted(edges, _numbers(config, round_)[client, 0], side="right"))
    return DRAWN[place] if place < len(DRAWN) else None


def _away(config: Config, round_: int, client: int) -> bool:
    """Return whether a client went in a round before this one, and is not back yet."""
    first = max(0, round_ - config.faults.away + 1)
    return any(
        client in participants(config, before) and _kind(config, before, client) in GOES
        for before in range(first, round_)
    )


def _numbers(config: Config, round_: int) -> np.ndarray:
    return _drawn(config.seed, config.data.clients, round_)


@lru_cache(maxsize=32)
def _drawn(seed: int, clients: int, round_: int) -> np.ndarray:
    """Return three numbers from 0 to 1 for every client [client, 3]."""
    return numpy_rng(seed, "faults", round_).random((clients, 3))
