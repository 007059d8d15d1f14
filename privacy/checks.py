"""Checks of numbers and names; each complains in one line of what was expected and what came."""

import math


def positive(name: str, value: float) -> None:
    """Raises ValueError unless the value is above zero and finite."""
    if not value > 0:
        raise ValueError(f"expected {name} > 0, got {name}={value}")
    if not math.isfinite(value):
        raise ValueError(f"expected a finite {name}, got {name}={value}")


def whole(name: str, value: int) -> None:
    """Raises ValueError unless the value is an integer of at least zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected {name} to be an integer >= 0, got {name}={value!r}")


def open_unit(name: str, value: float) -> None:
    """Raises ValueError unless the value lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"expected 0 < {name} < 1, got {name}={value}")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ValueError unless the value is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {', '.join(allowed)}, got {name}={value!r}")
