"""Streams of random numbers: none shared, none narrow."""

import numpy as np
import torch

from fedbert.seeding import derive, generator, scoped


def draws(made: torch.Generator, n: int = 100_000) -> torch.Tensor:
    return torch.randn(n, generator=made, dtype=torch.float64)


def test_streams_depend_on_every_label_and_repeat() -> None:
    same = draws(generator(1, "noise", 2), 10)
    assert torch.equal(same, draws(generator(1, "noise", 2), 10))
    for other in ((2, "noise", 2), (1, "nois", 2), (1, "noise", 3), (1, "noise", 2, 0)):
        assert not torch.equal(same, draws(generator(*other), 10))


def test_a_stream_is_not_one_of_the_32_bit_seeds_of_torch() -> None:
    # torch keeps the low 32 bits of a seed; the state is filled from the hash instead.
    value = derive(1, "noise", 2)
    seeded = torch.Generator().manual_seed(value % 2**32)
    assert torch.equal(draws(seeded, 10), draws(torch.Generator().manual_seed(value), 10))
    assert not torch.equal(
        draws(torch.Generator().manual_seed(value), 10), draws(generator(1, "noise", 2), 10)
    )


def test_streams_are_standard_normal_and_uncorrelated() -> None:
    # Each of 200 x 3 statistics within 5.5 standard errors: false alarm below 600 * 4e-8 = 3e-5.
    n = 20_000
    for use in range(200):
        x, y = draws(generator(0, "a", use), n), draws(generator(0, "b", use), n)
        assert abs(float(x.mean())) < 5.5 / n**0.5
        assert abs(float(x.var()) - 1) < 5.5 * (2 / n) ** 0.5
        assert abs(float((x * y).mean())) < 5.5 / n**0.5


def test_scoped_leaves_the_default_generator_alone() -> None:
    before = torch.default_generator.get_state()
    with scoped(0, "x"):
        first = torch.rand(3)
    assert torch.equal(before, torch.default_generator.get_state())
    with scoped(0, "x"):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(first, torch.rand(3, generator=generator(0, "x")))


def test_derive_covers_its_range() -> None:
    # The mean of 1000 uniform numbers within 5 standard errors: false alarm 6e-7.
    values = np.array([derive(0, i) for i in range(1000)]) / 2**63
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / 1000) ** 0.5
