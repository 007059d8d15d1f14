"""From client values to global values."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from transformers import AutoModelForMaskedLM

from fedbert.averaging import Noised, Weighted
from fedbert.checkpoint import save
from fedbert.messages import ClientUpdate, RowValues, dense
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.mechanism import ClipOnly
from tests.fedbert import tiny
from tests.privacy.drawn import draws

FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=5), elements=FLOATS)
WEIGHTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)


def average(weights: Sequence[int], clients: Sequence[dict[str, object]]) -> dict[str, np.ndarray]:
    total = Weighted(sum(weights))
    for weight, values in zip(weights, clients, strict=True):
        total.add(weight, values)
    return total.result()


@settings(max_examples=60)
@given(values=ARRAYS, weights=WEIGHTS)
def test_average_of_identical_clients_is_the_identity(
    values: np.ndarray, weights: list[int]
) -> None:
    found = average(weights, [{"w": values}] * len(weights))["w"]
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    assert not found.flags.writeable and not np.shares_memory(found, values)


@settings(max_examples=30)
@given(
    values=hnp.arrays(np.float64, 7, elements=st.floats(-1e300, 1e300)), weight=st.integers(1, 9)
)
def test_average_of_one_client_is_exact_in_float64_too(values: np.ndarray, weight: int) -> None:
    np.testing.assert_array_equal(average([weight], [{"w": values}])["w"], values)


@settings(max_examples=60)
@given(st.data())
def test_average_is_the_weighted_mean(data: st.DataObject) -> None:
    weights = data.draw(WEIGHTS)
    clients = [{"w": data.draw(hnp.arrays(np.float32, 4, elements=FLOATS))} for _ in weights]
    expected = np.average([c["w"].astype(np.float64) for c in clients], axis=0, weights=weights)
    # Rounding to float32 once, at the end.
    scale = np.abs([c["w"] for c in clients]).max() + 1e-30
    np.testing.assert_allclose(average(weights, clients)["w"], expected, atol=1e-7 * scale, rtol=0)


@settings(max_examples=60)
@given(st.data())
def test_compact_rows_average_as_their_dense_arrays_do(data: st.DataObject) -> None:
    base = data.draw(hnp.arrays(np.float32, (6, 3), elements=st.floats(-100, 100, width=32)))
    weights = data.draw(WEIGHTS)
    clients = []
    for _ in weights:
        rows = np.array(sorted(data.draw(st.sets(st.integers(0, 5)))), dtype=np.int64)
        values = data.draw(
            hnp.arrays(np.float32, (len(rows), 3), elements=st.floats(-100, 100, width=32))
        )
        clients.append({"w": RowValues(rows, values, base, data.draw(st.floats(0.5, 1.0)))})
    plain = [{"w": dense(c["w"])} for c in clients]
    found = average(weights, clients)["w"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, average(weights, plain)["w"], rtol=0, atol=4e-5)
    if len(clients) == 1:
        np.testing.assert_array_equal(found, plain[0]["w"])


@given(weights=WEIGHTS)
@settings(max_examples=30)
def test_identical_compact_clients_are_the_identity(weights: list[int]) -> None:
    base = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    client = {"w": RowValues(np.array([1, 4]), base[[1, 4]] * 3, base, 0.999)}
    found = average(weights, [client] * len(weights))["w"]
    np.testing.assert_array_equal(found, client["w"].dense())


def test_row_values_dense_by_hand() -> None:
    base = np.arange(8, dtype=np.float32).reshape(4, 2)
    value = RowValues(np.array([0, 2]), np.array([[9, 9], [7, 7]], dtype=np.float32), base, 0.5)
    expected = [[9, 9], [1, 1.5], [7, 7], [3, 3.5]]
    np.testing.assert_array_equal(value.dense(), np.array(expected, dtype=np.float32))
    assert value.nbytes == 4 * 2 * 4
    assert base[0, 0] == 0


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_tied_decoder_does_not_undo_the_average(architecture: str, tmp_path) -> None:
    """Embedding and decoder of the released model are one tensor, the clients' average."""
    config = tiny.config_of(
        "mlm-tied",
        clients=3,
        partition="quantity",
        rounds=1,
        architecture=architecture,
        strategy="parallel",
    )
    prepared = tiny.prepared_for(config, "mlm-tied")
    transcript = tiny.Recorder("client_update")
    done = train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    name = f"{architecture}.embeddings.word_embeddings.weight"
    updates = [m for m in transcript.messages if isinstance(m, ClientUpdate)]
    expected = np.average(
        [dense(m.tensors[name]).astype(np.float64) for m in updates],
        axis=0,
        weights=[m.weight for m in updates],
    )
    assert len({m.weight for m in updates}) > 1
    save(tmp_path / "c", config, prepared, done.state, {}, [])
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "c" / "model")
    for model in (done.split.whole, loaded):
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            np.testing.assert_allclose(table.weight.detach().numpy(), expected, rtol=0, atol=1e-7)
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


SHAPES = {"a": (40, 5), "b": (5,), "c": (3, 2)}


def random_values(seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: (scale * rng.normal(size=s)).astype(np.float32) for n, s in SHAPES.items()}


