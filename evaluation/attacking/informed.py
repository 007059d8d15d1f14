"""Informed attack: what who is told the noise's scale recovers, beside who had to estimate it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from attacks.attack import Lacks
from evaluation.attacking.judge import ForwardJudge, Group
from evaluation.attacking.loop import Named
from fedbert.seeding import generator
from reports.leak import Leak, LeakageEntry


def with_informed(
    entries: Iterable[LeakageEntry],
    each: Named,
    groups: Sequence[Group],
    judge: ForwardJudge,
    ask: Callable[[Named], list[np.ndarray] | Lacks],
) -> Iterator[LeakageEntry]:
    """Yield an attack's entries, with that of its `informed` attack beside the token accuracy.

    As they are where it has none. ask: returns an attack's answer to every message. The scales are
    estimated anew, from the generators that the answer was made from.
    """
    other = getattr(each.attack, "informed", None)
    for entry in entries:
        if other is not None and isinstance(entry, Leak) and entry.metric == "token_accuracy":
            told = Named(other, replace(each.head, attack=other.name), None)
            answer = ask(told)
            leak = None if isinstance(answer, Lacks) else _accuracy(judge, told, answer)
            if leak is not None:
                words = f"who is told the scale ({_scales(each, groups, judge.seed)})"
                entry = replace(entry, informed=leak.estimate, informed_basis=words)
        yield entry


def _accuracy(judge: ForwardJudge, told: Named, answer: list[np.ndarray]) -> Leak | None:
    """Return the token accuracy of an answer, None if it is not measured."""
    leak = next(judge.leaks(told.head, answer, alone=False, adaptive=True))
    return leak if isinstance(leak, Leak) else None


def _scales(each: Named, groups: Sequence[Group], seed: int) -> str:
    """Return the standard deviations of the noise on groups of messages, true and estimated."""
    true, found, number = [], [], 0
    for messages, _, make in groups:
        knowledge = make()
        draws = generator(seed, "attack", each.attack.name, number)
        true.append(knowledge.noise_std)
        found.append(each.attack.noise_std(messages, knowledge, draws))
        number += len(messages)
    return f"sigma {_span(true)}, estimated {_span(found)}"


def _span(values: Sequence[float]) -> str:
    """Return a number, or the least and the greatest of several.

    >>> _span([1.1, 1.1]), _span([1.104, 1.0961, 1.1])
    ('1.1', '1.096 to 1.104')
    """
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"
