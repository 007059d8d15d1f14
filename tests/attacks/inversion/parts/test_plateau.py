import torch
from torch import nn

from attacks.inversion.parts.plateau import until_plateau, values


def told(losses: list[float], **settings: float) -> tuple[int, float, list[int]]:
    """Return what was kept (the number of stretches gone by), its loss, and what each was told."""
    heard: list[int] = []
    kept, best = until_plateau(
        heard.append, lambda: losses[len(heard)], lambda: len(heard), len(losses) - 1, **settings
    )
    return kept, best, heard


def test_the_best_is_kept_and_stretches_without_a_gain_end_it() -> None:
    assert told([9.0, 5.0, 6.0, 4.0, 7.0, 8.0, 1.0]) == (3, 4.0, [0, 0, 1, 0, 1])
    assert told([9.0, 5.0, 6.0, 4.0, 7.0, 8.0, 1.0], patience=3)[:2] == (6, 1.0)
    assert told([3.0, 4.0, 5.0, 1.0]) == (0, 3.0, [0, 1])


def test_a_small_gain_is_kept_and_counts_as_none() -> None:
    assert told([1.0, 0.995, 0.99, 0.5], gain=0.01) == (2, 0.99, [0, 1])


def test_it_stops_where_there_is_nothing_left_to_learn() -> None:
    assert told([5.0, 0.1, 0.0], enough=0.2) == (1, 0.1, [0])
    assert told([0.1, 0.0], enough=0.2) == (0, 0.1, [])
    assert told([7.0]) == (0, 7.0, [])


def test_values_do_not_move_with_the_model() -> None:
    model = nn.Linear(2, 2)
    kept = values(model)
    before = kept["weight"].clone()
    with torch.no_grad():
        model.weight += 1
    assert torch.equal(kept["weight"], before) and not kept["weight"].requires_grad
