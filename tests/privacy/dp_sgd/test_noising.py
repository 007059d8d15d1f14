"""Noise on clipped sums: every value gets its own, and what is summed stays what it was."""

import pytest
import torch
from scipy import stats

from privacy.dp_sgd.noising import SMALL, noise_sums
from privacy.dp_sgd.uses import Summed
from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import KeyStream
from tests.privacy.statistics import follows, gaussian_scale

SHAPES = {"bias": (7,), "norm": (SMALL,), "weight": (90, 70), "table": (300, 16), "unused": (2, 5)}


def noised(sums: dict[str, Summed], std: float) -> dict[str, torch.Tensor]:
    out = {name: torch.full(shape, torch.nan) for name, shape in SHAPES.items()}
    noise_sums(out, sums, std, Draws(KeyStream(bytes(32))))
    return out


def test_each_tensor_is_its_sum_and_noise_of_its_own() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.tensor([2, 3, 299])
    sums = {n: Summed(torch.randn(SHAPES[n], generator=rng)) for n in ("bias", "norm", "weight")}
    sums["table"] = Summed(torch.randn(3, 16, generator=rng), rows)
    empty, full = noised({}, 1.0), noised(sums, 1e-6)
    for name, summed in sums.items():
        whole = torch.zeros(SHAPES[name])
        whole[slice(None) if summed.rows is None else summed.rows] = summed.values
        assert torch.allclose(full[name], whole, atol=1e-5), name
    values = torch.cat([each.flatten() for each in empty.values()])
    assert len(values.unique()) > 0.999 * len(values)  # float32: a few are the same by chance
    assert follows(values, stats.norm.cdf) and gaussian_scale(values, 1.0)


def test_a_sum_that_does_not_fit_is_refused() -> None:
    for values in (torch.zeros(8), torch.zeros(7, dtype=torch.float64)):
        with pytest.raises(ValueError, match="expected room like the records"):
            noised({"bias": Summed(values)}, 1.0)
