"""Strategies: what happens in one round. All parties are reached through the fleet."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from fedbert.messages import Channel, ClipFactors, ExampleNorms, HiddenGradient, SmashedGradient
from fedbert.round import SERVER, Round, client_name


def centralised(round_: Round) -> None:
    """One party holds all data and the whole model. Nothing is sent to anybody."""
    silent = replace(round_, channel=Channel())
    fedavg(silent)


def fedavg(round_: Round) -> None:
    """Every client trains a full copy; everything is averaged (McMahan et al. 2017)."""
    round_.open(with_body=True)
    for client in round_.here:
        round_.begin(client, with_body=True)
        round_.train(client)
        update = round_.update(client)
        if update is not None:
            round_.fleet.call(SERVER, "collect", update)
    round_.close()


def parallel(round_: Round) -> None:
    """One copy of T per client at the server; E, H and the copies are averaged each round."""
    fleet = round_.fleet
    round_.open(with_body=False)
    size = fleet.call(SERVER, "capacity")
    for group in _groups(round_, size):
        for client in group:
            round_.begin(client, with_body=False)
        fleet.call(SERVER, "open_group", group)
        for rate in round_.turn(group):
            split_step(round_, group, rate)
        for client in group:  # one at a time: an update may be as large as the model
            update = round_.update(client)
            if update is not None:
                fleet.call(SERVER, "take", update)
        fleet.call(SERVER, "close_group")
    round_.close()


def sequential(round_: Round) -> None:
    """One T at the server, updated by the clients in turn; E and H are handed on or averaged.

    A turn whose update is not taken is undone: T, too, is as the client before left it.
    """
    fleet = round_.fleet
    hand_on = round_.config.training.client_parts == "hand_on"
    round_.open(with_body=False)
    for client in round_.here:
        round_.begin(client, with_body=False)
        fleet.call(SERVER, "open_turn", client)
        for rate in round_.turn((client,)):
            split_step(round_, (client,), rate)
        update = round_.update(client)
        if update is None:
            fleet.call(SERVER, "undo_turn")
        else:
            fleet.call(SERVER, "close_turn", update, hand_on)
    round_.close()


STRATEGIES: dict[str, Callable[[Round], None]] = {
    "centralised": centralised,
    "fedavg": fedavg,
    "parallel": parallel,
    "sequential": sequential,
}


def split_step(round_: Round, group: Sequence[int], rate: float) -> None:
    """Run one training step of a group: A up, Z down, G_Z up, G_A down."""
    fleet = round_.fleet
    smashed = [round_.up(c, "forward", round_.number) for c in group]
    every = zip(group, fleet.call(SERVER, "forward", smashed), strict=True)
    hidden = [round_.down(c, z) for c, z in every]
    gradients = [round_.up(c, "head", z) for c, z in zip(group, hidden, strict=True)]
    made = fleet.call(SERVER, "backward", gradients, rate)
    answers = [round_.down(c, a) for c, a in zip(group, made, strict=False)]
    for index, client in enumerate(group):
        answer = answers[index] if answers else None
        if round_.private:
            clipped_step(round_, client, answer, gradients[index], rate)
        else:
            round_.do(client, "finish", answer, rate)


def clipped_step(
    round_: Round,
    client: int,
    answer: SmashedGradient | None,
    gradient: HiddenGradient,
    rate: float,
) -> None:
    """End a step under DP-SGD: norms of T's gradients down, clip factors up, both sides update."""
    fleet, send = round_.fleet, round_.channel.send
    norms: ExampleNorms = send(fleet.call(SERVER, "norms", gradient))
    factors: ClipFactors = round_.up(client, "factors", answer, norms)
    fleet.call(SERVER, "apply", factors, rate)
    round_.do(client, "apply", rate)


def _groups(round_: Round, size: int) -> list[tuple[int, ...]]:
    """Return those who are there in groups whose copies of T run stacked.

    Copies that took different numbers of steps do not share a group (their optimisers' bias
    corrections differ), which can only happen when clients are sampled and keep their moments.
    """
    training = round_.config.training
    alike: dict[int, list[int]] = {}
    for client in round_.here:
        steps = 0
        if training.optimizer_state == "keep":
            steps = round_.fleet.steps(client_name(client))
        alike.setdefault(steps, []).append(client)
    return [
        tuple(clients[i : i + size])
        for clients in alike.values()
        for i in range(0, len(clients), size)
    ]
