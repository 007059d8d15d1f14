"""Utility of a trained model: the official metrics on every evaluation split."""

import numpy as np

from evaluation.adversary.inference import batches, by_length, predict
from evaluation.metrics.tasks import judge, majority_baseline
from fedbert.data.repeats import clusters
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from fedbert.split import SplitBert
from reports.estimate import Estimate

Majority = dict[str, float | None]


def measure(
    prepared: Prepared, split: SplitBert, seed: int
) -> tuple[dict[str, Estimate], Majority]:
    """Return every metric on every evaluation split, the headline first, and its majority baseline.

    That is what the majority class of the training labels (or their mean) would reach.
    """
    found: dict[str, Estimate] = {}
    majority: Majority = {}
    mlm = prepared.task.kind == "mlm"
    train = [d.encoded.tokens if mlm else d.encoded.labels for d in prepared.clients]
    for number, (name, encoded) in enumerate(prepared.evaluation.items()):
        order = by_length(encoded, np.arange(len(encoded)))
        shown = list(batches(prepared, encoded, order, seed, name))
        predictions = predict(split, shown)[np.argsort(order)]
        rng = numpy_rng(seed, "utility", name)
        metrics = judge(prepared.task, predictions, encoded.labels, rng, clusters(encoded))
        suffix = "" if number == 0 else f" ({name.removeprefix('validation_')})"
        found |= {metric + suffix: estimate for metric, estimate in metrics.items()}
        constant = majority_baseline(
            prepared.task, train, [batch.labels.numpy() for batch in shown]
        )
        majority |= {metric + suffix: value for metric, value in constant.items()}
    return found, majority
