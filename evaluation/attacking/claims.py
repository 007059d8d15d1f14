"""Claims beside membership: what lies wholly above the trade-off curve of its claim is flagged."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from reports.leak import Leak, LeakageEntry
from reports.metrics import ABOVE_CLAIM
from reports.tradeoff import Allowed, above


def flagged(entries: Iterable[LeakageEntry], claims: Sequence[Allowed]) -> list[LeakageEntry]:
    """Return the entries, those flagged whose interval one claim of their view and unit excludes.

    A claim bounds chances over trainings and each entry is of one: a flag is a sign, and the proof
    is the audit's bound on epsilon.
    """
    return [
        replace(each, flags=(*each.flags, ABOVE_CLAIM))
        if isinstance(each, Leak) and any(above(each, [claim]) for claim in claims)
        else each
        for each in entries
    ]
