"""Noise on tables of which a few rows hold records: every row is noised, none is read."""

import numpy as np
import torch
from torch import Tensor

from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import CHUNK
from privacy.randomness.release import (
    SINGLE_BITS,
    TYPES,
    check_finite,
    grid_step,
    whole_steps,
    write_steps,
)


def noise_table(out: Tensor, rows: Tensor, records: Tensor, std: float, draws: Draws) -> None:
    """Overwrite a table [row, value] with Gaussian noise plus the records [record, value].

    The records stand at the rows named (int64, ascending, each once); all others are zeros. The
    same as `release.add_gaussian` on the table as a whole: cut, summed on the grid, rounded once.

    Raises:
        ValueError: shapes or types do not fit, rows are not as said, std or records as there.
    """
    if out.ndim != 2 or out.dtype not in TYPES or records.dtype != out.dtype:
        raise ValueError(
            f"expected a table and records of float32 or float64, got {out.dtype} "
            f"{list(out.shape)} and {records.dtype}"
        )
    places, step = rows.detach().cpu().numpy(), grid_step(std)
    if records.shape != (len(places), out.shape[1]):
        want, got = [len(places), out.shape[1]], list(records.shape)
        raise ValueError(f"expected records {want}, one for each row, got shape={got}")
    if len(places) and not (
        (np.diff(places) > 0).all() and places[0] >= 0 and places[-1] < len(out)
    ):
        raise ValueError(f"expected ascending rows below {len(out)}, each once, got others")
    values = records.detach().cpu().contiguous().view(-1).numpy()
    cut = np.empty(values.size)
    if not whole_steps(values, step, cut):
        check_finite(values, step, records)
    cut = cut.reshape(records.shape)
    direct = out.is_contiguous() and out.device.type == "cpu"
    table = out.detach() if direct else torch.empty(out.shape, dtype=out.dtype)
    target, width = table.numpy(), out.shape[1]
    most = float(np.abs(cut).max(initial=0.0))
    fast = 2.0**-SINGLE_BITS < step < 2.0**SINGLE_BITS and most < 2.0**SINGLE_BITS
    count = max(1, CHUNK // max(1, width))
    drawn = np.empty((min(count, len(target)), width))
    for start in range(0, len(target), count):
        part = target[start : start + count]
        noise = drawn[: len(part)]
        draws.gaussian_into(noise.reshape(-1), std / step)
        np.rint(noise, out=noise)
        first, last = np.searchsorted(places, (start, start + count))
        noise[places[first:last] - start] += cut[first:last]
        write_steps(noise, step, part, fast)
    if not direct:
        out.copy_(table)
