"""Known sender: is this record, label and all, behind the one message that its place sent?"""

from collections.abc import Callable

import numpy as np

from attacks.attack import Lacks, unfit_noise

LEAST = 1e-3  # of the noise's spread: what float32 rows differ by, and then some
MOST = 1e12  # of a ratio whose record, or every other, is ruled out
NOISES = ("gaussian", "laplace")


def lacking_noise(noise: str) -> Lacks | None:
    """Return why no likelihood of a message is at hand, or None if one is."""
    return Lacks.of(unfit_noise(noise, NOISES))


def record_ratios(
    messages: np.ndarray,
    expected: np.ndarray,
    others: np.ndarray,
    noise: str,
    noise_std: float,
    answers: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return log-likelihood ratios [candidate]: this record behind its message, or some other.

    messages: what was sent from each candidate's place [candidate, value]. expected: what the
    candidates would be sent as, before noise. others: the same of other records [other, value]; the
    alternative is one of them, each as likely. answers: where labels go beside, the log-likelihood
    of each answered label under the candidate's label [candidate], and the others' [candidate,
    other].

    Threat model: whoever sees what was sent, knows the mechanism, and knows of a place that its
    record is the candidate or one out of a population that it holds records of. Between the two the
    ratio is the best test that there is (Neyman and Pearson); no guarantee of the record allows it
    more than its trade-off curve.
    """
    log = _density(noise, noise_std)
    own = log(messages - expected)
    rest = np.stack([log(messages - each) for each in others], axis=1)  # [candidate, other]
    if answers is not None:
        own, rest = own + answers[0], rest + answers[1]
    average = np.logaddexp.reduce(rest, axis=1) - np.log(rest.shape[1])
    with np.errstate(invalid="ignore"):  # a label without noise may rule out both
        ratios = np.where(np.isneginf(own), -MOST, own - average)
    return np.clip(ratios, -MOST, MOST)


def likeliest_label(
    messages: np.ndarray,
    expected: np.ndarray,
    noise: str,
    noise_std: float,
    answers: np.ndarray | None = None,
) -> np.ndarray:
    """Return the label behind each message of a known text [record] int64.

    messages [record, value]; expected [label, record, value]: what the text would be sent as with
    each label. answers [label, record]: as for `record_ratios`, where labels go beside.

    Threat model: as of `record_ratios`, but that the text is known and the label is not.
    """
    log = _density(noise, noise_std)
    scores = np.stack([log(messages - each) for each in expected])
    found: np.ndarray = (scores if answers is None else scores + answers).argmax(0)
    return found


def _density(noise: str, noise_std: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log-density of noise rows [row, value], less a constant."""
    spread = max(noise_std, LEAST)
    if noise == "laplace":
        return lambda rows: -np.sqrt(2.0) / spread * np.abs(rows).sum(1)
    return lambda rows: -0.5 * np.square(rows / spread).sum(1)
