"""Directions of canary clients: at right angles, of length 1, the same every time."""

import numpy as np
import pytest

from evaluation.auditing.canaries.directions import MOST, ROOM, Directions
from fedbert.errors import InputError

SIZES = {"a": 300, "b": 0, "c": 500}


def test_directions_are_orthonormal_and_read_as_they_are_sent() -> None:
    made, again = Directions(7, 20, SIZES), Directions(7, 20, SIZES)
    rows = np.stack([np.concatenate([made.part(j, n) for n in SIZES]) for j in range(20)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(20), atol=1e-6)
    values = np.random.default_rng(1).normal(size=800)
    split = dict(zip(SIZES, np.split(values, [300, 300]), strict=True))
    np.testing.assert_allclose(sum(made.sums(n, split[n]) for n in SIZES), rows @ values, atol=1e-5)
    assert all((made.own[n] == again.own[n]).all() for n in SIZES)
    assert (Directions(8, 20, SIZES).own["a"] != made.own["a"]).any()


def test_more_canaries_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(InputError, match=f"at most 40 canary clients, {ROOM} trained values each"):
        Directions(7, 41, SIZES)
    most = {"a": MOST * ROOM}
    assert Directions(7, MOST, most).own["a"].max() == 2 * MOST - 1
    with pytest.raises(InputError, match=f"at most {MOST} canary clients in all"):
        Directions(7, MOST + 1, most | {"b": ROOM})
