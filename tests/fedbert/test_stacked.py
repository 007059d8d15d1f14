"""Stacked copies of T equal the plain module, copy by copy: values, gradients, dropout masks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedbert.copies import PlainCopy, StackedCopies
from fedbert.messages import HiddenGradient, SmashedData, to_array
from fedbert.seeding import generator
from fedbert.split import SplitBert
from fedbert.stacked import Ragged, run_stacked, stack, unstack
from tests.fedbert import tiny

EVEN = [(3, 7), (3, 7), (3, 7)]
RAGGED = [(3, 7), (1, 5), (4, 2)]


def inputs(sizes: list[tuple[int, int]], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Hidden states and attention masks; every mask but the first row's ends in padding."""
    draw = torch.Generator().manual_seed(3)
    hidden = [torch.randn(b, s, tiny.HIDDEN, generator=draw, dtype=dtype) for b, s in sizes]
    masks = [torch.ones(b, s, dtype=torch.int64) for b, s in sizes]
    for mask in masks:
        mask[1:, mask.shape[1] // 2 + 1 :] = 0
    return hidden, masks


def at_z(z: Tensor, used: str) -> Tensor:
    """A gradient of Z: dense, at token 0 alone (classification), scattered (masked-LM), or zero."""
    gradient = torch.randn(z.shape, generator=torch.Generator().manual_seed(5), dtype=z.dtype)
    keep = torch.zeros(z.shape[:2], dtype=torch.bool)
    keep[:, 0] = used == "first"
    if used == "some":
        keep = torch.rand(keep.shape, generator=torch.Generator().manual_seed(len(z))) < 0.3
    return gradient if used == "all" else gradient * keep[..., None]


def models(count: int, dropout: float, dtype: torch.dtype, architecture: str) -> list[SplitBert]:
    return [
        tiny.split_model(architecture, "two", dropout=dropout, dtype=dtype, seed=i)
        for i in range(count)
    ]


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("sizes", [EVEN, RAGGED], ids=["even", "ragged"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("used", ["all", "first", "some", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-11)])
def test_run_stacked_equals_each_body(
    dtype: torch.dtype,
    tolerance: float,
    used: str,
    dropout: float,
    sizes: list[tuple[int, int]],
    architecture: str,
) -> None:
    splits = models(len(sizes), dropout, dtype, architecture)
    hidden, masks = inputs(sizes, dtype)
    layers = [
        {
            name: torch.stack(
                [dict(s.body.layers[i].named_parameters())[name].detach() for s in splits]
            ).requires_grad_()
            for name, _ in splits[0].body.layers[i].named_parameters()
        }
        for i in range(tiny.LAYERS)
    ]
    stacked = stack([h.clone() for h in hidden])
    stacked.values.requires_grad_()
    draws = [generator(0, "x", c) for c in range(len(sizes))] if dropout else None
    done = run_stacked(layers, stacked, stack(masks), splits[0].body.config, draws)
    found = unstack(done.z)
    weights = [at_z(z, used) for z in found]
    z, gradient = done.tokens(stack(weights).values)
    z.backward(gradient)

    for c, split in enumerate(splits):
        own = hidden[c].clone().requires_grad_()
        split.body.train()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.set_state(generator(0, "x", c).get_state())
            z = split.body(own, masks[c])
        torch.testing.assert_close(found[c], z, rtol=tolerance, atol=tolerance)
        z.backward(weights[c])
        b, s = sizes[c]
        torch.testing.assert_close(
            stacked.values.grad[c, :b, :s], own.grad, rtol=tolerance, atol=tolerance
        )
        for i, layer in enumerate(split.body.layers):
            for name, parameter in layer.named_parameters():
                torch.testing.assert_close(
                    layers[i][name].grad[c],
                    parameter.grad,
                    rtol=tolerance,
                    atol=10 * tolerance,
                    msg=lambda text, name=name: f"{name}: {text}",
                )


def test_dropout_masks_are_each_clients_own() -> None:
    """The same copy and input twice: apart only by the generator."""
    (split,) = models(1, 0.5, torch.float64, "bert")
    hidden, masks = inputs([(3, 7)], torch.float64)
    layers = [
        {n: torch.stack([p.detach()] * 2) for n, p in layer.named_parameters()}
        for layer in split.body.layers
    ]

    def run(seeds: tuple[int, int]) -> list[Tensor]:
        draws = [torch.Generator().manual_seed(s) for s in seeds]
        return unstack(
            run_stacked(layers, stack(hidden * 2), stack(masks * 2), split.body.config, draws).z
        )

    one, other = run((1, 1))
    assert torch.equal(one, other)
    one, other = run((1, 2))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("sizes", [EVEN, RAGGED], ids=["even", "ragged"])
def test_unstack_undoes_stack(sizes: list[tuple[int, int]]) -> None:
    hidden, _ = inputs(sizes, torch.float32)
    ragged = stack(hidden)
    assert isinstance(ragged, Ragged)
    assert ragged.values.shape == (3, max(b for b, _ in sizes), 7, tiny.HIDDEN)
    for found, expected in zip(unstack(ragged), hidden, strict=True):
        assert torch.equal(found, expected)
    if sizes is RAGGED:
        assert not ragged.values[1, 1:].any() and not ragged.values[1, :, 5:].any()


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("sizes", [EVEN, RAGGED], ids=["even", "ragged"])
def test_stacked_party_equals_plain_parties(sizes: list[tuple[int, int]], freeze: bool) -> None:
    """Three steps each: messages, parameters and moments; moments loaded from an earlier run."""
    config = tiny.config_of("two", clients=3, freeze=freeze, precision="float64", max_grad_norm=0.3)
    split = tiny.split_model("bert", "two", dropout=0.2, dtype=torch.float64)
    start = {n: to_array(p) for n, p in split.body_names.items()}
    hidden, masks = inputs(sizes, torch.float64)

    def play(copies: Any, who: list[int], steps: range) -> list[np.ndarray]:
        said = []
        for step in steps:
            smashed = [
                SmashedData(c, 0, step, to_array(hidden[c] + step), to_array(masks[c])) for c in who
            ]
            said += [z.hidden for z in copies.forward(smashed)]
            back = [HiddenGradient(c, 0, step, to_array(hidden[c].sin())) for c in who]
            answers = copies.backward(back, 1e-2)
            assert len(answers) == (0 if freeze else len(who))
            said += [g.gradient for g in answers]
        return said

    def plain(client: int, state: dict[str, np.ndarray]) -> PlainCopy:
        own = tiny.split_model("bert", "two", dropout=0.2, dtype=torch.float64)
        copy = PlainCopy(own.body, own.body_names, config)
        copy.load(start, state)
        return copy

    states: list[dict[str, np.ndarray]] = [{}, {}, {}]
    for steps in (range(2), range(2, 3)):  # the second turn goes on with the first's moments
        stacked = StackedCopies(split.body, split.body_names, config, start, states)
        said = play(stacked, [0, 1, 2], steps)
        values, moments = stacked.values(), stacked.moments()
        for client in range(3):
            alone = plain(client, states[client])
            expected = play(alone, [client], steps)
            mine = [m for i, m in enumerate(said) if i % 3 == client]
            for found, wanted in zip(mine, expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
            for found, wanted in (
                (values[client], alone.values()[0]),
                (moments[client], alone.moments()[0]),
            ):
                assert found.keys() == wanted.keys()
                for name, value in wanted.items():
                    assert found[name].shape == value.shape, name
                    np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-9, err_msg=name)
        states = moments


def test_backward_before_forward_is_refused() -> None:
    config = tiny.config_of("two", clients=2)
    split = tiny.split_model()
    start = {n: to_array(p) for n, p in split.body_names.items()}
    gradient = HiddenGradient(0, 0, 0, np.zeros((1, 2, tiny.HIDDEN), dtype=np.float32))
    stacked = StackedCopies(split.body, split.body_names, config, start, [{}, {}])
    with pytest.raises(RuntimeError, match="forward message before"):
        stacked.backward([gradient, gradient], 1e-3)
    with pytest.raises(RuntimeError, match="forward message before"):
        PlainCopy(split.body, split.body_names, config).backward([gradient], 1e-3)
