"""Task metrics (GLUE's official ones, macro-F1, perplexity), with intervals, beside a baseline."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from evaluation.metrics import intervals
from evaluation.metrics.correlation import correlation
from evaluation.metrics.intervals import CLUSTERS, CONFIDENCE, TASK_RESAMPLES, percentiles
from fedbert.errors import InputError, expect
from fedbert.tasks import Task
from reports.estimate import Estimate

_IGNORED = -100
_LOG_MAX = 700.0  # exp of more overflows


def judge(
    task: Task,
    predictions: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Return the task's metrics by name, the headline first.

    predictions: class ids or scores [example], as labels; for masked-LM `labels` is not read, and
    each row of predictions [sequence, 3] holds how many tokens were masked, how many of them were
    predicted, and their summed loss in nats (see `evaluation.adversary.inference`).
    clusters [example] int: examples of one number depend on each other (a question asked twice,
    blocks of a document), and intervals count clusters; None: each example stands by itself.

    Raises:
        InputError: for no examples, shapes that do not fit, or a value that is not finite.
    """
    predictions = np.asarray(predictions)
    expect(len(predictions) > 0, "at least one example", "predictions", len(predictions))
    if not np.isfinite(predictions).all():
        bad = int((~np.isfinite(predictions)).sum())
        raise InputError(f"expected finite predictions, got non_finite={bad}")
    clusters = intervals.repeated(clusters)
    if clusters is not None and len(clusters) != len(predictions):
        lengths = (len(clusters), len(predictions))
        raise InputError(f"expected a cluster for each example, got lengths={lengths}")
    if task.kind == "mlm":
        return _masked_lm(task, predictions, rng, clusters)
    labels = np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1:
        shapes = (predictions.shape, labels.shape)
        raise InputError(f"expected predictions and labels [example], got shapes={shapes}")
    if task.kind == "regression":
        return {
            name: correlation(name, predictions, labels, rng, clusters) for name in task.metrics
        }
    return {name: _classes(name, predictions, labels, rng, clusters) for name in task.metrics}


def majority_baseline(
    task: Task,
    train_labels: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[np.ndarray] | np.ndarray,
) -> dict[str, float | None]:
    """Return the task's metrics of the better of two constant answers.

    They are the commonest label of the training and that of the evaluation: where the two differ,
    a model that gives one answer to everything is no better than a constant. labels: [example]; for
    masked-LM of any shape, -100 where nothing is masked. A score's is a constant, whose correlation
    is undefined: None, as is perplexity.
    """
    if task.kind == "regression":
        return dict.fromkeys(task.metrics)
    train, truth = _flat(train_labels), _flat(labels)
    if len(train) == 0 or len(truth) == 0:
        return dict.fromkeys(task.metrics)
    constants = {commonest(train), commonest(truth)}
    found: dict[str, float | None] = dict.fromkeys(task.metrics)
    for name in task.metrics:
        known = "accuracy" if name == "masked_accuracy" else name
        if known in _OF_TABLES:
            found[name] = max(_of_constant(known, truth, each) for each in constants)
    return found


def commonest(labels: Sequence[np.ndarray] | np.ndarray) -> int:
    """Return the most frequent label; the smallest of several.

    >>> commonest(np.array([2, 1, 2, 1, 0]))
    1
    """
    values, counts = np.unique(_flat(labels), return_counts=True)
    return int(values[counts.argmax()])


def _of_constant(name: str, truth: np.ndarray, answer: int) -> float:
    """Return a metric of giving one answer to all labels [label]."""
    if name == "accuracy":  # of masked-LM there are as many classes as words
        return float((truth == answer).mean())
    return float(_OF_TABLES[name](_confusion(name, truth, np.full_like(truth, answer))))


