"""Row check that every mechanism makes of what it is given."""

import torch
from torch import Tensor

from privacy.randomness.release import why_not_finite


def checked_rows(records: Tensor) -> Tensor:
    """The very same rows `[record, value]`, once they are found to be rows of finite numbers.

    Raises:
        ValueError: not `[record, value]` of float32 or float64, or a value is not finite.
    """
    if records.ndim != 2:
        raise ValueError(f"expected records [record, value], got shape={list(records.shape)}")
    if records.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected records of float32 or float64, got dtype={records.dtype}")
    if not bool(torch.isfinite(records).all()):
        raise ValueError(why_not_finite(records))
    return records
