"""Receiving: whatever comes broken is refused with a reason, and a training goes on without it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedbert.errors import InputError
from fedbert.fault_settings import FaultsConfig, FixedFault
from fedbert.faults.effects import contributed_steps
from fedbert.messages import ClientUpdate, RowValues
from fedbert.receiving import (
    FAILED,
    FOREIGN,
    LATE,
    NAMES,
    SHAPE,
    STALE,
    TYPE,
    VALUES,
    WEIGHT,
    Receipts,
    Receiver,
    Refusal,
    RefusedError,
)
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from tests.fedbert import tiny
from tests.fedbert.test_arrivals import WRONG, Tampered, in_tensors, with_value

CENTRAL = Defence("c", update=DPFedAvg(1.0, 0.1))
REASONS = {
    "one NaN in A": VALUES,
    "one infinity in A": VALUES,
    "one NaN in G_Z": VALUES,
    "an example is missing in A": SHAPE,
    "an example is missing in A and its mask": FAILED,
    "an example is missing in G_Z": SHAPE,
    "another width": SHAPE,
    "whole numbers": TYPE,
    "another client's": FOREIGN,
    "another round's": STALE,
    "one NaN in an update": VALUES,
    "an update of another shape": SHAPE,
    "an update without a parameter": NAMES,
    "an update of fewer examples": WEIGHT,
}


def huge(values: np.ndarray) -> np.ndarray:
    values.flat[0] = 3e38
    return values


def other_type(update: ClientUpdate) -> ClientUpdate:
    return in_tensors(lambda v: v.astype(np.float16))(update)


MORE: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a huge value": ("update", in_tensors(huge), VALUES),
    "half the precision": ("update", other_type, TYPE),
    "a huge row of A": ("forward", with_value("activations", 3e38), VALUES),
}
CASES = [(WRONG[name][:2], why) for name, why in REASONS.items()] + [
    ((method, change), why) for method, change, why in MORE.values()
]


@pytest.mark.parametrize(("broken", "why"), CASES, ids=[*REASONS, *MORE])
@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_a_broken_message_of_one_client_is_noted_and_the_others_train_on(
    broken: tuple[str, Callable[[Any], Any]], why: str, strategy: str
) -> None:
    fleet = Tampered(*broken)
    settings = {"clients": 3, "batch_size": 4, "strategy": strategy, "quorum": 0.5}
    config = tiny.config_of("two", **settings)
    done = train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=fleet)
    (found,) = done.receipts.refused
    assert (found.client, found.round, found.why) == (1, 2, why)
    assert done.receipts.lacking == {1: (1,)} and done.receipts.skipped == []
    assert np.isfinite(done.losses).all()


def test_a_group_that_loses_one_in_a_step_is_as_if_it_had_not_been_there() -> None:
    """Its stacked neighbours see nothing of it: as where its update was lost."""
    runs = []
    for broken in (WRONG["one NaN in A"][:2], WRONG["one NaN in an update"][:2]):
        config = tiny.config_of("two", clients=3, batch_size=4, quorum=0.5, precision="float64")
        prepared = tiny.prepared_for(config)
        runs.append(train(config, prepared, tiny.NO_DEFENCE, fleet=Tampered(*broken)).state)
    one, other = (run.losses[:2] for run in runs)  # its own moments differ from then on
    assert one == pytest.approx(other)


def test_a_huge_update_ends_no_noised_training() -> None:
    """Its difference from the start overflows float32, which the clip would refuse by an error."""
    fleet = Tampered("update", in_tensors(huge))
    config = tiny.config_of("two", clients=3, batch_size=4)
    done = train(config, tiny.prepared_for(config), CENTRAL, fleet=fleet)
    assert [each.why for each in done.receipts.refused] == [VALUES]
    assert done.protection["update"].records == 8


@pytest.mark.parametrize("name", ["one NaN in A", "one NaN in G_Z"])
def test_under_dp_sgd_a_broken_step_ends_the_training(name: str) -> None:
    """By one record's doing all others of the turn would go: more than a record may change."""
    method, change, words = WRONG[name]
    config = tiny.config_of("two", clients=3, batch_size=4, quorum=0.1)
    defence = Defence("d", training=DPSGD(1.0, 1.0, sample_rate=0.5))
    with pytest.raises(InputError, match=words):
        train(config, tiny.prepared_for(config), defence, fleet=Tampered(method, change))


def test_under_dp_sgd_a_broken_update_is_refused_as_elsewhere() -> None:
    """Its values are noised already: what is refused of them follows from what was released."""
    method, change, _ = WRONG["one NaN in an update"]
    config = tiny.config_of("two", clients=3, batch_size=4, quorum=0.5)
    defence = Defence("d", training=DPSGD(1.0, 1.0, sample_rate=0.5))
    done = train(config, tiny.prepared_for(config), defence, fleet=Tampered(method, change))
    assert [each.why for each in done.receipts.refused] == [VALUES]


def test_a_moment_that_is_handed_on_is_looked_at() -> None:
    def cut(update: ClientUpdate) -> Any:
        name = next(n for n in update.moments if n.endswith("exp_avg"))
        return type(update)(
            update.client, update.round, update.weight, update.tensors,
            update.moments | {name: update.moments[name][:-1]},
        )  # fmt: skip

    settings = {"strategy": "sequential", "optimizer_state": "hand_on", "quorum": 0.5}
    config = tiny.config_of("two", clients=3, batch_size=4, **settings)
    fleet = Tampered("update", cut)
    done = train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=fleet)
    assert [each.why for each in done.receipts.refused] == [SHAPE]


