"""Composition of parts, and of a user's records: closed forms, direct integration, domination."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from privacy import composed as module
from privacy.accountants import gaussian_epsilon, poisson_gaussian_bound, pure_bound
from privacy.composed import MOST_RECORDS, Part, composed, iterated
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import (
    Event,
    GaussianEvent,
    MessageEvent,
    MetricEvent,
    PoissonGaussianEvent,
    PureEvent,
)
from privacy.facts import TrainingFacts
from privacy.gaussian import Gaussian
from privacy.guarantee import SEVERAL_RECORDS, SEVERAL_TEXTS
from privacy.one_message import message_delta, message_epsilon
from privacy.randomised_response import RandomisedResponse
from privacy.tradeoff import gaussian_curve, poisson_gaussian_curve, pure_curve
from privacy.users import further_claims, user_claims

SGD = PoissonGaussianEvent(3.0, 0.05)


def epsilon(parts: tuple[Part, ...], delta: float = 1e-5) -> float:
    found = composed(parts).bound(delta)
    assert found is not None
    return found.epsilon


def test_gaussian_parts_add_their_squares() -> None:
    both = composed((Part(GaussianEvent(3.0), 2), Part(GaussianEvent(4.0), 1)))
    mu = math.sqrt(2 / 9 + 1 / 16)
    assert both.epsilon_at(1e-5) == pytest.approx(gaussian_epsilon(1 / mu, 1, 1e-5), rel=1e-12)
    assert both.allowed().mu == pytest.approx(mu, rel=5e-5)
    assert both.curve.tpr_at(0.01) == pytest.approx(gaussian_curve(1 / mu).tpr_at(0.01), rel=1e-9)


def test_what_was_done_twice_is_twice_the_steps() -> None:
    """Of two trainings of DP-SGD, as of one with all the steps: never less."""
    twice = epsilon((Part(SGD, 6), Part(SGD, 6)))
    assert twice == pytest.approx(poisson_gaussian_bound(3.0, 0.05, 12, 1e-5).epsilon, rel=1e-3)
    other = PoissonGaussianEvent(3.0, 0.06)
    mixed = epsilon((Part(SGD, 6), Part(other, 6)))
    assert twice < mixed < poisson_gaussian_bound(3.0, 0.06, 12, 1e-5).epsilon
    alone = epsilon((Part(SGD, 6),))
    assert alone < twice < 2 * alone + 1e-9


def test_a_message_with_its_label_is_gaussian_and_pure_together() -> None:
    found = composed((Part(MessageEvent(2.0, 0.3), 1),))
    exact = message_epsilon(2.0, 0.3, 1, 1e-5)
    assert exact <= found.epsilon_at(1e-5) <= exact * (1 + 1e-3)
    exact = message_epsilon(2.0, 0.3, 3, 1e-5)  # a user of three records has three of them
    three = composed((Part(MessageEvent(2.0, 0.3), 1, 3),))
    assert exact <= three.epsilon_at(1e-5) <= exact * (1 + 1e-3)
    (delta,) = message_delta(np.array([1.0]), 2.0, 0.3, 3)
    assert three.delta_of is not None and delta <= three.delta_of(1.0) <= delta * (1 + 1e-3) + 1e-9
    pure = composed((Part(PureEvent(0.3), 4), Part(PureEvent(0.3), 1)))
    assert pure.epsilon_at(1e-5) == pure_bound(0.3, 5, 1e-5).epsilon
    assert pure.curve == pure_curve(0.3, 5)


def test_parts_that_cannot_be_composed_are_refused() -> None:
    assert composed((Part(SGD, 0),)).bound(1e-5) is not None
    with pytest.raises(ValueError, match="with a trade-off curve"):
        composed((Part(MetricEvent(1.0), 1),))
    for records in (0, MOST_RECORDS + 1):
        with pytest.raises(ValueError, match="records"):
            Part(SGD, 1, records)


@pytest.mark.parametrize(("mu", "count"), [(0.5, 3), (0.2, 5), (1.0, 2)])
def test_a_group_of_gaussian_records_is_count_mu(mu: float, count: int) -> None:
    """Passed through itself the curve of mu is that of count mu, to four digits, never below."""
    group, exact = iterated(gaussian_curve(1 / mu), count), gaussian_curve(1 / (count * mu))
    for fpr in (1e-3, 0.01, 0.1, 0.5):
        truth = float(stats.norm.cdf(stats.norm.ppf(fpr) + count * mu))
        assert truth * (1 - 1e-9) <= group.tpr_at(fpr) <= truth * (1 + 5e-4)
    assert exact.advantage() * (1 - 1e-9) <= group.advantage() <= exact.advantage() + 1e-4
    assert gaussian_epsilon(1 / (count * mu), 1, 1e-5) <= group.epsilon_at(1e-5)


def test_a_users_step_is_the_mixture_integrated() -> None:
    """One step, three records: both directions of delta by quadrature, never below."""
    noise, rate, count = 1.5, 0.2, 3
    weights = stats.binom.pmf(range(count + 1), count, rate)

    def mixture(x: float) -> float:
        return float(sum(w * stats.norm.pdf(x, k, noise) for k, w in enumerate(weights)))

    def plain(x: float) -> float:
        return float(stats.norm.pdf(x, 0, noise))

    found = composed((Part(PoissonGaussianEvent(noise, rate), 1, count),))
    assert found.delta_of is not None and found.accountant == "pld, mixture of Gaussians"
    for at in (0.0, 0.5, 1.0):
        odds = math.exp(at)
        told = [
            quad(lambda x: max(0.0, p(x) - odds * q(x)), -20, 25, limit=400)[0]  # noqa: B023
            for p, q in ((mixture, plain), (plain, mixture))
        ]
        assert max(told) * (1 - 1e-6) <= found.delta_of(at) <= max(told) * (1 + 1e-2) + 1e-6


def test_the_mixture_is_below_the_curve_passed_through_itself() -> None:
    """Which holds for any mechanism, and is what remains where no mixture can be made."""
    one = poisson_gaussian_curve(3.0, 0.05, 10)
    found, general = composed((Part(SGD, 10, 4),)), iterated(one, 4)
    for fpr in (1e-3, 0.01, 0.1, 0.3):
        assert one.tpr_at(fpr) < found.curve.tpr_at(fpr) <= general.tpr_at(fpr) * (1 + 1e-4)
    assert found.epsilon_at(1e-5) < general.epsilon_at(1e-5)
    assert found.curve.advantage() < general.advantage() < 4 * one.advantage() + 1e-9


def test_without_a_mixture_the_curve_is_passed_through_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "mixture_loss", fails)
    found = composed.__wrapped__((Part(SGD, 10, 4),))
    assert found.basis == module.BY_ITERATION and "cannot be made" in caplog.text
    assert found.epsilon_at(1e-5) >= composed((Part(SGD, 10, 4),)).epsilon_at(1e-5)


# The ledger ----------------------------------------------------------------------------------

FACTS = TrainingFacts(
    "parallel", releases=3, rounds=2, steps=10, sample_rate=0.05, delta=1e-5, labels=2,
    records_per_user=4,
)  # fmt: skip


def test_a_user_stands_beside_the_record_and_never_below_it() -> None:
    made = Defence("d", training=DPSGD(1.0, 3.0, 0.05), labels=RandomisedResponse(1.0, 2))
    claims = further_claims(made, FACTS)
    (user,) = [each for each in claims if each.unit == "user"]
    assert (user.view, user.relation, user.releases) == ("release", "add-or-remove-one", 10)
    record = poisson_gaussian_bound(3.0, 0.05, 10, 1e-5).epsilon
    assert record < user.epsilon == epsilon((Part(SGD, 10, 4),))
    assert user.exclusions[0].startswith("a user with more than 4 records")
    assert not {SEVERAL_RECORDS, SEVERAL_TEXTS} & {*user.exclusions}
    assert any(each.startswith("a text that stands in more than") for each in user.exclusions)
    assert user.tradeoff is not None
    assert user.sentence().startswith("Against the release view, each user is protected")
    assert user_claims(made, replace(FACTS, records_per_user=None)) == []
    (one,) = user_claims(made, replace(FACTS, records_per_user=1))
    assert one.epsilon == pytest.approx(record, rel=1e-3)
    assert [each.unit for each in claims].count("label") == 4  # theirs are no user's text


def test_a_users_messages_add_up_and_a_client_holds_its_users_whole() -> None:
    sequences = Defence("d", smashed=Gaussian(1.0, 6.0, "sequence"), update=DPFedAvg(1.0, 9.0))
    (user,) = user_claims(sequences, FACTS)
    assert (user.view, user.unit, user.scope, user.releases) == ("forward", "user", "local", 12)
    assert user.epsilon == pytest.approx(gaussian_epsilon(6.0, 12, 1e-5))
    tokens = Defence("d", smashed=Gaussian(1.0, 6.0, "token"))
    assert user_claims(tokens, FACTS) == []


@pytest.mark.parametrize("event", [GaussianEvent(2.0), PureEvent(0.4), MessageEvent(2.0, 0.4)])
def test_of_messages_a_users_records_are_as_many_releases(event: Event) -> None:
    assert epsilon((Part(event, 2, 3),)) == pytest.approx(epsilon((Part(event, 6),)))
