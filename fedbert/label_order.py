"""Label order of a classifier that somebody else trained: which row of its head is which label.

The rule: names in `id2label` (else `label2id`) that are those of the task say it: as they are
spelt, as a file may write them (1.0 is 1), or loosely ("NEG" is "negative"; case, spaces, "-" and
"_" do not count). Numbers ("LABEL_1", "1") that are no names of the task count as the task counts;
without names, rows stand in the task's order. Any other names are of other labels.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedbert.tasks import label_word

SHORTEST = 3  # letters by which a name that is cut short may be known


def saved_names(raw: Mapping[str, Any], rows: int) -> tuple[str, ...]:
    """Return the names that a config.json gives to the rows of its head; () where it gives none.

    >>> saved_names({"id2label": {"0": "b", "1": "a"}}, 2), saved_names({"label2id": {"a": 1}}, 2)
    (('b', 'a'), ())
    """
    by_number, by_name = raw.get("id2label"), raw.get("label2id")
    found: dict[str, str] = {}
    if isinstance(by_number, Mapping):
        found = {str(number): str(name) for number, name in by_number.items()}
    elif isinstance(by_name, Mapping):
        found = {str(number): str(name) for name, number in by_name.items()}
    wanted = [str(number) for number in range(rows)]
    return tuple(found[number] for number in wanted) if sorted(found) == sorted(wanted) else ()


def order_of(saved: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Return for every label of a task its row in a saved head; None for names of other labels.

    >>> order_of(["contradiction", "entailment"], ["entailment", "contradiction"])
    (1, 0)
    >>> order_of(["POS", "NEG"], ["negative", "positive"]), order_of(["LABEL_0", "LABEL_1"], "ab")
    ((1, 0), (0, 1))
    >>> order_of(["1", "0"], ["1", "0"]), order_of(["1.0", "-1"], ["-1", "1"])
    ((0, 1), (1, 0))
    >>> order_of(["equivalent", "other"], ["negative", "positive"]) is None
    True
    """
    if not saved:
        return tuple(range(len(wanted)))
    if len(saved) != len(wanted):
        return None
    for same in (operator.eq, _spelt_alike, _same):
        order = _rows(saved, wanted, same)
        if order is not None:
            return order
    if any(_spelt_alike(name, own) for name in saved for own in wanted):
        return None
    numbers = [re.fullmatch(r"(?:label[_ ]?)?(\d{1,6})", name.strip().lower()) for name in saved]
    counted = [int(each[1]) for each in numbers if each]
    return _rows(counted, range(len(wanted)), operator.eq)


def _rows(
    saved: Sequence[Any], wanted: Sequence[Any], same: Callable[[Any, Any], bool]
) -> tuple[int, ...] | None:
    """Return for every wanted name the one row that is it; None where some have none, or more."""
    found = [[row for row, name in enumerate(saved) if same(name, own)] for own in wanted]
    order = tuple(rows[0] for rows in found if len(rows) == 1)
    return order if sorted(order) == list(range(len(wanted))) else None


def _spelt_alike(name: str, own: str) -> bool:
    """Return whether a file of data could write one name for the other: 1.0 for 1."""
    return label_word(name) == label_word(own)


def _same(name: str, own: str) -> bool:
    """Return whether two names are one, or one is the other cut short; of numbers, nothing is.

    >>> _same("pos", "Positive"), _same("star 1", "star 10"), _same("-1", "1")
    (True, False, False)
    """
    short, long = sorted((_plain(name), _plain(own)), key=len)
    if short == long:
        return True
    cut = len(short) >= SHORTEST and long.startswith(short)
    return cut and any(map(str.isalpha, short)) and not long[len(short)].isdigit()


def _plain(name: str) -> str:
    signed = re.sub(r"(?<!\S)-(?=\d)", "minus", name.lower())
    return re.sub(r"[\s_-]+", "", signed)
