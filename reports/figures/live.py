"""Live audit as plain data: spent epsilon and empirical bound by round; drawn elsewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Curve = tuple[tuple[int, float], ...]
"""Values by round."""


@dataclass(frozen=True)
class LiveFigure:
    """What a training spent and what its audit showed, by round.

    spent: the epsilon of the rounds so far. bound: the lower bound on it, by canaries. claimed:
    that of all rounds; None where nothing is. evidence, of_canaries: against the noise, and
    against single rounds, as powers of ten. confidence: in words. notice: the fault, if any.
    """

    title: str
    spent: Curve
    bound: Curve
    evidence: Curve
    of_canaries: Curve
    claimed: float | None
    confidence: str
    notice: str = ""


def live_data(curve: Mapping[str, Any]) -> LiveFigure:
    """What the figure shows of a run's file, or of a record's audit."""
    shown, points = curve["shown"], curve["points"]
    planted = f"{shown['canaries']} canary {shown['kind']}" if shown["canaries"] else "no canaries"
    return LiveFigure(
        f"Epsilon by round: spent, and shown by {planted}",
        _values(points, "epsilon"),
        _values(points, "bound"),
        _powers(points, "log_wealth"),
        _powers(points, "canary_log_wealth"),
        curve["claimed"],
        f"{100 * (1 - curve['significance']):g} % over all rounds",
        curve["fault"],
    )


def describe_live(data: LiveFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [f"{data.notice}." if data.notice else "", f"{data.title}."]
    for name, values in (("Spent", data.spent), ("At least", data.bound)):
        if values:
            parts.append(f"{name}: {values[-1][1]:.3g} after round {values[-1][0]}.")
    if data.claimed is not None:
        parts.append(f"Claimed for all rounds: {data.claimed:.3g}.")
    if data.evidence:
        parts.append(f"Evidence against the noise: 10^{data.evidence[-1][1]:.1f}.")
    if data.of_canaries:
        parts.append(f"Evidence of canaries, by single rounds: 10^{data.of_canaries[-1][1]:.1f}.")
    return " ".join(part for part in parts if part)


def _powers(points: Sequence[Mapping[str, Any]], name: str) -> Curve:
    return tuple((n, wealth / math.log(10)) for n, wealth in _values(points, name))


def _values(points: Sequence[Mapping[str, Any]], name: str) -> Curve:
    return tuple((p["round"], float(p[name])) for p in points if p.get(name) is not None)
