"""Direct labels: no two overlap, none leaves the axes, no leader crosses; the same every time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reports.drawing.places import crosses, overlap, placed, through, within

FRAME = (0.0, 0.0, 200.0, 140.0)
POINTS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 140)), min_size=1, max_size=14).map(
    lambda each: [(float(x), float(y)) for x, y in each]
)
SIZES = st.tuples(st.integers(6, 60), st.integers(6, 12)).map(lambda s: (float(s[0]), float(s[1])))


@settings(deadline=None, max_examples=25)
@given(POINTS, SIZES)
def test_no_two_overlap_none_leaves_and_no_leader_crosses(anchors, size) -> None:
    places = placed(anchors, [size] * len(anchors), FRAME)
    stand = [(a, place) for a, place in zip(anchors, places, strict=True) if place is not None]
    for number, (anchor, place) in enumerate(stand):
        assert within(place.box, FRAME)
        assert abs(place.box[2] - place.box[0] - size[0]) < 1e-9
        assert not any(overlap(place.box, (x - 2, y - 2, x + 2, y + 2)) for x, y in anchors)
        for other, second in stand[number + 1 :]:
            assert not overlap(place.box, second.box)
            if place.leader is not None:
                assert not through(anchor, place.leader, second.box)
                if second.leader is not None:
                    assert not crosses(anchor, place.leader, other, second.leader)
            if second.leader is not None:
                assert not through(other, second.leader, place.box)
    assert placed(anchors, [size] * len(anchors), FRAME) == places


def test_a_label_stands_beside_its_point_and_avoids_what_is_taken() -> None:
    (free,) = placed([(50.0, 50.0)], [(20.0, 8.0)], FRAME)
    assert free is not None and free.box[0] > 50 and free.leader is None
    bar = (51.0, 40.0, 120.0, 60.0)
    (moved,) = placed([(50.0, 50.0)], [(20.0, 8.0)], FRAME, [bar])
    assert moved is not None and not overlap(moved.box, bar)


def test_crowded_points_all_find_room_and_what_cannot_fit_is_told() -> None:
    crowd = [(100.0 + i % 3, 70.0 + 2 * i) for i in range(7)]
    places = placed(crowd, [(20.0, 9.0)] * 7, FRAME)
    assert None not in places
    assert placed([(5.0, 5.0)], [(300.0, 9.0)], FRAME) == [None]
