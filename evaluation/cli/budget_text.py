"""Privacy budgets without training: how much noise, and what epsilon."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from evaluation.cli.budget_risk import allowed_lines, figure, risk_lines, user_lines
from evaluation.cli.told import Line, warned
from fedbert.errors import InputError
from privacy.accountants import (
    ACCOUNTANTS,
    Accountant,
    gaussian_epsilon,
    poisson_gaussian_bound,
)
from privacy.allowed import allowed_by
from privacy.calibration import noise_multiplier_for, poisson_noise_multiplier
from privacy.checks import positive
from privacy.composition import EXACT
from privacy.events import Event, GaussianEvent, PoissonGaussianEvent
from privacy.risk import Risk, Target, sampled_noise
from privacy.signal import faint_words

REPLACE, REMOVE = "replace-one", "add-or-remove-one"


def noise_lines(
    target: Target,
    delta: float,
    clip_norm: float,
    releases: int | None,
    sampling: tuple[float, int] | None,
    accountant: Accountant,
    relation: str | None,
    records: int | None,
) -> list[str]:
    """Return the least noise that meets a budget, an epsilon or a risk, and what it holds for.

    Raises:
        InputError: for a number out of range, or for options that do not go together.
    """
    with refusing():
        positive("clip_norm", clip_norm)
        if sampling is None:
            count = 1 if releases is None else releases
            relation = relation or REPLACE
            multiplier = noise_multiplier_for(target, delta, count)
            event: Event = GaussianEvent(multiplier)
            spent, source = gaussian_epsilon(multiplier, count, delta), EXACT
            holds = _plain_sentence(count, relation)
        else:
            if relation == REPLACE:
                raise InputError(
                    f"expected relation {REMOVE} with a sample rate (the accountants of sampling "
                    f"hold for no other), got relation={relation!r}"
                )
            rate, count = sampling
            relation = REMOVE
            multiplier = _sampled_noise(target, delta, (rate, count), accountant)
            event = PoissonGaussianEvent(multiplier, rate)
            bound = poisson_gaussian_bound(multiplier, rate, count, delta, accountant)
            spent, source = bound.epsilon, _vouched(accountant, bound.accountant)
            holds = _sampled_sentence(rate, count)
        sensitivity = (2.0 if relation == REPLACE else 1.0) * clip_norm
        return [
            noise_line(multiplier),
            Line(
                f"standard deviation  {figure(multiplier * sensitivity, 6)}  (on every value; L2 "
                f"clip {clip_norm:g}, {relation}: sensitivity {sensitivity:g})",
                standard_deviation=multiplier * sensitivity,
                clip_norm=clip_norm,
                sensitivity=sensitivity,
            ),
            Line(
                f"epsilon             {figure(spent)}  (at delta {delta:g}; {source})",
                epsilon=spent,
                delta=delta,
                accountant=source,
            ),
            *risk_lines(target, event, count),
            holds,
            *_faint(multiplier),
            *breach_lines(delta, records),
        ]


def epsilon_lines(
    noise_multiplier: float,
    delta: float,
    releases: int | None,
    sampling: tuple[float, int] | None,
    accountant: Accountant | None,
    records: int | None,
    records_per_user: int | None = None,
) -> list[str]:
    """Return the epsilon of a noise multiplier by each accountant, and what it holds for.

    Raises:
        InputError: for a number out of range, or for options that do not go together.
    """
    with refusing():
        rate, count = sampling or (1.0, 1 if releases is None else releases)
        if count == 0 or rate == 0:
            gaussian_epsilon(noise_multiplier, 0, delta)  # both are checked all the same
            told = f"sample rate {rate:g}, {count} steps" if sampling else f"{count} releases"
            text = f"epsilon 0: nothing is released ({told}), and nobody learns anything"
            return [Line(text, epsilon={"exact": 0.0}, delta=delta)]
        lines: list[str] = [Line(f"epsilon at delta {delta:g}", delta=delta)]
        if sampling is None and accountant is None:
            exact = gaussian_epsilon(noise_multiplier, count, delta)
            lines.append(Line(f"exact  {figure(exact)}  ({EXACT})", epsilon={"exact": exact}))
        for name in ACCOUNTANTS if accountant is None else (accountant,):
            bound = poisson_gaussian_bound(noise_multiplier, rate, count, delta, name)
            known = bound.accountant == name
            note = f"an upper bound, {name.upper()}" if known else _vouched(name, bound.accountant)
            text = f"{name:5}  {figure(bound.epsilon)}  ({note})"
            lines.append(Line(text, epsilon={name: bound.epsilon}))
        event: Event = GaussianEvent(noise_multiplier)
        if sampling is not None:
            event = PoissonGaussianEvent(noise_multiplier, rate)
        lines += allowed_lines(allowed_by(event, count))
        lines += user_lines(event, count, delta, records_per_user)
        last = _plain_sentence(count, None) if sampling is None else _sampled_sentence(rate, count)
        return [*lines, last, *_faint(noise_multiplier), *breach_lines(delta, records)]


def _sampled_noise(
    target: Target, delta: float, sampling: tuple[float, int], accountant: Accountant
) -> float:
    """The noise of DP-SGD, by an accountant where the target is an epsilon."""
    if not isinstance(target, Risk):
        return poisson_noise_multiplier(target, delta, *sampling, accountant)
    if accountant != "pld":
        raise InputError(
            "expected --accountant with --epsilon alone (a risk is read off the trade-off curve), "
            f"got {accountant} and a risk"
        )
    return sampled_noise(target, *sampling)


def _plain_sentence(count: int, relation: str | None) -> Line:
    """What composition without sampling holds for."""
    times = "one release" if count == 1 else f"{count} releases"
    under = f"{relation} relation" if relation else "relation under which the sensitivity holds"
    return Line(
        f"Holds for {times} of one unit (token, sequence or client: what is clipped as one row), "
        f"under the {under}, against a view that sees every release (forward, backward, or "
        "peer and release for client updates); no sampling is counted.",
        holds_for={
            "unit": "clipped row (token, sequence or client)",
            "relation": relation or "that of the sensitivity",
            "views": "any that sees every release",
            "releases": count,
        },
    )


def _sampled_sentence(rate: float, steps: int) -> Line:
    """What amplification by sampling holds for."""
    return Line(
        f"Holds for one record, under the {REMOVE} relation, against the release view alone, over "
        f"{steps} steps of DP-SGD that draw each record by itself with probability {rate:g}.",
        holds_for={
            "unit": "record",
            "relation": REMOVE,
            "views": ["release"],
            "steps": steps,
            "sample_rate": rate,
        },
    )


def noise_line(multiplier: float) -> Line:
    """The noise that was found."""
    text = f"noise multiplier    {figure(multiplier, 6)}  (standard deviation over L2 sensitivity)"
    return Line(text, noise_multiplier=multiplier)


def _vouched(asked: str, accountant: str) -> str:
    if asked == accountant:
        return f"accountant {asked}"
    return f"{asked} does not serve here: from {accountant}"


def _faint(noise_multiplier: float) -> list[str]:
    """A warning where noise drowns whatever is said."""
    words = faint_words(GaussianEvent(noise_multiplier))
    return [warned(f"{words}.")] if words else []


def breach_lines(delta: float, records: int | None) -> list[str]:
    """A warning where delta allows for publishing a record outright."""
    if records is None:
        return []
    if records < 1:
        raise InputError(f"expected records >= 1, got records={records}")
    if delta < 1 / records:
        return []
    return [
        warned(
            f"delta {delta:g} is not below 1/n at n={records} records: it allows for the "
            "publication of one record outright."
        )
    ]


@contextmanager
def refusing() -> Iterator[None]:
    """Turn complaints about numbers into the user's; keep the accountants' own chatter quiet.

    What the log would say of a fall-back stands in the lines.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "privacy")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
    except ArithmeticError as error:
        raise InputError(f"expected numbers that the accountants can take, got {error}") from None
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
