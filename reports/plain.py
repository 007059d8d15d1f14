"""Plain words: who an adversary is, what an attack does, what a setting's key means."""

import re

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
    "tpr_at_1pct_fpr": "finds {} of the members where 1 % of all others are accused",
}
"""What an attack does, by the metric that it is judged by."""
SHORTER = (("target epsilon", "epsilon"), ("target tpr at 1pct", "TPR at 1 % FPR"))


def reaches(leak: Leak) -> str:
    """Who reaches how much, with its interval and what a guess reaches, in hundredths."""
    who, e = WHO.get(leak.view, leak.view), leak.estimate
    guess = "unknown" if leak.chance is None else f"{leak.chance:.0%}"
    ends = f"{rounded_down(100 * e.low):.0f}% to {rounded_up(100 * e.high):.0f}%"
    told = f"({ends}; a guess: {guess}), by {leak.name}"
    if leak.metric not in DOES:
        return f"{who} reaches {title(leak.metric)} {outward(e)} ({beside(leak)}), by {leak.name}"
    return f"{who} {DOES[leak.metric].format(f'{e.value:.0%}')} {told}"


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
