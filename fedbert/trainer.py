"""Training loop: rounds of a strategy over a fleet of parties."""

import ctypes
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import Any

import torch

from fedbert.arrivals import Arrivals, arrivals, refuse_diverged
from fedbert.client import Client
from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.errors import InputError
from fedbert.faults.draws import faults_of
from fedbert.fleet import Fleet, InProcess
from fedbert.frozen import frozen_of
from fedbert.known_facts import facts_before
from fedbert.messages import Array, Channel, Listener, to_tensor
from fedbert.noise import noise_of
from fedbert.one_message.comparison import frame_of
from fedbert.one_message.facts import layout_of
from fedbert.one_message.run import from_values, one_message, values_of
from fedbert.precision import settled
from fedbert.prepare import Prepared, expected_batches, under, with_model
from fedbert.protect import MechanismGuard, MechanismLog, guards
from fedbert.receiving import Receipts, Receiver
from fedbert.roster import Roster
from fedbert.round import SERVER, Round, client_name
from fedbert.schedule import local_steps, participants, planned_releases, planned_steps
from fedbert.server import Server
from fedbert.setting_types import ONE_MESSAGE
from fedbert.split import SplitBert, duplicate
from fedbert.strategies import STRATEGIES
from privacy.defence import Defence, refuse
from privacy.mechanism import Identity
from privacy.randomness.source import NoiseSource

RECEIPTS = "receipts"
"""Under this name what became of the updates lies in a state, where anything was amiss."""


@dataclass(frozen=True)
class State:
    """Everything that the rounds after `round` depend on.

    round: how many rounds are done. values: global parameters by transformers' name.
    arrays: what the parties carry, "party:name". plain: the same for numbers and lists.
    """

    round: int
    values: dict[str, Array]
    arrays: dict[str, Array]
    plain: dict[str, Any]
    bytes: dict[str, int]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """A finished training: the released model and what happened on the way.

    losses: mean training loss of each round. releases: the most times that one example's A was
    sent. protection: the mechanisms' logs by place. state: where it ended; what the parties carry
    is in it only where `on_round` was given. receipts: what became of the clients' updates.
    """

    split: SplitBert
    losses: tuple[float, ...]
    bytes: dict[str, int]
    releases: int
    protection: dict[str, MechanismLog]
    state: State
    receipts: Receipts = field(default_factory=Receipts)


def train(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    *,
    listeners: Iterable[Listener] = (),
    start: State | None = None,
    on_round: Callable[[State], None] | None = None,
    fleet: Fleet | None = None,
    noise: NoiseSource | None = None,
) -> Trained:
    """Return the model trained under a defence; `prepared` stays as it is.

    listeners hear every message. start: continue after a saved round. on_round is called with the
    state after every round. noise: hides the records of this one training; None: as configured.

    Raises:
        InputError: for a defence that cannot act, no such device, a broken message, divergence.
    """
    check(config, defence)
    before, noise = prepared.split, noise or noise_of(config, prepared, defence)
    config, kept = settled(config, before.whole.config, None if start is None else start.plain)
    if config.training.strategy == ONE_MESSAGE:
        return _once(config, prepared, defence, listeners, start, on_round, noise, kept)
    split = duplicate(before, shared=before.client_names.values())  # parties make their own E, H
    prepared = under(with_model(prepared, split), defence, noise)
    roster = Roster(fleet or InProcess(), len(participants(config, 0)) == len(prepared.clients))
    posted = guards(defence, noise.under("channel"))
    channel = Channel(listeners, posted, arrivals(split, config, defence.training))
    spawn_parties(roster, config, prepared, defence, noise)
    state, first, losses = start, 0, list[float]()
    if start is not None:
        first, losses = start.round, list(start.losses)
        _restore(roster, prepared, start)
        _rewind(channel, posted, start)
    strategy, private = STRATEGIES[config.training.strategy], defence.training is not None
    steps, receiver = local_steps(config), receiver_of(config, defence, start)
    for number in range(first, config.training.rounds):
        who = participants(config, number)
        weights = tuple(_weight(prepared.clients[c], defence) for c in who)
        parties, wrong = (config, roster, channel, receiver), faults_of(config, number)
        strategy(Round(number, who, weights, steps, *parties, wrong, private))
        losses.append(_loss(roster, receiver, losses, defence.local_update))
        refuse_diverged(number + 1, losses, roster.call(SERVER, "values"))
        give_back_memory()
        if on_round is not None:
            state = _state(roster, prepared, number + 1, channel, losses)
            state.plain.update({"channel": _counted(posted)}, **kept, **_noted(receiver))
            on_round(state)
    if on_round is None:  # nobody resumes from it: spare the copies of the parties' moments
        values, rounds = roster.call(SERVER, "values"), config.training.rounds
        state = State(rounds, values, {}, {}, dict(channel.bytes), tuple(losses))
    if state is None:
        raise InputError("expected rounds left to train, got none")
    told = planned_releases(config, prepared), _logs(roster, prepared, posted), state
    roster.fleet.close()
    del prepared, split
    trained = duplicate(before)
    load_values(trained, state.values)
    return Trained(trained, tuple(losses), dict(channel.bytes), *told, receiver.receipts)


