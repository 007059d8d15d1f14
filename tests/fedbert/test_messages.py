"""What crosses: frozen, read-only, counted, and nothing but what the architecture says."""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from fedbert.fleet import InProcess
from fedbert.messages import (
    KINDS,
    ClientParts,
    ClientUpdate,
    HiddenGradient,
    HiddenStates,
    RowValues,
    SmashedData,
    SmashedGradient,
    size_in_bytes,
    to_array,
    to_tensor,
)
from fedbert.trainer import train
from tests.fedbert import tiny

STEP = ["smashed", "hidden", "hidden_gradient", "smashed_gradient"]


def arrays_of(message: Any) -> list[tuple[str, np.ndarray]]:
    """Every array of a message, those in dictionaries and compact rows too."""
    found = []
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        for name, each in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(each, RowValues):
                parts = {"rows": each.rows, "values": each.values, "base": each.base}
                found += [(f"{field.name}/{name}/{n}", v) for n, v in parts.items()]
            elif isinstance(each, np.ndarray):
                found.append((f"{field.name}/{name}", each))
    return found


class Nosy:
    """A fleet's listener that looks at all parties while every message crosses."""

    def __init__(self, fleet: InProcess) -> None:
        self.fleet = fleet
        self.seen = 0

    def tensors(self) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for party in self.fleet._parties.values():
            for holder in (getattr(party, "names", {}), getattr(party, "split", None)):
                if isinstance(holder, dict):
                    found += list(holder.values())
                elif holder is not None:
                    found += list(holder.whole.parameters())
            copies = getattr(party, "copies", None)
            found += list(copies.names.values()) if copies is not None else []
            for optimizer in (
                getattr(party, "optimizer", None),
                getattr(copies, "optimizer", None),
            ):
                if optimizer is not None:
                    for state in optimizer.state.values():
                        found += [t for t in state.values() if isinstance(t, torch.Tensor)]
            graph = getattr(party, "_graph", None) or {}
            found += [graph["a"], graph["batch"].input_ids] if "a" in graph else []
        return found

    def hear(self, message: Any) -> None:
        held = [t.detach().numpy() for t in self.tensors()]
        for name, array in arrays_of(message):
            self.seen += 1
            assert not array.flags.writeable, (type(message), name)
            assert not any(np.may_share_memory(array, own) for own in held), (type(message), name)
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
        owned = [vars(party) for party in self.fleet._parties.values()]
        for value in vars(message).values():
            if isinstance(value, dict):
                assert not any(value is own for party in owned for own in party.values())


RUNS = [
    {"strategy": "fedavg"},
    {"strategy": "parallel"},
    {"strategy": "sequential"},
    {"strategy": "sequential", "client_parts": "average"},
    {"strategy": "sequential", "optimizer_state": "hand_on"},
]


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: "-".join(run.values()))
def test_messages_are_read_only_and_share_no_memory_with_a_party(
    run: dict[str, str], kind: str
) -> None:
    fleet = InProcess()
    nosy = Nosy(fleet)
    config = tiny.config_of(kind, clients=2, rounds=2, **run)
    train(config, tiny.prepared_for(config, kind), tiny.NO_DEFENCE, listeners=[nosy], fleet=fleet)
    assert nosy.seen > 100


def test_a_message_is_frozen() -> None:
    for message in tiny.overheard(rounds=1):
        with pytest.raises(dataclasses.FrozenInstanceError):
            message.client = 1  # type: ignore[misc]


