"""Alike sentences, said once: those that differ in a few words, and those of several views."""

from collections.abc import Iterable, Sequence

FEW = 3
"""In how many words sentences may differ to be told as one."""
TAIL = ".,;:)"


def as_one(sentences: Iterable[str], between: str = " or ") -> str | None:
    """Return one sentence that says all of some; None where they differ in more than a few words.

    >>> as_one(["a rate of 0.1 (fixed).", "a rate of 0.2 (fixed)."])
    'a rate of 0.1 or 0.2 (fixed).'
    """
    words = [each.split(" ") for each in dict.fromkeys(sentences)]
    if len({len(each) for each in words}) != 1:
        return None
    said, other = [], 0
    for column in zip(*words, strict=True):
        each = list(dict.fromkeys(column))
        other += len(each) > 1
        ends = {word[len(word.rstrip(TAIL)) :] for word in each}
        if len(ends) > 1:
            return None
        said.append(between.join(word.rstrip(TAIL) for word in each) + ends.pop())
    return " ".join(said) if other <= FEW else None


def over_seeds(sentences: Iterable[str]) -> str:
    """Return what several seeds' sentences say: as one, or one after the other."""
    each = list(dict.fromkeys(sentences))
    return as_one(each) or " Or, for another seed: ".join(each)


def over_views(said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (views, sentence) of (view, sentence): views that are told the same stand together.

    >>> over_views([("peer", "To the peer view: 1."), ("release", "To the release view: 1.")])
    [('peer, release', 'To the peer, release views: 1.')]
    """
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for view, sentence in said:
        bare = tuple("" if word == view else word for word in sentence.split(" "))
        found.setdefault(bare, []).append((view, sentence))
    together = []
    for group in found.values():
        views = ", ".join(view for view, _ in group)
        sentence = as_one((sentence for _, sentence in group), ", ") or group[0][1]
        if len(group) > 1:
            sentence = sentence.replace(f"{views} view", f"{views} views")
        together.append((views, sentence))
    return together
