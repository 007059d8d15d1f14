"""Metrics that a report may show: title, unit, and which direction is better."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """How one metric is shown and read.

    `better` is the direction that is good *for the data's owner*: higher for utility, lower for
    leakage. `low` and `high` bound the metric (None: unbounded).

    Raises: ValueError for an unknown family or direction.
    """

    name: str
    title: str
    unit: str
    family: str
    better: Direction
    low: float | None = 0.0
    high: float | None = 1.0

    def __post_init__(self) -> None:
        """Refuses an unknown family or direction."""
        if self.family not in ("utility", "inversion", "membership"):
            raise ValueError(f"expected utility, inversion or membership, got family={self.family}")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"expected higher or lower, got better={self.better}")

    @property
    def worse(self) -> Direction:
        """The direction that is bad for the data's owner."""
        return "lower" if self.better == "higher" else "higher"

    def clamp(self, value: float) -> float:
        """`value`, moved to the nearest one that the metric can take."""
        value = value if self.low is None else max(value, self.low)
        return value if self.high is None else min(value, self.high)


_ALL = (
    Metric("accuracy", "accuracy", "fraction", "utility", "higher"),
    Metric("f1", "F1", "fraction", "utility", "higher"),
    Metric("macro_f1", "macro-F1", "fraction", "utility", "higher"),
    Metric("matthews", "Matthews correlation", "correlation", "utility", "higher", -1.0),
    Metric("pearson", "Pearson correlation", "correlation", "utility", "higher", -1.0),
    Metric("spearman", "Spearman correlation", "correlation", "utility", "higher", -1.0),
    Metric("perplexity", "perplexity", "tokens", "utility", "lower", 1.0, None),
    Metric("masked_accuracy", "masked-token accuracy", "fraction", "utility", "higher"),
    Metric("token_accuracy", "token accuracy", "fraction", "inversion", "lower"),
    Metric("content_token_accuracy", "content-token accuracy", "fraction", "inversion", "lower"),
    Metric("number_accuracy", "numbers recovered", "fraction", "inversion", "lower"),
    Metric("rare_word_accuracy", "rare words recovered", "fraction", "inversion", "lower"),
    Metric("function_word_accuracy", "function words recovered", "fraction", "inversion", "lower"),
    Metric("token_precision", "token-set precision", "fraction", "inversion", "lower"),
    Metric("token_recall", "token-set recall", "fraction", "inversion", "lower"),
    Metric("token_f1", "token-set F1", "fraction", "inversion", "lower"),
    Metric("rouge1", "ROUGE-1 F1", "fraction", "inversion", "lower"),
    Metric("rouge2", "ROUGE-2 F1", "fraction", "inversion", "lower"),
    Metric("rougeL", "ROUGE-L F1", "fraction", "inversion", "lower"),
    Metric("exact_match", "exact match", "fraction", "inversion", "lower"),
    Metric("masked_token_accuracy", "masked-word accuracy", "fraction", "inversion", "lower"),
    Metric("label_accuracy", "label accuracy", "fraction", "inversion", "lower"),
    Metric("name_spans", "names recovered whole", "fraction", "inversion", "lower"),
    Metric("name_span_tokens", "tokens of names", "fraction", "inversion", "lower"),
    Metric("number_spans", "numbers recovered whole", "fraction", "inversion", "lower"),
    Metric("number_span_tokens", "tokens of numbers", "fraction", "inversion", "lower"),
    Metric("date_spans", "dates recovered whole", "fraction", "inversion", "lower"),
    Metric("date_span_tokens", "tokens of dates", "fraction", "inversion", "lower"),
    Metric("attribute_accuracy", "attribute accuracy", "fraction", "inversion", "lower"),
    Metric("attribute_auc", "attribute AUC", "probability", "inversion", "lower"),
    Metric("auc", "AUC", "probability", "membership", "lower"),
    Metric("tpr_at_1pct_fpr", "TPR at 1 % FPR", "fraction", "membership", "lower"),
    Metric("tpr_at_01pct_fpr", "TPR at 0.1 % FPR", "fraction", "membership", "lower"),
    Metric("client_auc", "AUC of clients", "probability", "membership", "lower"),
    Metric("blind_auc", "AUC without the model", "probability", "membership", "lower"),
    Metric("balanced_accuracy", "balanced accuracy", "fraction", "membership", "lower"),
)

METRICS: dict[str, Metric] = {each.name: each for each in _ALL}

ABOVE_BOUND = "above the reconstruction bound"
BELOW_REFERENCE = "below the reference attack"
SHIFTED_POOL = "shifted pool"
ABOVE_CLAIM = "above what the claim allows"
FLAGS = {
    ABOVE_BOUND: "more was recovered than the guarantee allows: the mechanism is broken",
    BELOW_REFERENCE: "less was recovered than a plain look-up should: the attack is weak",
    ABOVE_CLAIM: "more members were told than the claim's trade-off curve allows: it does not hold",
    SHIFTED_POOL: "members differ in text or label alone: the rest means little",
}
"""What is wrong: a rate lies wholly beyond its reference attack or its bound, or says more of the
pool than of the model."""

WORST = {"inversion": "token_accuracy", "membership": "auc"}
"""The metric by which the worst attack of a family is chosen."""


SHOWN = (
    "token_accuracy",
    "masked_token_accuracy",
    "label_accuracy",
    "token_f1",
    "token_recall",
    "token_precision",
    "attribute_accuracy",
    "name_spans",
    "number_spans",
    "date_spans",
)
"""The metrics of inversion whose worst attack is shown for every view that has any."""

SEES = {
    "forward": ("forward", "release"),
    "backward": ("backward", "forward", "release"),
    "aggregator": ("aggregator", "peer", "release"),
    "peer": ("peer", "release"),
    "release": ("release",),
}
"""On whose messages the adversary of a view may run attacks: the smashed data cross beside the
gradients, who averages sees what it hands out, and everybody sees the released model."""


def metric(name: str) -> Metric:
    """The metric called `name`.

    Raises: ValueError naming the known metrics: a direction is never guessed.

    >>> metric("perplexity").better, metric("auc").worse
    ('lower', 'higher')
    """
    if name not in METRICS:
        raise ValueError(f"expected one of {', '.join(METRICS)}, got metric={name!r}")
    return METRICS[name]


def title(name: str) -> str:
    """The metric's title, or `name` itself for a metric that is not known here.

    >>> title("matthews"), title("bleu")
    ('Matthews correlation', 'bleu')
    """
    return METRICS[name].title if name in METRICS else name


def clearly_better(name: str, low: float, high: float, reference: float) -> bool | None:
    """Whether the whole interval from `low` to `high` is better than `reference`.

    None where the metric is not known here, and so its direction neither.
    """
    if name not in METRICS:
        return None
    return low > reference if METRICS[name].better == "higher" else high < reference