def _weight(data: ClientData, defence: Defence) -> int:
    """Return what a client's update weighs in the average: nothing is told beside local noise."""
    return 1 if defence.local_update else len(data.encoded)


def _once(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    listeners: Iterable[Listener],
    start: State | None,
    on_round: Callable[[State], None] | None,
    noise: NoiseSource,
    kept: dict[str, Any],
) -> Trained:
    """Return the model of a training by one message, which ends with its only exchange.

    kept: plain values of the state.
    """
    receiver = receiver_of(config, defence, start)
    log, channel = MechanismLog(), Channel(listeners, None, Arrivals(layout_of(config).width, {}))
    if start is not None:
        frame = frame_of(config, prepared.tokenizer)
        split = from_values(config, prepared.split, start.values, frame)
    else:
        under_way = under(prepared, defence, noise)
        split, log = one_message(config, under_way, defence, channel, noise, receiver)
    rounds, sent = config.training.rounds, dict(channel.bytes)
    state = start or State(rounds, values_of(split), {}, kept | _noted(receiver), sent, ())
    if start is None and on_round is not None:
        on_round(state)
    logs = {"smashed": log}
    return Trained(split, (), dict(state.bytes), 1, logs, state, receiver.receipts)


def receiver_of(config: Config, defence: Defence, start: State | None = None) -> Receiver:
    """Return the receiving side of a training, which goes on where a saved one ended."""
    training, on_sum = config.training, not isinstance(defence.update, Identity)
    stop = training.below_quorum == "stop" or training.strategy == ONE_MESSAGE
    receiver = Receiver(training.quorum, stop, on_sum and not defence.local_update)
    if start is not None and RECEIPTS in start.plain:
        receiver.receipts = Receipts.from_json(start.plain[RECEIPTS])
    return receiver


def _noted(receiver: Receiver) -> dict[str, Any]:
    """Return the receipts as plain values; nothing where nothing was amiss."""
    receipts = receiver.receipts
    return {} if receipts == Receipts() else {RECEIPTS: receipts.to_json()}


def _loss(roster: Roster, receiver: Receiver, losses: list[float], local: bool) -> float:
    """Return the mean loss of those whose update was taken; else the last one, or that of all.

    Raises:
        InputError: nobody did, or no loss of theirs is a number.
    """
    found = {c: roster.loss(client_name(c)) for c in receiver.who if receiver.has(c)}
    for client in (c for c, loss in found.items() if local and not isfinite(loss)):
        receiver.diverged(client)  # under its own noise nothing else may follow from it
    each = [loss for loss in found.values() if isfinite(loss) or not local]
    each = each or losses[-1:] or list(filter(isfinite, roster.every_loss()))
    if not each:
        raise InputError("round 1: expected an update of what was learnt, got none")
    return sum(each) / len(each)


