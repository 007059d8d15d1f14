"""Simulated releases with canaries in them, sound and faulty, as tests and figures use them."""

from collections.abc import Iterator

import numpy as np

from evaluation.metrics.canary_readings import Readings

SOUND = ("still", "drift", "along", "clipped again", "weak", "loud")
"""What else moves: nothing; clients at random; clients along canaries, as their last coins fell;
the sum is clipped again; canaries are clipped to a third; there is more noise than claimed."""


def releases(
    seed: int, kind: str, rounds: int, canaries: int = 40, sigma: float = 1.0, fault: str = ""
) -> Iterator[Readings]:
    """Yield what rounds show of canaries, the second half with fresh coins.

    fault: halved, from round 5; reused, that of round 3 from round 4; opposite, minus that of two
    rounds before from round 5; unclipped, canaries ten times as long from round 5.
    """
    rng = np.random.default_rng([seed, SOUND.index(kind)])
    fresh = np.arange(canaries) >= canaries // 2
    coins, past = rng.random(canaries) < 0.5, list[np.ndarray]()
    lately = rng.normal(size=canaries)
    for number in range(1, rounds + 1):
        moved = np.zeros(canaries)
        if kind == "drift":
            moved = 3.0 * rng.normal(size=canaries)
        if kind == "along":
            moved = 5.0 * lately
        coins = np.where(fresh, rng.random(canaries) < 0.5, coins)
        length = 10.0 if fault == "unclipped" and number >= 5 else 1.0
        total = moved + coins * (0.3 if kind == "weak" else length)
        if kind == "clipped again":
            total = total * min(1.0, 2.0 / max(float(np.linalg.norm(total)), 1e-9))
        noise = sigma * rng.normal(size=canaries) * (1.5 if kind == "loud" else 1.0)
        if fault == "halved" and number >= 5:
            noise = noise / 2
        if fault == "reused" and number >= 4:
            noise = past[2]
        if fault == "opposite" and number >= 5:
            noise = -past[-2]
        past.append(noise)
        values = (total + noise) / sigma
        lately = np.where(coins, 1.0, -1.0) + (values - coins / sigma)
        yield Readings("server", values, values, coins / sigma, coins, fresh)
