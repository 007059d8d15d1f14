"""Precision: what `auto` comes to and why, and bf16 products beside the float32 ones."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from fedbert import precision
from fedbert.checkpoint import read, save
from fedbert.copies import PlainCopy, StackedCopies
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.messages import HiddenGradient, SmashedData, to_array
from fedbert.precision import GAIN, WIDE, autocast, best_of, in_words, measured, settled
from fedbert.trainer import State, train
from fedbert.training_settings import TrainingConfig
from tests.fedbert import tiny

ROOMY = SimpleNamespace(hidden_size=WIDE, intermediate_size=4 * WIDE)
AUTO = tiny.config_of(precision="auto")
BF16 = tiny.config_of(precision="bf16")


def machine(monkeypatch: pytest.MonkeyPatch, units: str, share: float) -> None:
    """Pretend a processor: what multiplies bf16 in it, and its time in bf16 over float32's."""
    monkeypatch.setattr(precision, "processor_units", lambda: units)
    monkeypatch.setattr(precision, "measured", lambda *shape: share)


def test_float32_stays_the_default():
    assert TrainingConfig().precision == "float32"


@pytest.mark.parametrize("named", ["float32", "float64", "bf16"])
def test_a_named_precision_stays_and_nothing_is_said(named: str):
    config = tiny.config_of(precision=named)
    assert settled(config, ROOMY, {"precision": "bf16"}) == (config, {})
    assert in_words(config, ROOMY) == ()


@pytest.mark.parametrize(
    ("units", "share", "model", "found", "words"),
    [
        ("", 0.1, ROOMY, "float32", "no bf16 on this processor"),
        ("AMX", 0.1, ROOMY, "bf16", "AMX: bf16 took 0.1 of float32's time"),
        ("AVX512-BF16", GAIN, ROOMY, "float32", "bf16 took 0.8"),
        ("AMX", 0.1, SimpleNamespace(hidden_size=WIDE - 1), "float32", "too few"),
    ],
)
def test_auto_is_bf16_where_it_pays_and_says_why(
    monkeypatch: pytest.MonkeyPatch, units: str, share: float, model: Any, found: str, words: str
):
    machine(monkeypatch, units, share)
    config, kept = settled(AUTO, model)
    assert config == tiny.config_of(precision=found) and kept == {"precision": found}
    (line,) = in_words(AUTO, model)
    assert line.startswith(f"precision auto: {found} (") and words in line


def test_what_a_training_began_in_is_kept(monkeypatch: pytest.MonkeyPatch):
    machine(monkeypatch, "", 9.0)
    assert settled(AUTO, ROOMY, {"precision": "bf16"})[0] == BF16
    assert "as this training began" in in_words(AUTO, ROOMY, {"precision": "bf16"})[0]
    assert settled(AUTO, ROOMY, {})[1] == {"precision": "float32"}
    with pytest.raises(InputError, match=r"^expected precision float32 or bf16 of the state, got"):
        settled(AUTO, ROOMY, {"precision": "float8"})


def test_a_device_without_cuda_multiplies_no_bf16(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tiny.config_of(precision="auto", device="cuda")
    assert settled(config, ROOMY)[1] == {"precision": "float32"}


def test_the_best_looks_are_compared_after_one_unmeasured():
    times = {torch.float32: iter([0.1, 4.0, 2.0, 3.0]), torch.bfloat16: iter([0.01, 1.5, 1.0, 9.0])}
    assert best_of(lambda kind: next(times[kind]), looks=3, most=60.0) == 0.5
    once = {torch.float32: iter([0.1, 4.0]), torch.bfloat16: iter([0.01, 3.0])}
    assert best_of(lambda kind: next(once[kind]), looks=3, most=-1.0) == 0.75


def test_a_look_draws_nothing():
    before = torch.random.get_rng_state()
    assert measured.__wrapped__(4, 8, 16) > 0
    assert torch.equal(torch.random.get_rng_state(), before)


def spread(values: Tensor, truth: Tensor) -> float:
    """The error's length as a share of the truth's."""
    return float((values.float() - truth).norm() / truth.norm())


def batch_of(padded: int = 0) -> tuple[Tensor, Tensor]:
    """Hidden states [3, 7 + padded, hidden], two of them padded, and their mask."""
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(3, 7, tiny.HIDDEN, generator=draw)
    mask = torch.ones(3, 7 + padded, dtype=torch.int64)
    mask[1:, 5:] = 0
    mask[:, 7:] = 0
    more = torch.full((3, padded, tiny.HIDDEN), 9.0)
    return torch.cat([hidden, more], 1), mask


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_bf16_comes_close_to_float32_there_and_back(architecture: str):
    split = tiny.split_model(architecture)
    hidden, mask = batch_of()
    found = []
    for config in (tiny.config_of(), BF16):
        a = hidden.clone().requires_grad_()
        with autocast(config):
            z = split.body(a, mask)
        z[:, 0].float().square().sum().backward()
        found.append((z.detach(), a.grad))
    (z, at_a), (z_bf16, at_a_bf16) = found
    assert z_bf16.dtype == torch.bfloat16
    real = mask.bool()
    assert 0 < spread(z_bf16[real], z[real]) < 0.03
    assert 0 < spread(at_a_bf16[real], at_a[real]) < 0.06
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in split.body.parameters())