def load_values(split: SplitBert, values: dict[str, Array]) -> None:
    """Set every parameter of a split model from global values."""
    with torch.no_grad():
        for name, parameter in split.whole.named_parameters():
            if name in values:
                parameter.copy_(to_tensor(values[name]))


def give_back_memory() -> None:
    """Return freed memory to the system: batches of many shapes leave glibc's heap in pieces."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def check(config: Config, defence: Defence) -> None:
    """Raise InputError unless the defence can act in this training and the device is there."""
    reason = refuse(defence, facts_before(config))
    if reason is not None:
        raise InputError(reason)
    device, precision = config.training.device, config.training.precision
    if defence.training is not None and device != "cpu" and precision in ("bf16", "auto"):
        raise InputError(
            "training: expected precision float32 or float64 with DP-SGD on another device than "
            f"the processor, where digits may depend on the batch, got precision={precision!r}"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        got = f"got device={device!r} without CUDA"
        raise InputError(f"training: expected a device that is there, {got}")


def spawn_parties(
    roster: Roster, config: Config, prepared: Prepared, defence: Defence, noise: NoiseSource
) -> None:
    """Say how each party is made, once it is asked, with noise of its own."""
    split = prepared.split
    with_body = config.training.strategy in ("centralised", "fedavg")
    own, expected = noise.under("server"), expected_batches(prepared)
    roster.spawn(SERVER, lambda: Server(split, config, defence, own, expected))
    steps, private = planned_steps(config), defence.training is not None
    frozen = frozen_of(config, split, prepared.clients, steps, private, prepared.store)
    for data in prepared.clients:
        own_noise = noise.under("client", data.client)
        factory = partial(Client, data, split, config, defence, with_body, own_noise, frozen)
        roster.spawn(client_name(data.client), factory)


def _state(
    roster: Roster, prepared: Prepared, number: int, channel: Channel, losses: list[float]
) -> State:
    """Return the state after a round."""
    arrays: dict[str, Array] = {}
    plain: dict[str, Any] = {}
    for party in [SERVER, *(client_name(d.client) for d in prepared.clients)]:
        held, plain[party] = roster.snapshot(party)
        arrays |= {f"{party}:{name}": value for name, value in held.items()}
    values = roster.call(SERVER, "values")
    return State(number, values, arrays, plain, dict(channel.bytes), tuple(losses))


def _restore(roster: Roster, prepared: Prepared, state: State) -> None:
    """Give the parties a saved state."""
    held: dict[str, dict[str, Array]] = {}
    for key, value in state.arrays.items():
        party, name = key.split(":", 1)
        held.setdefault(party, {})[name] = value
    roster.call(SERVER, "restore", state.values, held.get(SERVER, {}), state.plain[SERVER])
    for data in prepared.clients:
        party = client_name(data.client)
        roster.restore(party, held.get(party, {}), state.plain[party])


def _counted(posted: Mapping[str, MechanismGuard]) -> dict[str, Any]:
    """Return what the channel's guards have counted, as plain values."""
    return {kind: guard.log.to_json() for kind, guard in posted.items()}


def _rewind(channel: Channel, posted: Mapping[str, MechanismGuard], state: State) -> None:
    """Give the channel and its guards what they had counted at a saved state."""
    for kind, guard in posted.items():
        guard.log = MechanismLog.from_json(state.plain["channel"][kind])
    channel.bytes.update(state.bytes)


def _logs(
    roster: Roster, prepared: Prepared, posted: Mapping[str, MechanismGuard]
) -> dict[str, MechanismLog]:
    """Return the log of every mechanism that acted, on the channel or at a party."""
    found = {kind: guard.log for kind, guard in posted.items()}
    for party in [SERVER, *(client_name(d.client) for d in prepared.clients)]:
        for place, log in roster.report(party).items():
            found[place] = found.get(place, MechanismLog()) + log
    return found