def flat(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([values[n].astype(np.float64).ravel() for n in SHAPES])


def noised(mechanism, base, clients, divisor: int, seed: int = 0) -> tuple[np.ndarray, Noised]:
    total = Noised(mechanism, base, divisor, draws(seed))
    for i, client in enumerate(clients):
        total.add(10**i, client)  # the weights differ wildly and play no part
    return flat(total.result()), total


def test_noised_average_clips_whole_updates_and_ignores_weights() -> None:
    base = random_values(0)
    clients = [{n: base[n] + v for n, v in random_values(i, i).items()} for i in (1, 2, 3)]
    small = {n: base[n] + v for n, v in random_values(9, 1e-3).items()}
    clip_norm = 5.0
    mean = np.zeros_like(flat(base))
    over = 0
    for client in [*clients, small]:
        update = flat({n: client[n] - base[n] for n in SHAPES})
        norm = np.linalg.norm(update)  # of all parameters together, not of each
        over += norm > clip_norm
        mean += update * min(1.0, clip_norm / norm) / 4
    assert over == 3
    found, total = noised(ClipOnly(clip_norm, unit="client"), base, [*clients, small], 4)
    np.testing.assert_allclose(found, flat(base) + mean, rtol=0, atol=1e-6)
    assert (total.log.records, total.log.clipped, total.log.noise) == (4, 3, 0.0)


def test_noised_average_without_noise_in_the_limit_is_the_plain_mean() -> None:
    base = random_values(0)
    clients = [random_values(i) for i in (1, 2, 3)]
    found, _ = noised(DPFedAvg(1e4, 1e-12), base, clients, 3)
    np.testing.assert_allclose(found, np.mean([flat(c) for c in clients], axis=0), atol=1e-6)


def test_noised_divisor_is_fixed_beforehand() -> None:
    base = random_values(0)
    client = random_values(1)
    found, _ = noised(ClipOnly(1e4, unit="client"), base, [client], 5)
    expected = flat(base) + (flat(client) - flat(base)) / 5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    nobody, _ = noised(ClipOnly(1e4, unit="client"), base, [], 5)
    np.testing.assert_array_equal(nobody, flat(base))


def test_noise_has_its_stated_scale_on_every_row_touched_or_not() -> None:
    """Two-sided: n squared normals have mean 1 with sd sqrt(2 / n).

    Per half n = 40,000: sd 0.0071, bounds at 4 sd on each of two halves: false alarm 1.3e-4 * 2
    over all seeds; at 4.5 sd, used here, 1.4e-5.
    """
    rows, width = 400, 200
    base = {"w": np.zeros((rows, width), dtype=np.float32)}
    touched = np.arange(0, rows, 2)
    value = RowValues(touched, np.full((len(touched), width), 1e-9, np.float32), base["w"], 1.0)
    mechanism = DPFedAvg(clip_norm=2.0, noise_multiplier=0.7)
    divisor = 4
    total = Noised(mechanism, base, divisor, draws(11))
    for _ in range(3):
        total.add(1, {"w": value})
    change = total.result()["w"]
    expected = 0.7 * 2.0 / divisor
    for half in (change[0::2], change[1::2]):
        share = float(np.square(half.astype(np.float64)).mean()) / expected**2
        assert abs(share - 1) < 4.5 * np.sqrt(2 / half.size)
        assert np.all(half.any(axis=1))
    assert total.log.noise == pytest.approx((0.7 * 2.0) ** 2 * rows * width)
    again = Noised(mechanism, base, divisor, draws(12))
    again.add(1, {"w": value})
    assert not np.array_equal(again.result()["w"], change)


@pytest.mark.parametrize("strategy", ["fedavg", "parallel"])
def test_a_defended_round_is_the_noised_average_of_what_was_sent(strategy: str) -> None:
    """The body is part of the update that is clipped, and every trained parameter is noised."""
    clip_norm = 0.05
    defence = Defence("clip", update=ClipOnly(clip_norm, unit="client"))
    config = tiny.config_of("two", clients=3, rounds=1, strategy=strategy)
    prepared = tiny.prepared_for(config)
    start = {n: p.detach().double().numpy() for n, p in prepared.split.whole.named_parameters()}
    done = train(config, prepared, defence)
    moved = {n: done.state.values[n] - start[n] for n in start}
    norm = np.sqrt(sum(np.square(v).sum() for v in moved.values()))
    assert 0 < norm <= clip_norm * (1 + 1e-4)
    assert done.protection["update"].clipped == done.protection["update"].records == 3

    noisy = Defence("dp", update=DPFedAvg(clip_norm, 1.0))
    shaken = train(config, prepared, noisy).state.values
    for name, value in done.state.values.items():
        assert np.all(shaken[name] != value), name


def test_frozen_embeddings_are_neither_trained_nor_noised() -> None:
    defence = Defence("dp", update=DPFedAvg(0.1, 1.0))
    config = tiny.config_of("two", clients=2, freeze=True)
    prepared = tiny.prepared_for(config)
    done = train(config, prepared, defence).state.values
    for name, parameter in prepared.split.whole.named_parameters():
        same = np.array_equal(done[name], parameter.detach().numpy())
        assert same == ("embeddings" in name), name
