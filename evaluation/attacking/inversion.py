"""Inversion in every view: what the attacks recover of the text, judged against it."""

from typing import Any

from evaluation.adversary.observation import Observation, auxiliary_texts
from evaluation.attacking.backward import backward
from evaluation.attacking.forward import forward
from evaluation.attacking.one_message import inverted
from evaluation.attacking.updates import updates
from reports.leak import LeakageEntry


def inversion(observation: Observation) -> tuple[list[LeakageEntry], list[dict[str, Any]]]:
    """Return what every attack of the grid recovered, view by view, and a few sentences with it."""
    found: list[LeakageEntry] = []
    samples: list[dict[str, Any]] = []
    if observation.transcript.entries:
        found, samples = forward(observation)
        found += backward(observation)
    found += inverted(observation)
    texts, _ = auxiliary_texts(observation.prepared, observation.cell.config.seed)
    return [*found, *updates(observation, texts)], samples
