"""What would leave a gradient unclipped, or wrong, is an error that says where."""

import pytest
import torch
from torch import nn

from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.engine import Recorder
from tests.fedbert import tiny
from tests.privacy.dp_sgd import oracle


def recorder_of(module: nn.Module, **options) -> Recorder:
    return Recorder(module, dict(module.named_parameters()), **options)


class Shared(nn.Module):
    """Two Linears, one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


class Scaled(nn.Module):
    """A Linear and a parameter that no known module owns."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(3, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale


class Doubled(nn.Linear):
    """Not quite a Linear."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Scaled(), {}, "got scale: scale of Scaled"),
        (nn.Sequential(nn.Conv1d(2, 2, 1)), {}, "got 0.weight: weight of Conv1d 0"),
        (Doubled(3, 3), {}, "got weight: weight of Doubled"),
        (Shared(), {}, r"expected a.weight in one module"),
        (nn.Embedding(5, 3, max_norm=1.0), {}, "expected no max_norm"),
        (nn.Embedding(5, 3, scale_grad_by_freq=True), {}, "scale_grad_by_freq"),
        (nn.Embedding(5, 3), {"ragged": ("",)}, "no Embedding in a ragged part"),
        (nn.Linear(3, 3), {"ragged": ("head",)}, "expected ragged parts among"),
        (nn.Linear(3, 3), {"unused": ("scale",)}, "expected unused to name"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_it_does_not_know_is_refused(module, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        recorder_of(module, **options)


def test_parts_and_parameters_must_match() -> None:
    module = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"every trainable parameter, got none for \.bias"):
        Recorder(module, {"weight": module.weight})
    with pytest.raises(ValueError, match="got other: no part that was given"):
        Recorder(module, {**dict(module.named_parameters()), "other": nn.Linear(2, 2).weight})
    with pytest.raises(ValueError, match="in ragged parts or in others"):
        Recorder({"a": module, "b": module}, dict(module.named_parameters()), ragged=("b",))


def test_a_leak_before_or_after_is_an_error() -> None:
    module = nn.Linear(3, 2)
    recorder = recorder_of(module)
    module(torch.ones(4, 3)).sum().backward()
    with pytest.raises(RuntimeError, match=r"no \.grad on recorded parameters, got one on weight"):
        recorder.record().__enter__()
    module.zero_grad()
    with recorder.record():
        module(torch.ones(4, 3)).sum().backward()
    module(torch.ones(4, 3)).sum().backward()  # somebody else's
    for call in (lambda: recorder.squared_norms(4), lambda: recorder.clipped_sum(torch.ones(4))):
        with pytest.raises(RuntimeError, match=r"expected no \.grad"):
            call()


def test_a_parameter_said_to_be_unused_must_be() -> None:
    module = Scaled()
    recorder = recorder_of(module, unused=("scale",))
    with recorder.record():
        module(torch.ones(4, 3)).sum().backward()
    with pytest.raises(RuntimeError, match="got one on scale"):
        recorder.squared_norms(4)


def test_a_module_used_twice_is_an_error() -> None:
    module = nn.Linear(3, 3)
    with recorder_of(module).record(), pytest.raises(RuntimeError, match="once in a forward"):
        module(module(torch.ones(4, 3)))


def test_a_second_backward_is_an_error() -> None:
    module = nn.Linear(3, 3)
    with recorder_of(module).record():
        loss = module(torch.ones(4, 3)).sum()
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="expected one backward"):
            loss.backward()


def test_a_backward_after_the_norms_is_an_error() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    recorder = recorder_of(model)
    with recorder.record():
        first, second = (model[key](torch.ones(4, 3)).sum() for key in "ab")
    first.backward()
    recorder.squared_norms(4)
    with pytest.raises(RuntimeError, match="no backward after the norms, got b"):
        second.backward()


@pytest.mark.parametrize("kind", [nn.Linear(3, 3), nn.LayerNorm(3)])
def test_an_input_changed_in_place_is_an_error(kind) -> None:
    values = torch.ones(4, 3)
    with recorder_of(kind).record():
        loss = kind(values).sum()
        values.mul_(2.0)
        with pytest.raises(RuntimeError, match="unchanged"):
            loss.backward()


def test_a_missing_backward_is_an_error() -> None:
    module = nn.Linear(3, 3)
    recorder = recorder_of(module)
    with recorder.record():
        module(torch.ones(4, 3))
    with pytest.raises(RuntimeError, match="no backward"):
        recorder.squared_norms(4)
    with pytest.raises(RuntimeError, match="expected squared_norms"):
        recorder.clipped_sum(torch.ones(4))


def test_a_wrong_batch_axis_is_an_error() -> None:
    split = tiny.split_model()
    recorder = Recorder(split.whole, oracle.named(split))
    with recorder.record():  # position ids come as [1, seq], as transformers makes them
        split.whole(torch.ones(3, 5, dtype=torch.long)).logits.sum().backward()
    with pytest.raises(RuntimeError, match=r"first axis of 3, got 1 in .*position_embeddings"):
        recorder.squared_norms(3)


def test_ragged_parts_need_an_owner_that_fits() -> None:
    module = nn.Linear(3, 3)
    plain, ragged = recorder_of(module), recorder_of(module, ragged=("",))
    with pytest.raises(ValueError, match="exactly with ragged parts"):
        plain.record(torch.tensor([0, 1])).__enter__()
    with pytest.raises(ValueError, match="exactly with ragged parts"):
        ragged.record().__enter__()
    with pytest.raises(ValueError, match="ascending"):
        ragged.record(torch.tensor([1, 0])).__enter__()
    owner = torch.tensor([0, 0, 2])
    with ragged.record(owner), pytest.raises(RuntimeError, match=r"rows \[3, width\]"):
        module(torch.ones(2, 3, 3))
    ragged.clear()
    with ragged.record(owner):
        module(torch.ones(3, 3)).sum().backward()
    with pytest.raises(RuntimeError, match="owners below 2, got 2"):
        ragged.squared_norms(2)


def test_passes_do_not_mix() -> None:
    module = nn.Linear(3, 3)
    recorder = recorder_of(module)
    with recorder.record():
        module(torch.ones(4, 3)).sum().backward()
        with pytest.raises(RuntimeError, match="clear"):
            recorder.record().__enter__()
    with pytest.raises(RuntimeError, match="clear"):
        recorder.record().__enter__()
    recorder.clear()
    with recorder.record():
        module(torch.ones(4, 3)).sum().backward()


def test_parameters_thaw_and_hooks_go_when_the_pass_fails() -> None:
    module = nn.Linear(3, 3)
    with pytest.raises(KeyError), recorder_of(module).record():
        raise KeyError
    assert module.weight.requires_grad and module.bias.requires_grad
    assert not module._forward_hooks


def test_factors_and_buffers_are_checked() -> None:
    module = nn.Linear(3, 3)
    recorder = recorder_of(module)
    with recorder.record():
        module(torch.ones(4, 3)).sum().backward()
    recorder.squared_norms(4)
    for factors, message in (
        (torch.ones(3), r"expected factors \[4\]"),
        (torch.full((4,), 1.5), "from 0 to 1"),
        (torch.full((4,), float("nan")), "from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            recorder.clipped_sum(factors)
    ones, bias = torch.ones(4), torch.zeros(3)
    for into, message in (
        ({"weight": torch.zeros(3, 3)}, "expected a tensor for bias"),
        ({"weight": torch.zeros(3, 2), "bias": bias}, "expected weight as contiguous"),
        ({"weight": torch.zeros(3, 3).double(), "bias": bias}, "expected weight as"),
        ({"weight": torch.zeros(6, 3)[::2], "bias": bias}, "expected weight as contiguous"),
    ):
        with pytest.raises(ValueError, match=message):
            recorder.clipped_sum(ones, into)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_norms_that_are_none_are_refused(bad) -> None:
    with pytest.raises(ValueError, match="expected finite squared norms >= 0, got 1"):
        clip_factors(torch.tensor([1.0, bad]), 1.0)
    with pytest.raises(ValueError, match="clip_norm"):
        clip_factors(torch.ones(2), 0.0)


def test_factors_scale_down_and_never_up() -> None:
    squared = torch.tensor([0.0, 1e-30, 0.25, 1.0, 4.0, 1e20], dtype=torch.float64)
    factors = clip_factors(squared, 1.0)
    assert factors[:3].tolist() == [1.0, 1.0, 1.0]
    assert bool((factors * squared.sqrt() <= 1.0).all())
    torch.testing.assert_close(
        factors[3:], torch.tensor([1.0, 0.5, 1e-10], dtype=torch.float64), rtol=2e-4, atol=0
    )
