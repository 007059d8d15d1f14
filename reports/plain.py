"""Plain words: who an adversary is, what an attack does, what a setting's key means."""

import re
from collections.abc import Sequence

from reports.leak import Leak
from reports.metrics import title
from reports.wording import beside, outward, rounded_down, rounded_up

WHO = {
    "forward": "the server that runs the body",
    "backward": "the server that sends gradients back",
    "aggregator": "the server when it averages",
    "peer": "another client",
    "release": "anyone who has the model",
}
"""Who has a view."""
DOES = {
    "token_accuracy": "reads {} of the tokens",
    "masked_token_accuracy": "reads {} of the masked words",
    "label_accuracy": "tells {} of the labels",
    "token_f1": "guesses which words a text has, right to {} (F1)",
    "name_spans": "reads {} of the names whole",
    "number_spans": "reads {} of the numbers whole",
    "date_spans": "reads {} of the dates whole",
    "attribute_accuracy": "infers {} of the attributes",
    "auc": "tells a text trained on from another in {} of pairs",
    "client_auc": "tells a client that took part from another in {} of pairs",
    "tpr_at_1pct_fpr": "recognises {} of the texts trained on, taking 1 % of others for such",
}
"""What an attack does, by the metric that it is judged by."""
SHORTER = (("target epsilon", "epsilon"), ("target tpr at 1pct", "TPR at 1 % FPR"))


def reaches(leak: Leak) -> str:
    """Who reaches how much, with its interval and what a guess reaches, in hundredths."""
    return f"{WHO.get(leak.view, leak.view)} {achieves(leak)}"


def achieves(leak: Leak) -> str:
    """The same without who it is."""
    e = leak.estimate
    guess = "unknown" if leak.chance is None else f"{100 * leak.chance:.0f} %"
    ends = f"{rounded_down(100 * e.low):.0f} to {rounded_up(100 * e.high):.0f} %"
    told = f"({ends}; pure guessing: {guess}), by {leak.name}"
    if leak.metric not in DOES:
        return f"reaches {title(leak.metric)} {outward(e)} ({beside(leak)}), by {leak.name}"
    return f"{DOES[leak.metric].format(f'{100 * e.value:.0f} %')} {told}"


def everybody(views: Sequence[str], joined: str = "and") -> str:
    """Who has these views, in words; joined: by which word the last one.

    >>> everybody(["peer"]), everybody(["peer", "release"])
    ('another client', 'another client and anyone who has the model')
    """
    if len(views) == len(WHO):
        return "anybody"
    *first, last = (WHO.get(view, view) for view in views)
    return f"{', '.join(first)} {joined} {last}" if first else last


def in_words(text: str) -> str:
    """A level or a key of a grid as words; anything else as it is.

    >>> in_words("target_epsilon=4.0"), in_words("smashed.noise_multiplier=0.05")
    ('epsilon 4', 'smashed noise multiplier 0.05')
    >>> in_words("-"), in_words("eps 8")
    ('-', 'eps 8')
    """
    parts = [_pair(part) for part in text.split(", ")]
    return ", ".join(parts)


def key_words(key: str) -> str:
    """A key as words.

    >>> key_words("data.max_length")
    'data max length'
    """
    return key.replace("_", " ").replace(".", " ")


def _pair(text: str) -> str:
    """KEY=VALUE as words, a whole number without its point."""
    key, mark, value = text.partition("=")
    if not mark or not re.fullmatch(r"[a-z][a-z0-9_.]*", key):
        return text
    words = key_words(key)
    for long, short in SHORTER:
        words = words.replace(long, short)
    return f"{words} {value.removesuffix('.0')}"