def expected_kinds(strategy: str, clients: int, steps: int, frozen: bool) -> list[str]:
    """The messages of one round, in order, written out from the design."""
    step = [kind for kind in STEP if not (frozen and kind == "smashed_gradient")]
    if strategy == "centralised":
        return []
    if strategy == "fedavg":
        return ["client_parts", "client_update"] * clients
    if strategy == "sequential":
        return (["client_parts"] + step * steps + ["client_update"]) * clients
    together = [kind for kind in step for _ in range(clients)]
    return ["client_parts"] * clients + together * steps + ["client_update"] * clients


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("strategy", ["centralised", "fedavg", "parallel", "sequential"])
def test_the_messages_of_a_round_in_order(strategy: str, clients: int, frozen: bool) -> None:
    heard = tiny.overheard(
        strategy=strategy, clients=clients, freeze=frozen, rounds=2, local_steps=2
    )
    one = expected_kinds(strategy, clients, 2, frozen)
    assert [KINDS[type(m)] for m in heard] == one * 2
    assert [m.round for m in heard] == [0] * len(one) + [1] * len(one)
    if strategy == "sequential":
        assert [m.client for m in heard[: len(one)]] == sorted(m.client for m in heard[: len(one)])
    if strategy == "parallel":
        order = [m.client for m in heard]
        assert order == list(range(clients)) * (len(order) // clients)
    steps = [m.step for m in heard if isinstance(m, SmashedData) and m.client == 0]
    assert steps == list(range(len(steps)))


ALLOWED = {
    SmashedData: {"client", "round", "step", "activations", "attention_mask"},
    HiddenStates: {"client", "round", "step", "hidden"},
    HiddenGradient: {"client", "round", "step", "gradient"},
    SmashedGradient: {"client", "round", "step", "gradient"},
    ClientUpdate: {"client", "round", "weight", "tensors", "moments"},
    ClientParts: {"client", "round", "tensors", "moments", "fixed"},
}


@pytest.mark.parametrize("kind", ["two", "score", "mlm-tied"])
@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
def test_no_message_holds_tokens_or_labels(strategy: str, kind: str) -> None:
    """Besides float arrays of the model's shapes there are the attention masks alone."""
    config = tiny.config_of(kind, clients=2, strategy=strategy)
    prepared = tiny.prepared_for(config, kind)
    transcript = tiny.Recorder()
    train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    shapes = {n: tuple(p.shape) for n, p in prepared.split.whole.named_parameters()}
    edge = set(prepared.split.client_names)
    for message in transcript.messages:
        assert {f.name for f in dataclasses.fields(message)} == ALLOWED[type(message)]
        if isinstance(message, ClientUpdate | ClientParts):
            assert not message.moments and not getattr(message, "fixed", ())
            assert set(message.tensors) == (set(shapes) if strategy == "fedavg" else edge)
            for name, value in message.tensors.items():
                array = value.dense() if isinstance(value, RowValues) else value
                assert (array.shape, array.dtype) == (shapes[name], np.float32)
            continue
        for name, array in arrays_of(message):
            if name == "attention_mask/":
                assert array.dtype == np.int64 and set(np.unique(array)) <= {0, 1}
            else:
                assert array.ndim == 3 and array.shape[2] == tiny.HIDDEN
                assert array.dtype == np.float32


def test_client_parts_never_reach_the_server_with_the_body_under_a_split() -> None:
    for message in tiny.overheard(strategy="parallel", clients=2):
        if isinstance(message, ClientUpdate):
            assert not any("encoder.layer" in name for name in message.tensors)


@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
@pytest.mark.parametrize("kind", ["two", "mlm-untied"])
def test_bytes_are_the_closed_form(kind: str, strategy: str) -> None:
    config = tiny.config_of(kind, clients=3, partition="quantity", strategy=strategy)
    prepared = tiny.prepared_for(config, kind)
    counted = train(config, prepared, tiny.NO_DEFENCE).bytes
    split = prepared.split
    edge = sum(p.numel() for p in split.client_names.values())
    body = sum(p.numel() for p in split.body_names.values())
    assert edge + body == sum(p.numel() for p in split.whole.parameters())
    sent = 4 * 3 * 3 * (edge + (body if strategy == "fedavg" else 0))  # rounds * clients
    expected = {"client_parts": sent, "client_update": sent}
    if strategy != "fedavg":
        tokens = sum(
            data.batch(step).input_ids.numel() for data in prepared.clients for step in range(6)
        )
        activations = 4 * tiny.HIDDEN * tokens
        expected |= dict.fromkeys(STEP, activations) | {"smashed": activations + 8 * tokens}
    assert counted == expected


@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
def test_what_no_training_changes_does_not_cross(strategy: str) -> None:
    config = tiny.config_of("two", clients=3, strategy=strategy, freeze=True)
    prepared = tiny.prepared_for(config, "two")
    counted = train(config, prepared, tiny.NO_DEFENCE).bytes
    split = prepared.split
    trained = sum(p.numel() for p in split.head.parameters())
    trained += sum(p.numel() for p in split.body.parameters()) if strategy == "fedavg" else 0
    assert counted["client_parts"] == counted["client_update"] == 4 * 3 * 3 * trained


def test_handed_moments_count_and_only_travel_when_asked_for() -> None:
    kept = tiny.overheard(strategy="sequential", clients=2)
    handed = tiny.overheard(strategy="sequential", clients=2, optimizer_state="hand_on")
    assert not any(getattr(m, "moments", None) for m in kept)
    parts = [m for m in handed if isinstance(m, ClientParts)]
    updates = [m for m in handed if isinstance(m, ClientUpdate)]
    assert not parts[0].moments
    for before, after in zip(updates, parts[1:], strict=False):
        assert before.moments.keys() == after.moments.keys()
        for name, value in before.moments.items():
            np.testing.assert_array_equal(after.moments[name], value)
        assert size_in_bytes(after) == sum(
            v.nbytes for v in [*after.tensors.values(), *after.moments.values()]
        )
    names = {n.rsplit("/", 1)[1] for n in updates[0].moments}
    assert names == {"exp_avg", "exp_avg_sq", "step"}


def test_compact_rows_count_as_dense() -> None:
    updates = [m for m in tiny.overheard(clients=2, rounds=1) if isinstance(m, ClientUpdate)]
    for message in updates:
        compact = [v for v in message.tensors.values() if isinstance(v, RowValues)]
        assert len(compact) == 1 and len(compact[0].rows) < tiny.VOCAB
        assert compact[0].nbytes == compact[0].dense().nbytes == 4 * tiny.VOCAB * tiny.HIDDEN
        dense = [v.dense() if isinstance(v, RowValues) else v for v in message.tensors.values()]
        assert size_in_bytes(message) == sum(v.nbytes for v in dense)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_arrays_copy_both_ways(dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    array = to_array(tensor)
    back = to_tensor(array)
    assert not array.flags.writeable
    tensor += 1
    back += 1
    np.testing.assert_array_equal(array, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("clients", [2, 3])
def test_releases_are_the_most_times_one_example_was_sent(clients: int) -> None:
    """Counted message by message against the plan."""
    run = {"clients": clients, "partition": "quantity", "rounds": 4, "local_steps": 3}
    config = tiny.config_of("two", strategy="parallel", **run)
    prepared = tiny.prepared_for(config)
    transcript = tiny.Recorder("smashed")
    done = train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    sent: Counter[tuple[int, int]] = Counter()
    for message in transcript.messages:
        batch = prepared.clients[message.client].batch(message.step)
        assert batch.attention_mask.numpy().shape == message.attention_mask.shape
        sent.update((message.client, int(i)) for i in batch.index)
    assert done.releases == max(sent.values()) > 1
    assert tiny.trained(strategy="fedavg", clients=clients).releases == 0