def test_a_row_update_is_looked_at_by_its_rows() -> None:
    rows = []

    def spoilt(update: ClientUpdate) -> Any:
        rows.extend(v for v in update.tensors.values() if isinstance(v, RowValues))
        return update

    config = tiny.config_of("two", clients=3, batch_size=4)
    train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=Tampered("update", spoilt))
    assert rows  # else the cases above look at dense tables alone


AWAY = {
    "late": {"mean_delay": 1.0, "deadline": 1e3},
    "lost": {},
}


@pytest.mark.parametrize("kind", AWAY)
@pytest.mark.parametrize("where", ["one NaN in A", "one NaN in an update"])
def test_what_a_client_holds_does_not_make_up_for_its_being_late_or_lost(
    kind: Any, where: str
) -> None:
    """Else one that sends NaN would decide, without noise, whether a round stands."""
    faults = FaultsConfig(clients=(FixedFault(1, kind),), **AWAY[kind])
    settings = {"clients": 3, "batch_size": 4, "below_quorum": "skip"}
    config = tiny.config_of("two", faults=faults, **settings)
    fleet = Tampered(*WRONG[where][:2])
    done = train(config, tiny.prepared_for(config), CENTRAL, fleet=fleet)
    assert fleet.seen and done.receipts.skipped == [0, 1, 2]
    in_its_turn = [VALUES] if where == "one NaN in A" else []
    after = [LATE] * 3 if kind == "late" else []
    expected = [*after[:1], *(in_its_turn or after[:1]), *after[:1]]
    assert [each.why for each in done.receipts.refused] == expected


def test_a_broken_step_of_a_client_that_would_have_answered_decides_nothing() -> None:
    config = tiny.config_of("two", clients=3, batch_size=4, below_quorum="skip")
    fleet = Tampered(*WRONG["one NaN in A"][:2])
    done = train(config, tiny.prepared_for(config), CENTRAL, fleet=fleet)
    assert done.receipts.skipped == [] and done.receipts.lacking == {1: (1,)}


@pytest.mark.parametrize(
    ("receipts", "steps"),
    [
        (Receipts(), {0: 6, 1: 6, 2: 6}),
        (Receipts([Refusal(1, 3, VALUES)], {2: (1,)}), {0: 6, 1: 4, 2: 6}),
        (Receipts([Refusal(1, 2, VALUES)], {1: (1,)}), {0: 6, 1: 6, 2: 6}),
        (Receipts([], dict.fromkeys(range(3), (1,)), missing=3), {0: 6, 2: 6}),
        (Receipts(skipped=[2]), {0: 4, 1: 4, 2: 4}),
    ],
)
def test_steps_count_up_to_the_last_update_that_was_averaged(
    receipts: Receipts, steps: dict[int, int]
) -> None:
    config = tiny.config_of("two", clients=3)  # three rounds of two steps
    assert contributed_steps(config, receipts) == steps


def opened(quorum: float, stop: bool, by_answers: bool, clients: int = 8) -> Receiver:
    receiver = Receiver(quorum, stop, by_answers)
    receiver.open(3, range(clients))
    return receiver


@pytest.mark.parametrize(("quorum", "needed"), [(1.0, 10), (0.3, 3), (0.25, 3), (0.01, 1)])
def test_a_quorum_is_a_share_rounded_up(quorum: float, needed: int) -> None:
    assert opened(quorum, True, False, clients=10).needed == needed


def test_a_quorum_by_answers_counts_what_came_in_time_whatever_it_was() -> None:
    for why, there in ((VALUES, True), (NAMES, True), (LATE, False)):
        receiver = opened(0.75, False, by_answers=True, clients=4)
        for client in (0, 1):
            receiver.took(client)
        receiver.refuse(2, RefusedError(why, "a line"))
        assert receiver.close() is there
        receiver = opened(0.75, False, by_answers=False, clients=4)
        for client in (0, 1):
            receiver.took(client)
        receiver.refuse(2, RefusedError(why, "a line"))
        assert receiver.close() is False


def test_receipts_are_written_and_read() -> None:
    receiver = opened(0.5, True, False)
    for client in range(5):
        receiver.took(client)
    receiver.refuse(5, RefusedError(VALUES, "a line"))
    receiver.refuse(0, RefusedError("sent again", "a line"))
    assert receiver.close()
    receipts = receiver.receipts
    assert Receipts.from_json(receipts.to_json()) == receipts
    assert receipts.taken(3, range(8)) == (0, 1, 2, 3, 4) and receipts.taken(0, (1, 2)) == (1, 2)
    assert receipts.told(40) == {
        "expected": 40,
        "missing": 2,
        "reasons": {VALUES: 1, "sent again": 1},
        "refused": [
            {"client": 5, "round": 4, "why": VALUES}, {"client": 0, "round": 4, "why": "sent again"}
        ],
        "skipped": [],
    }  # fmt: skip
    assert Receipts().told(40) == {}
    for broken in ({}, {"refused": [[1, 2]]}, {**receipts.to_json(), "missing": "x"}):
        with pytest.raises(InputError, match="expected receipts of updates"):
            Receipts.from_json(broken)
