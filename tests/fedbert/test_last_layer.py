"""Last layer of a lone copy: values as transformers' layers make them, gradients as autograd's."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fedbert import client, copies
from fedbert.config import Config
from fedbert.last_layer import Pass, forward_pass, run_copy
from fedbert.messages import HiddenGradient, HiddenStates
from fedbert.precision import autocast
from fedbert.seeding import scoped
from fedbert.split import SplitBert
from tests.fedbert import tiny

PRECISIONS = ("float32", "float64", "bf16")
BATCH, SEQ = 4, 7


def batch_of(precision: str, padded: bool = True) -> tuple[Tensor, Tensor]:
    """Hidden states [4, 7, hidden] and their mask; all but the first two examples are padded."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(BATCH, SEQ, tiny.HIDDEN, generator=draw, dtype=dtype)
    mask = torch.ones(BATCH, SEQ, dtype=torch.int64)
    if padded:
        mask[2:, 4:] = 0
    return hidden, mask


def model(precision: str, architecture: str, dropout: float, kind: str = "two") -> SplitBert:
    dtype = torch.float64 if precision == "float64" else torch.float32
    split = tiny.split_model(architecture, kind, dropout=dropout, dtype=dtype)
    split.body.train()
    return split


def run(split: SplitBert, hidden: Tensor, mask: Tensor, config: Config, few: bool) -> Pass:
    """Return the pass of one seed, and leave torch's generator behind the coins that were drawn."""
    torch.manual_seed(11)
    with autocast(config):
        return forward_pass(split.body, hidden, mask, config, few)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_z_and_the_coins_are_the_same_bit_for_bit(
    precision: str, architecture: str, dropout: float, padded: bool
) -> None:
    split, config = model(precision, architecture, dropout), tiny.config_of(precision=precision)
    hidden, mask = batch_of(precision, padded)
    with scoped(0, "outside"):
        whole, after = run(split, hidden, mask, config, few=False), torch.get_rng_state()
        found = run(split, hidden, mask, config, few=True)
        assert torch.equal(after, torch.get_rng_state())
    assert whole.few is None and found.few is not None
    assert whole.z.dtype == found.z.dtype
    assert torch.equal(whole.z, found.z)


def at_z(used: str, dtype: torch.dtype) -> Tensor:
    """G_Z at token 0 alone (classification), at a third of all, at each, or nowhere."""
    draw = torch.Generator().manual_seed(5)
    gradient = torch.randn(BATCH, SEQ, tiny.HIDDEN, generator=draw, dtype=dtype)
    keep = torch.zeros(BATCH, SEQ, dtype=torch.bool)
    keep[:, 0] = used == "first"
    if used == "some":
        keep = torch.rand(keep.shape, generator=draw) < 0.3
    return gradient if used == "all" else gradient * keep[..., None]


def gradients(
    split: SplitBert, config: Config, used: str, few: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """The gradient of A, and those of T by transformers' name."""
    hidden, mask = batch_of(config.training.precision)
    hidden.requires_grad_()
    split.whole.zero_grad()
    with scoped(0, "outside"):
        done = run(split, hidden, mask, config, few)
    assert (done.few is not None) == few
    done.backward(at_z(used, hidden.dtype), config)
    assert hidden.grad is not None
    return hidden.grad, {n: p.grad for n, p in split.body_names.items() if p.grad is not None}


@pytest.mark.parametrize("used", ["first", "some", "all", "none"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-5), ("bf16", 0.05)]
)
def test_gradients_are_those_of_the_whole_graph(
    precision: str, tolerance: float, architecture: str, dropout: float, used: str
) -> None:
    split, config = model(precision, architecture, dropout), tiny.config_of(precision=precision)
    at_a, expected = gradients(split, config, used, few=False)
    found_at_a, found = gradients(split, config, used, few=True)
    assert found.keys() == expected.keys() == split.body_names.keys()
    total = float(torch.stack([g.norm() for g in expected.values()]).norm())
    assert (total == 0) == (used == "none")
    for name, gradient in [("A", at_a), *expected.items()]:
        mine = found_at_a if name == "A" else found[name]
        # The true gradient of a key's bias is zero (softmax ignores shifts).
        scale = total if name.endswith("key.bias") else float(gradient.norm())
        assert mine.dtype == gradient.dtype and mine.shape == gradient.shape, name
        assert float((mine - gradient).norm()) <= tolerance * scale, name


@pytest.mark.parametrize(("used", "tokens"), [("first", 1), ("all", SEQ), ("none", 1)])
def test_only_the_tokens_that_the_gradient_reaches_are_made_anew(used: str, tokens: int) -> None:
    split = model("float32", "bert", 0.3)
    hidden, mask = batch_of("float32")
    done = run_copy(split.body.layers, hidden, mask, split.body.config)
    assert not done.z.values.requires_grad
    z, gradient = done.tokens(at_z(used, torch.float32)[None])
    assert z.shape == gradient.shape == (1, BATCH, tokens, tiny.HIDDEN)


@pytest.mark.parametrize(("kind", "few"), [("mlm-tied", True), ("two", False)])
def test_masked_lm_and_dp_sgd_keep_the_whole_graph(kind: str, few: bool) -> None:
    hidden, mask = batch_of("float32")
    split, config = model("float32", "bert", 0.0, kind), tiny.config_of(kind)
    done = forward_pass(split.body, hidden, mask, config, few)
    assert done.few is None and done.z.requires_grad


def test_an_empty_t_passes_on_what_it_is_given() -> None:
    split = tiny.split_model(cut_layer=tiny.LAYERS)
    hidden, mask = batch_of("float32")
    assert forward_pass(split.body, hidden, mask, tiny.config_of(), few=True).z is hidden


@pytest.mark.parametrize("strategy", ["centralised", "fedavg", "parallel", "sequential"])
@pytest.mark.parametrize(("freeze", "cut_layer"), [(False, 0), (True, 1)])
def test_trainings_are_those_of_the_whole_graph(
    strategy: str, freeze: bool, cut_layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: dict[str, Any] = {"strategy": strategy, "freeze": freeze, "cut_layer": cut_layer}
    run |= {"precision": "float64", "dropout": 0.2}
    heard = [tiny.Recorder(), tiny.Recorder()]
    found = tiny.trained(listeners=heard[:1], **run).state
    for module in (client, copies):
        monkeypatch.setattr(
            module, "forward_pass", lambda *given: forward_pass(*given[:-1], few=False)
        )
    expected = tiny.trained(listeners=heard[1:], **run).state
    assert 0 < tiny.largest_difference(found, expected) < 1e-10
    for kind, part in ((HiddenStates, "hidden"), (HiddenGradient, "gradient")):
        (mine, other) = ([m for m in r.messages if isinstance(m, kind)][:1] for r in heard)
        assert [getattr(m, part).tobytes() for m in mine] == [
            getattr(m, part).tobytes() for m in other
        ]
