"""What the inversion attacks of every view recover of the text, judged against it."""

from typing import Any

from evaluation.adversary.observed import Heard, Leak, auxiliary_texts
from evaluation.attacking.backward import backward
from evaluation.attacking.forward import forward
from evaluation.attacking.updates import updates


def inversion(heard: Heard) -> tuple[list[Leak], list[dict[str, Any]]]:
    """Return what every attack of the grid recovered, view by view, and a few sentences with it."""
    found: list[Leak] = []
    samples: list[dict[str, Any]] = []
    if heard.tap.kept:
        found, samples = forward(heard)
        found += backward(heard)
    texts, _ = auxiliary_texts(heard.prepared, heard.cell.config.seed)
    return [*found, *updates(heard, texts)], samples