def _flat(labels: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return all labels [label] but the ignored ones."""
    flat = np.concatenate([np.ravel(each) for each in labels] or [np.zeros(0, np.int64)])
    return np.asarray(flat[flat != _IGNORED])


def _occurring(name: str, labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return the classes [class] that a metric's table has: all that occur, and 0 and 1.

    Macro-F1 is a mean over those that occur; 0 and 1 are there where a single one does.
    """
    classes = np.unique(np.concatenate([labels, answers]))
    alone = name == "macro_f1" and len(classes) > 1
    return classes if alone else np.unique(np.concatenate([[0, 1], classes]))


def _confusion(name: str, labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return the counts [true, answered] of a metric's classes."""
    classes = _occurring(name, labels, answers)
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (np.searchsorted(classes, labels), np.searchsorted(classes, answers)), 1.0)
    return counts


def f1_of(tables: np.ndarray) -> np.ndarray:
    """Return F1 of class 1 [...] of confusion tables [..., true, answered]; 0 where undefined."""
    right = tables[..., 1, 1]
    total = tables[..., 1, :].sum(-1) + tables[..., :, 1].sum(-1)
    scores: np.ndarray = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    return scores


def macro_f1_of(tables: np.ndarray) -> np.ndarray:
    """Return the mean F1 [...] of the classes that occur in confusion tables; 0 where none does."""
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    total = tables.sum(-1) + tables.sum(-2)  # [..., class]
    scores = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    seen = (total > 0).sum(-1)
    return np.asarray(scores.sum(-1) / np.maximum(seen, 1))


def matthews_of(tables: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation [...] of confusion tables; 0 where undefined.

    Reference: Gorodkin (2004), for more than two classes.
    """
    true, answered, total = tables.sum(-1), tables.sum(-2), tables.sum((-1, -2))
    right = np.trace(tables, axis1=-2, axis2=-1)
    covariance = right * total - (true * answered).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (answered**2).sum(-1))
    root = np.sqrt(np.clip(spread, 0, None))
    correlations: np.ndarray = np.divide(covariance, root, out=np.zeros_like(root), where=root > 0)
    return correlations


def accuracy_of(tables: np.ndarray) -> np.ndarray:
    """Return the share [...] of right answers of confusion tables [..., true, answered]."""
    return np.asarray(np.trace(tables, axis1=-2, axis2=-1) / tables.sum((-1, -2)))


_OF_TABLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": accuracy_of,
    "f1": f1_of,
    "macro_f1": macro_f1_of,
    "matthews": matthews_of,
}


def _classes(
    name: str,
    answers: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray | None,
) -> Estimate:
    """Return accuracy with Wilson's interval; F1s and Matthews from the confusion table.

    These have the credible interval of the confusion table's shares under Jeffreys'
    prior (1/2 a cell for two classes). It is close to a bootstrap over examples, and unlike it
    never of zero width, as after a perfect or a constant answer. Where examples come in clusters,
    accuracy is a clustered share, and the table counts as many examples as vary as much.

    Reference: Goutte and Gaussier (2005).
    """
    if name == "accuracy":
        right = (answers == labels).astype(float)
        if clusters is None:
            return intervals.share(int(right.sum()), len(labels))
        counts = intervals.by_cluster(np.ones(len(labels)), clusters)
        hits = intervals.by_cluster(right, clusters)
        return intervals.clustered_share(hits, counts, rng, over=CLUSTERS)
    if name not in _OF_TABLES:
        raise InputError(f"expected one of {', '.join(_OF_TABLES)}, got metric={name!r}")
    counts = _confusion(name, labels, answers)
    value = float(_OF_TABLES[name](counts))
    drawn = _drawn(name, counts, rng)
    method = "credible interval (Jeffreys)"
    if clusters is not None:
        share = _effective(name, answers, labels, rng, clusters, float(drawn.var()))
        drawn = _drawn(name, counts * share, rng)
        method += f", by the design effect of {CLUSTERS}"
    low, high = percentiles(value, drawn)
    return Estimate(value, low, high, len(labels), CONFIDENCE, method)


def _drawn(name: str, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a metric [resample] of tables drawn by Jeffreys' posterior of counts [true, answered].

    Counts need not be whole.
    """
    drawn = rng.dirichlet(counts.ravel() + 2 / counts.size, size=TASK_RESAMPLES)
    return _OF_TABLES[name](drawn.reshape(-1, *counts.shape))


def _effective(
    name: str,
    answers: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray,
    variance: float,
) -> float:
    """Return by which share of the examples a metric varies as it does over clusters; at most 1.

    variance: what it is where examples are independent. Where it varies not at all over clusters,
    as after perfect answers, each of them counts as one example.

    Reference: Kish (1965), for the design effect.
    """
    classes = _occurring(name, labels, answers)
    cell = np.searchsorted(classes, labels) * len(classes) + np.searchsorted(classes, answers)
    tables = intervals.by_cluster(np.eye(len(classes) ** 2)[cell], clusters)
    again = intervals.sum_resamples(tables, rng, TASK_RESAMPLES)
    found = float(_OF_TABLES[name](again.reshape(-1, len(classes), len(classes))).var())
    if found == 0:
        return len(tables) / len(labels)
    narrowing = float(stats.norm.isf(0.025) / stats.t.isf(0.025, len(tables) - 1)) ** 2
    return min(1.0, variance / found * narrowing)


def _masked_lm(
    task: Task, rows: np.ndarray, rng: np.random.Generator, clusters: np.ndarray | None
) -> dict[str, Estimate]:
    """Return the masked-LM metrics of rows [sequence, 3], intervals over sequences or documents."""
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise InputError(f"expected predictions [sequence, 3], got shape={rows.shape}")
    if clusters is not None:
        rows = intervals.by_cluster(rows, clusters)
    over = "sequences" if clusters is None else "documents"
    rows = rows[rows[:, 0] > 0].astype(float)
    expect(len(rows) > 0, "at least one masked token", "masked", 0)
    masked, right, nats = rows.T
    found = {}
    for name in task.metrics:
        if name == "masked_accuracy":
            found[name] = intervals.clustered_share(right, masked, rng, over=over)
        elif name == "perplexity":
            found[name] = _perplexity(masked, nats, rng, over)
        else:
            raise InputError(f"expected masked_accuracy or perplexity, got metric={name!r}")
    return found


def _perplexity(
    masked: np.ndarray, nats: np.ndarray, rng: np.random.Generator, over: str
) -> Estimate:
    """Return exp of the mean loss; one that would overflow is cut off at exp(700)."""
    losses = intervals.ratio_resamples(nats, masked, rng, TASK_RESAMPLES)
    low, high = percentiles(float(nats.sum() / masked.sum()), losses)
    mean, low, high = np.exp(np.minimum([nats.sum() / masked.sum(), low, high], _LOG_MAX)).tolist()
    one = f"one {over.removesuffix('s')}: no interval"
    method = f"bootstrap over {over}" if len(masked) > 1 else one
    return Estimate(mean, low, high, int(masked.sum()), CONFIDENCE, method)
