"""Renyi differential privacy of DP-SGD by dp-accounting, worked out once for all deltas."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


def rdp_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The least epsilon of RDP's orders for so many steps; infinite where none has one."""
    return float(_composed_rdp(noise_multiplier, sample_rate, steps).get_epsilon(delta))


@lru_cache(maxsize=256)  # a claim asks at several deltas, and again where it is checked
def _composed_rdp(noise_multiplier: float, sample_rate: float, steps: int) -> Any:
    """dp-accounting's RDP accountant after so many steps."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    with without_absl():
        accountant.compose(dp_accounting.PoissonSampledDpEvent(sample_rate, gaussian), steps)
    return accountant


@contextmanager
def without_absl() -> Iterator[None]:
    """Orders of RDP that do not converge are left out, which is sound: no line for each."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
