"""Alike sentences, said once: those that differ in a few numbers, and those of several views."""

import re
from collections.abc import Iterable, Sequence

FEW = 3
"""In how many numbers sentences may differ to be told as one."""
TAIL = ".,;:)"
NUMBER = re.compile(r"\d+([.,]\d+)*(e-?\d+)?")
CLAIMED = ("epsilon", "delta")
"""Words before a number that is never told as one of two, of which a reader would take one."""
VIEW = "\0"


def as_one(sentences: Iterable[str]) -> str | None:
    """Return one sentence that says all of some; None where they differ in more than a few numbers.

    >>> as_one(["a rate of 0.1 (fixed).", "a rate of 0.2 (fixed)."])
    'a rate of 0.1 or 0.2 (fixed).'
    >>> as_one(["epsilon 8 at a rate of 0.1", "epsilon 2 at a rate of 0.2"])
    """
    words = [each.split(" ") for each in dict.fromkeys(sentences)]
    if len({len(each) for each in words}) != 1:
        return None
    said, other = [], 0
    for at, column in enumerate(zip(*words, strict=True)):
        each = list(dict.fromkeys(column))
        if len(each) > 1 and (_claimed(words[0], at) or not _numbers_apart(each)):
            return None
        other += len(each) > 1
        end = each[0][len(each[0].rstrip(TAIL)) :]
        said.append(" or ".join(word.rstrip(TAIL) for word in each) + end)
    return " ".join(said) if other <= FEW else None


def _claimed(words: Sequence[str], at: int) -> bool:
    """Return whether a word is what is claimed: an epsilon, a delta, or so much times d."""
    return (at > 0 and words[at - 1] in CLAIMED) or "d" in words[at + 1 : at + 2]


def _numbers_apart(words: Iterable[str]) -> bool:
    """Return whether words are the same but for a number in each."""
    return len({NUMBER.sub("0", word) for word in words}) == 1


def over_seeds(sentences: Iterable[str]) -> str:
    """Return what several seeds' sentences say: as one, or one after the other."""
    each = list(dict.fromkeys(sentences))
    return as_one(each) or " Or, for another seed: ".join(each)


def over_views(said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (views, sentence) of (view, sentence): views that are told the same stand together.

    >>> over_views([("peer", "To the peer view: 1."), ("release", "To the release view: 1.")])
    [('peer, release', 'To the peer, release views: 1.')]
    """
    found: dict[str, list[str]] = {}
    for view, sentence in said:
        bare = re.sub(rf"\b{re.escape(view)}(?= views?\b| could see\b)", VIEW, sentence)
        found.setdefault(bare, []).append(view)
    together = []
    for bare, group in found.items():
        views = ", ".join(group)
        sentence = re.sub(rf"{VIEW} view\b", f"{VIEW} views", bare) if len(group) > 1 else bare
        together.append((views, sentence.replace(VIEW, views)))
    return together
