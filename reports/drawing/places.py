"""Places of direct labels: no two overlap, none leaves the axes, and no two leaders cross."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Where a label may stand beside its point, the best first."""
BETWEEN = ((2, 1), (-2, 1), (2, -1), (-2, -1), (1, 2), (-1, 2), (1, -2), (-1, -2))
"""Where besides, from the third ring on."""
RINGS = 18
LEADER = 2.0
"""From so many times the gap on a label is led to its point by a line."""


@dataclass(frozen=True)
class Place:
    """Where a label stands, and the end at it of the line from its point; None: near enough."""

    box: Box
    leader: Point | None


def placed(
    anchors: Sequence[Point],
    sizes: Sequence[Point],
    frame: Box,
    taken: Sequence[Box] = (),
    gap: float = 4.0,
) -> list[Place | None]:
    """The place of each label, near its anchor; None for one that finds no room.

    sizes: width and height of each. taken: what labels should not hide, such as bars, as far as
    that can be avoided; anchors are never hidden. The same input, the same places.

    >>> placed([(5, 5)], [(2, 1)], (0, 0, 20, 10), gap=1)[0].box
    (6.0, 4.5, 8.0, 5.5)
    """
    best: list[Place | None] = []
    for order in _orders(anchors):
        found = _in_order(order, anchors, sizes, frame, taken, gap)
        if not best or found.count(None) < best.count(None):
            best = found
        if None not in best:
            break
    return best


def _orders(anchors: Sequence[Point]) -> Iterator[list[int]]:
    """Yield orders in which labels may be placed, until one leaves room for all."""
    every = range(len(anchors))
    centre = [sum(each[i] for each in anchors) / max(1, len(anchors)) for i in (0, 1)]
    yield sorted(every, key=lambda i: (-anchors[i][1], anchors[i][0], i))
    yield sorted(every, key=lambda i: (math.dist(anchors[i], centre), i))
    yield sorted(every, key=lambda i: (anchors[i][1], -anchors[i][0], i))
    yield sorted(every, key=lambda i: (-math.dist(anchors[i], centre), i))


def _in_order(
    order: Sequence[int],
    anchors: Sequence[Point],
    sizes: Sequence[Point],
    frame: Box,
    taken: Sequence[Box],
    gap: float,
) -> list[Place | None]:
    """The places of labels that are placed in this order."""
    marks = [(x - gap / 2, y - gap / 2, x + gap / 2, y + gap / 2) for x, y in anchors]
    found: list[Place | None] = [None] * len(anchors)
    for number in order:
        free = [
            each
            for each in _options(anchors[number], sizes[number], gap)
            if within(each.box, frame)
            and not any(overlap(each.box, mark) for mark in marks)
            and not any(_clash(anchors, found, number, each))
        ]
        best = (each for each in free if not any(overlap(each.box, bar) for bar in taken))
        found[number] = next(best, free[0] if free else None)
    return found


def within(box: Box, frame: Box) -> bool:
    """Whether a box lies within a frame."""
    inside = box[0] >= frame[0] and box[1] >= frame[1]
    return inside and box[2] <= frame[2] and box[3] <= frame[3]


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crosses(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two line segments, a to b and c to d, cross within both.

    >>> crosses((0, 0), (2, 2), (0, 2), (2, 0)), crosses((0, 0), (1, 1), (2, 0), (3, 5))
    (True, False)
    """
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def through(a: Point, b: Point, box: Box) -> bool:
    """Whether the line segment a to b passes through a box's inside."""
    left, bottom, right, top = box
    ends = (left, bottom), (left, top), (right, top), (right, bottom)
    if any(left < x < right and bottom < y < top for x, y in (a, b)):
        return True
    return any(crosses(a, b, ends[i], ends[i - 1]) for i in range(4)) or (
        crosses(a, b, ends[0], ends[2]) and crosses(a, b, ends[1], ends[3])
    )


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _options(anchor: Point, size: Point, gap: float) -> Iterator[Place]:
    """Every place that a label may have, by its distance."""
    (x, y), (width, height) = anchor, size
    for ring in range(1, RINGS + 1):
        far = gap * (0.5 + ring / 2) if ring < 3 else gap * ring
        for right, up in AROUND if ring < 3 else AROUND + BETWEEN:
            step = far / math.hypot(right, up)
            left = x + right * step - (0 if right > 0 else width if right < 0 else width / 2)
            bottom = y + up * step - (0 if up > 0 else height if up < 0 else height / 2)
            box = (left, bottom, left + width, bottom + height)
            yield Place(box, _near(anchor, box) if far > LEADER * gap else None)


def _near(anchor: Point, box: Box) -> Point:
    """The point of a box that is nearest to an anchor."""
    return min(max(anchor[0], box[0]), box[2]), min(max(anchor[1], box[1]), box[3])


def _clash(
    anchors: Sequence[Point], found: Sequence[Place | None], number: int, each: Place
) -> Iterator[bool]:
    """Yield, for every label that stands, whether a new one would hide or cross it."""
    for other, place in enumerate(found):
        if place is None:
            continue
        yield overlap(each.box, place.box)
        if each.leader is not None:
            yield through(anchors[number], each.leader, place.box)
        if place.leader is not None:
            yield through(anchors[other], place.leader, each.box)
            if each.leader is not None:
                yield crosses(anchors[number], each.leader, anchors[other], place.leader)
