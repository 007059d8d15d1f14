"""Live audit as a record and a run's file hold it, checked before anything reads it."""

import re
from collections.abc import Mapping
from typing import Any

from reports import checks

NUMBERS = ("epsilon", "bound", "log_wealth", "canary_log_wealth")
SO_FAR = "claimed are {:.3g} so far"
"""How a fault ends that canaries found: the epsilon of the rounds until then."""
_TOLD = re.compile(SO_FAR.replace("{:.3g}", r"\S+"))


def check(curve: Any, where: str) -> None:
    """None, once `curve` is known to hold what figures read; ValueError otherwise."""
    if not isinstance(curve, Mapping):
        raise ValueError(f"expected an audit, got {where}={checks.shown(curve)}")
    checks.has_keys(curve, ("shown", "significance", "claimed", "points", "fault"), where)
    checks.text(curve["fault"], f"{where}.fault", empty=True)
    checks.number(curve["significance"], f"{where}.significance")
    if curve["claimed"] is not None:
        checks.number(curve["claimed"], f"{where}.claimed")
    if not isinstance(curve["points"], list):
        raise ValueError(f"expected points, got {where}.points={checks.shown(curve['points'])}")
    check_shown(curve["shown"], f"{where}.shown")
    for number, point in enumerate(curve["points"]):
        here = f"{where}.points[{number}]"
        if not isinstance(point, Mapping):
            raise ValueError(f"expected a point, got {here}={checks.shown(point)}")
        checks.has_keys(point, ("round",), here)
        checks.count(point["round"], f"{here}.round")
        for name in NUMBERS:
            if point.get(name) is not None:
                checks.number(point[name], f"{here}.{name}")


def check_shown(shown: Any, where: str) -> None:
    """None, once `shown` is known to say what was planted and looked at; ValueError otherwise."""
    if not isinstance(shown, Mapping):
        raise ValueError(f"expected what was planted, got {where}={checks.shown(shown)}")
    checks.has_keys(shown, ("kind", "canaries", "alpha", "rounds", "releases"), where)
    checks.text(shown["kind"], f"{where}.kind")
    checks.number(shown["alpha"], f"{where}.alpha")
    for name in ("canaries", "fresh", "rounds", "releases"):
        checks.count(shown.get(name, 0), f"{where}.{name}")  # older ones have none that are fresh


def unclaimed(curve: Mapping[str, Any]) -> dict[str, Any]:
    """The audit without an epsilon that was claimed or spent; what was shown and found stays."""
    points = [
        {k: value for k, value in point.items() if k != "epsilon"} for point in curve["points"]
    ]
    fault = without_epsilon(curve["fault"])
    return {**curve, "claimed": None, "points": points, "fault": fault}


def without_epsilon(fault: str) -> str:
    """What found a fault, without the epsilon that was claimed.

    >>> without_epsilon("canaries show epsilon >= 3, claimed are 2 so far")
    'canaries show epsilon >= 3, more than the noise allows'
    """
    return _TOLD.sub("more than the noise allows", fault)


def in_words(shown: Mapping[str, Any]) -> str:
    """What was planted and looked at, in a line.

    >>> in_words({"canaries": 20, "kind": "texts", "rounds": 4, "releases": 0})
    '20 canary texts were trained on by fair coins, over 4 rounds'
    """
    told = []
    if shown["canaries"]:
        what = f"{shown['canaries']} canary {shown['kind']}"
        over = f"over {shown['rounds']} {_rounds(shown)}"
        fresh = shown.get("fresh", 0)
        new = f", {fresh} of them by a new coin each time" if fresh else ""
        told.append(f"{what} were trained on by fair coins, {over}{new}")
    if shown["releases"]:
        told.append(f"noise was looked at each of the {shown['releases']} times that it was added")
    return "; ".join(told)


def _rounds(shown: Mapping[str, Any]) -> str:
    return "round" if shown["rounds"] == 1 else "rounds"
