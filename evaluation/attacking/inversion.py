"""Inversion in every view: what the attacks recover of the text, judged against it."""

from typing import Any

from evaluation.adversary.observation import Observation, auxiliary_texts
from evaluation.attacking import updates
from evaluation.attacking.backward import backward
from evaluation.attacking.forward import forward
from evaluation.attacking.one_message import inverted, labels_read
from reports.leak import LeakageEntry


def inversion(observation: Observation) -> tuple[list[LeakageEntry], list[dict[str, Any]]]:
    """Return what attacks recovered of messages, view by view, and a few sentences with it."""
    if observation.sent is not None:
        return [*inverted(observation), *labels_read(observation)], []
    if not observation.transcript.entries:
        return [], []
    found, samples = forward(observation)
    return [*found, *backward(observation)], samples


def of_updates(observation: Observation) -> list[LeakageEntry]:
    """Return what attacks recovered of updates."""
    texts, _ = auxiliary_texts(observation.prepared, observation.cell.config.seed)
    return list(updates.updates(observation, texts))
