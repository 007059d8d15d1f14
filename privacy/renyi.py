"""Renyi differential privacy of DP-SGD by dp-accounting: the least epsilon of its orders."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

# Of how many orders one is asked before those beside the best.
APART = 8


def rdp_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The least epsilon of RDP's orders for so many steps; infinite where none has one.

    Every order gives a bound. They take long, so that only some of them are asked, and then those
    beside the best of these: over the orders epsilon falls and then rises.
    """
    from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS

    every = tuple(DEFAULT_RDP_ORDERS)
    epsilon, order = _of_orders(noise_multiplier, sample_rate, steps, every[::APART], delta)
    if not math.isfinite(epsilon):
        return epsilon
    at = every.index(order)
    beside = every[max(0, at - APART + 1) : at + APART]
    return min(epsilon, _of_orders(noise_multiplier, sample_rate, steps, beside, delta)[0])


def _of_orders(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    orders: tuple[float, ...],
    delta: float,
) -> tuple[float, float]:
    """The least epsilon of these orders, and which gives it."""
    accountant = _composed_rdp(noise_multiplier, sample_rate, steps, orders)
    epsilon, order = accountant.get_epsilon_and_optimal_order(delta)
    return float(epsilon), float(order)


@lru_cache(maxsize=512)  # a claim asks at several deltas, and again where it is checked
def _composed_rdp(
    noise_multiplier: float, sample_rate: float, steps: int, orders: tuple[float, ...]
) -> Any:
    """dp-accounting's RDP accountant after so many steps."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(orders)
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
