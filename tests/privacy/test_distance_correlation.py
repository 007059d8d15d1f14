"""Distance correlation against its definition, its invariances and its edges."""

import math

import numpy as np
import pytest
import torch

from privacy.distance_correlation import DistanceCorrelation, distance_correlation
from tests.privacy.statistics import generator


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def distances(x: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - x[None]).norm(dim=2)


def by_definition(x: np.ndarray, a: np.ndarray) -> float:
    """S1 + S2 - 2 S3 of Székely et al. (2007), remark 3, in plain loops over triples."""
    n = len(x)
    first = [[math.dist(x[i], x[j]) for j in range(n)] for i in range(n)]
    second = [[math.dist(a[i], a[j]) for j in range(n)] for i in range(n)]

    def covariance(p: list[list[float]], q: list[list[float]]) -> float:
        together = sum(p[i][j] * q[i][j] for i in range(n) for j in range(n)) / n**2
        apart = sum(map(sum, p)) * sum(map(sum, q)) / n**4
        triples = sum(p[i][j] * q[i][k] for i in range(n) for j in range(n) for k in range(n))
        return together + apart - 2 * triples / n**3

    product = covariance(first, first) * covariance(second, second)
    return math.sqrt(covariance(first, second) / math.sqrt(product))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (3, 1), (5, 4), (9, 2), (12, 20)])
def test_it_equals_the_definition_in_loops(n, d):
    x, a = normal(n, 3, seed=n), normal(n, d, seed=d)
    a[:, 0] += x[:, 0]
    ours = float(distance_correlation(distances(x), a))
    assert ours == pytest.approx(by_definition(x.numpy(), a.numpy()), rel=1e-9)
    single = distance_correlation(distances(x).float(), a.float())
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(ours, abs=1e-5)


def test_it_sees_what_correlation_does_not_and_falls_with_independence():
    x = normal(400, 1)
    parabola = x.square() - 1.0  # uncorrelated with x, and a function of it
    noise = normal(400, 1, seed=2)
    seen = float(distance_correlation(distances(x), parabola))
    alone = float(distance_correlation(distances(x), noise))
    # The biased estimate is above 0 for independent samples: n V^2 / S2 has mean 1 (theorem 5),
    # and above 5 with a probability far below 1e-4; here that is a correlation of about 0.2.
    assert alone < 0.2 < 0.4 < seen


def test_it_does_not_see_shift_rotation_and_scale():
    x, a = normal(15, 4), normal(15, 6, seed=2)
    plain = float(distance_correlation(distances(x), a))
    turned = torch.linalg.qr(normal(6, 6, seed=3))[0]
    moved = -7.0 * (a @ turned) + normal(1, 6, seed=4)
    assert float(distance_correlation(distances(x), moved)) == pytest.approx(plain, rel=1e-10)
    assert float(distance_correlation(3.0 * distances(x), a)) == pytest.approx(plain, rel=1e-10)
    order = torch.randperm(15, generator=generator(5))
    shuffled = distance_correlation(distances(x[order]), a[order])
    assert float(shuffled) == pytest.approx(plain, rel=1e-10)
    assert float(distance_correlation(distances(x), a[order])) != pytest.approx(plain, rel=1e-3)
    assert float(distance_correlation(distances(a), a @ turned)) == pytest.approx(1.0, rel=1e-10)


def test_the_gradient_is_the_true_one_and_descends():
    x = normal(6, 3)
    a = normal(6, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: distance_correlation(distances(x), y), (a,))
    start = value = distance_correlation(distances(x), a)
    for _ in range(20):
        (gradient,) = torch.autograd.grad(value, a)
        a = (a - 0.5 * gradient).detach().requires_grad_()
        value = distance_correlation(distances(x), a)
    assert float(value.detach()) < 0.95 * float(start.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_rows_and_rows_alike_have_finite_gradients(n, dtype):
    x = normal(n, 3).to(dtype)
    alike = torch.ones(n, 4, dtype=dtype)
    different = normal(n, 4, seed=2).to(dtype)
    some = different.clone()
    some[: n // 2] = some[:1]
    cases = [(x, alike, 0.0), (torch.ones_like(x), different, 0.0), (x, some, None)]
    cases += [(x, different, {0: 0.0, 1: 0.0, 2: 1.0}.get(n))]
    for inputs, rows, expected in cases:
        a = rows.clone().requires_grad_()
        value = distance_correlation(distances(inputs), a)
        (gradient,) = torch.autograd.grad(value, a)
        assert value.ndim == 0 and torch.isfinite(value)
        assert torch.isfinite(gradient).all()
        if expected is not None:
            assert float(value.detach()) == pytest.approx(expected, abs=1e-6)
            assert n == 0 or float(gradient.abs().max()) < 1e-6


def test_close_rows_far_from_the_origin_keep_their_distances():
    # By inner products in float32 these distances would be rounding.
    a = 1000.0 + 0.01 * normal(8, 4)
    single = float(distance_correlation(distances(a), a.float()))
    assert single == pytest.approx(1.0, abs=1e-3)


def test_messages_in_float32_are_compared_in_float64():
    for seed in range(5):
        a = normal(20, 30, seed=seed).float()
        x = distances(normal(20, 3, seed=seed + 10))
        exact = distance_correlation(x, a.double())
        assert torch.equal(distance_correlation(x, a), exact.float())


def test_shapes_and_numbers_are_checked():
    a = torch.ones(3, 2)
    for x in (torch.ones(3, 2), torch.ones(3), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"expected x_distances \[n, n\] and a \[n, value\]"):
            distance_correlation(x, a)
    for rows in (torch.ones(3), torch.ones(3, 2, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="got shapes"):
            distance_correlation(torch.ones(3, 3), rows)
    bad = a.clone()
    bad[0, 0] = math.nan
    with pytest.raises(ValueError, match="expected a of finite values"):
        distance_correlation(torch.ones(3, 3), bad)
    with pytest.raises(ValueError, match="expected x_distances of finite values"):
        distance_correlation(torch.full((3, 3), math.inf), a)


def test_the_penalty_is_weighted_and_its_weight_checked():
    x, a = distances(normal(5, 2)), normal(5, 3, seed=2)
    plain = distance_correlation(x, a)
    assert torch.equal(DistanceCorrelation(0.25).penalty(x, a), 0.25 * plain)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="got weight="):
            DistanceCorrelation(bad)
