"""Received updates: what of the clients' updates a training took, in a record and in a line."""

from collections.abc import Mapping
from typing import Any

from reports import checks

AGAIN = "sent again"
"""Why a message is refused whose update is taken: it came before."""


def check(received: Any, where: str) -> None:
    """None, once `received` is known to hold what a line is made of; ValueError otherwise."""
    if not isinstance(received, Mapping):
        raise ValueError(f"expected what was received, got {where}={checks.shown(received)}")
    checks.has_keys(received, ("expected", "missing", "reasons", "refused", "skipped"), where)
    for name in ("expected", "missing"):
        checks.count(received[name], f"{where}.{name}")
    if not isinstance(received["reasons"], Mapping):
        raise ValueError(f"expected counts by reason, got {where}.reasons")
    for why, count in received["reasons"].items():
        checks.text(why, f"{where}.reasons")
        checks.count(count, f"{where}.reasons.{why}")
    for name in ("refused", "skipped"):
        if not isinstance(received[name], list):
            raise ValueError(f"expected a list, got {where}.{name}")
    for number, each in enumerate(received["refused"]):
        here = f"{where}.refused[{number}]"
        if not isinstance(each, Mapping):
            raise ValueError(f"expected a refusal, got {here}={checks.shown(each)}")
        checks.has_keys(each, ("client", "round", "why"), here)
        for name in ("client", "round"):
            checks.count(each[name], f"{here}.{name}")
        checks.text(each["why"], f"{here}.why")
    for number, each in enumerate(received["skipped"]):
        checks.count(each, f"{where}.skipped[{number}]")


def line(received: Mapping[str, Any]) -> str:
    """What became of a training's updates, in one line; "" where all came and were taken.

    >>> line({"expected": 640, "missing": 2, "reasons": {"late": 3, "sent again": 1},
    ...       "refused": [], "skipped": [4]})
    '3 of 640 updates refused: 3 late; 2 did not come; 1 came again; 1 round skipped'
    """
    if not received:
        return ""
    reasons = dict(received["reasons"])
    again = reasons.pop(AGAIN, 0)
    told = [f"{sum(reasons.values())} of {received['expected']} updates refused"]
    if reasons:
        told[0] += f": {', '.join(f'{n} {why}' for why, n in reasons.items())}"
    for count, what in ((received["missing"], "did not come"), (again, "came again")):
        told += [f"{count} {what}"] if count else []
    if count := len(received["skipped"]):
        told.append(f"{count} round{'' if count == 1 else 's'} skipped")
    return "; ".join(told)