def test_padding_changes_no_real_token_in_bf16():
    split = tiny.split_model()
    found = []
    for padded in (0, 4):
        hidden, mask = batch_of(padded)
        with autocast(BF16), torch.no_grad():
            found.append(split.body(hidden, mask)[:, :7][mask[:, :7].bool()].float())
    torch.testing.assert_close(found[1], found[0], atol=0.04, rtol=0.02)
    assert spread(found[1], found[0]) < 0.004


def test_the_way_of_attending_is_as_before_afterwards():
    split = tiny.split_model()
    hidden, mask = batch_of()
    with autocast(BF16):
        split.body(hidden, mask)
        with pytest.raises(RuntimeError):
            split.body(hidden[..., 1:], mask)
    assert split.whole.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_stacked_copies_equal_plain_ones_in_bf16(dropout: float):
    split = tiny.split_model(dropout=dropout)
    names = split.body_names
    values = {name: to_array(p) for name, p in names.items()}
    hidden, mask = batch_of()
    sent = [SmashedData(i, 0, 0, to_array(hidden[i:]), to_array(mask[i:])) for i in (0, 1)]
    back = [HiddenGradient(i, 0, 0, to_array(torch.ones_like(hidden[i:]))) for i in (0, 1)]
    stacked = StackedCopies(split.body, names, BF16, values, [{}, {}])
    z, at_a = stacked.forward(sent), stacked.backward(back, 0.0)
    for i, own in enumerate(sent):
        copy = PlainCopy(split.body, names, BF16)
        (z_one,), (at_one,) = copy.forward([own]), copy.backward([back[i]], 0.0)
        real = mask[i:].bool()
        pairs = ((z[i].hidden, z_one.hidden), (at_a[i].gradient, at_one.gradient))
        for one, other in pairs:
            assert spread(torch.tensor(one)[real], torch.tensor(other)[real]) < 0.03


@pytest.mark.parametrize("kind", ["two", "mlm-tied", "score"])
@pytest.mark.parametrize("strategy", ["parallel", "fedavg"])
def test_a_training_in_bf16_keeps_its_weights_in_float32(kind: str, strategy: str):
    run = {"kind": kind, "strategy": strategy, "clients": 2, "cut_layer": 1, "dropout": 0.0}
    plain, found = tiny.trained(**run), tiny.trained(precision="bf16", **run)
    assert {v.dtype.name for v in found.state.values.values()} == {"float32"}
    assert found.losses != plain.losses
    assert found.losses == pytest.approx(plain.losses, rel=0.02)


def test_a_training_that_began_in_bf16_ends_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    prepared = tiny.prepared_for(AUTO)
    states: list[State] = []
    monkeypatch.setattr(precision, "pays", lambda *of: True)
    whole = train(AUTO, prepared, tiny.NO_DEFENCE, on_round=states.append)
    assert whole.losses == tiny.trained(precision="bf16").losses
    monkeypatch.setattr(precision, "pays", lambda *of: False)
    save(tmp_path / "c", AUTO, prepared, states[0], {"name": "none", "delta": 1e-5}, [])
    found = read(tmp_path / "c")
    assert found.config.training.precision == "auto"
    assert found.manifest["provenance"]["precision"] == "bf16"
    assert export(tmp_path / "c", tmp_path / "out").manifest["provenance"]["precision"] == "bf16"
    again = train(AUTO, prepared, tiny.NO_DEFENCE, start=found.state, on_round=lambda state: None)
    assert tiny.as_bytes(again.state) == tiny.as_bytes(whole.state)


def test_a_training_with_a_named_precision_records_what_it_did_before(tmp_path: Path):
    config = replace(AUTO, training=replace(AUTO.training, precision="float32"))
    states: list[State] = []
    train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, on_round=states.append)
    assert "precision" not in states[0].plain
