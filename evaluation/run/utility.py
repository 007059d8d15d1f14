"""Utility of a trained model: the official metrics on every evaluation split."""

from typing import Any, NamedTuple

import numpy as np

from evaluation.adversary.inference import batches, by_length, predict
from evaluation.metrics.gain import accuracy_gain
from evaluation.metrics.subgroups import by_group, thirds
from evaluation.metrics.tasks import commonest, judge, majority_baseline
from fedbert.data.batches import Encoded
from fedbert.data.repeats import clusters
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from fedbert.split import SplitBert
from reports.estimate import Estimate

Majority = dict[str, float | None]


class Measured(NamedTuple):
    """Every metric on every evaluation split, the headline first, and its majority baseline.

    That is what the commonest label reaches, of the training or of the split, whichever is better.
    gains: of accuracy, what was reached above it, paired by example. subgroups: by what groups
    differ in, and by group, what it gets; of the first split.
    """

    utility: dict[str, Estimate]
    majority_baseline: Majority
    gains: dict[str, Estimate]
    subgroups: dict[str, dict[str, Estimate]]


def measure(prepared: Prepared, split: SplitBert, seed: int) -> Measured:
    """Return how well a trained model does on the evaluation splits."""
    found: dict[str, Estimate] = {}
    majority: Majority = {}
    gains: dict[str, Estimate] = {}
    groups: dict[str, dict[str, Estimate]] = {}
    mlm = prepared.task.kind == "mlm"
    train = [d.encoded.tokens if mlm else d.encoded.labels for d in prepared.clients]
    for number, (name, encoded) in enumerate(prepared.evaluation.items()):
        order = by_length(encoded, np.arange(len(encoded)))
        shown = list(batches(prepared, encoded, order, seed, name))
        predictions = predict(split, shown)[np.argsort(order)]
        rng = numpy_rng(seed, "utility", name)
        metrics = judge(prepared.task, predictions, encoded.labels, rng, clusters(encoded))
        if number == 0 and not mlm:
            groups = subgroups(prepared, encoded, predictions, seed)
        suffix = "" if number == 0 else f" ({name.removeprefix('validation_')})"
        found |= {metric + suffix: estimate for metric, estimate in metrics.items()}
        constant = majority_baseline(
            prepared.task, train, [batch.labels.numpy() for batch in shown]
        )
        majority |= {metric + suffix: value for metric, value in constant.items()}
        if "accuracy" in metrics:
            paired = (predictions, encoded.labels, commonest(encoded.labels))
            rng = numpy_rng(seed, "gain", name)
            gains["accuracy" + suffix] = accuracy_gain(*paired, rng, clusters(encoded))
    return Measured(found, majority, gains, groups)


def as_json(prepared: Prepared, split: SplitBert, seed: int) -> dict[str, Any]:
    """Return what `measure` does as plain JSON, by the fields of a record."""
    found = measure(prepared, split, seed)
    told = ((name, getattr(found, name)) for name in ("utility", "gains"))
    parts = {name: {key: each.to_json() for key, each in part.items()} for name, part in told}
    groups = {
        way: {name: each.to_json() for name, each in own.items()}
        for way, own in found.subgroups.items()
    }
    return {**parts, "majority_baseline": dict(found.majority_baseline), "subgroups": groups}


def subgroups(
    prepared: Prepared, encoded: Encoded, predictions: np.ndarray, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Return what every class, every third by length and every value of the attribute gets.

    predictions [example]: as `evaluation.adversary.inference` returns them for `encoded`.
    """
    task = prepared.task
    ways: dict[str, tuple[np.ndarray, dict[int, str]]] = {"length": thirds(encoded.lengths)}
    if not task.regression:
        ways["class"] = (encoded.labels, dict(enumerate(task.label_names)))
    if encoded.attributes is not None and task.attribute is not None:
        ways[task.attribute] = (encoded.attributes, dict(encoded.attribute_names))
    metric = "mean absolute error" if task.regression else "accuracy"
    found = {}
    for way, (group, names) in ways.items():
        rng = numpy_rng(seed, "subgroups", way)
        judged = (predictions, encoded.labels, group, names, rng, clusters(encoded))
        found[f"{metric} by {way}"] = by_group(*judged, scores=task.regression)
    return {way: groups for way, groups in found.items() if len(groups) > 1}
