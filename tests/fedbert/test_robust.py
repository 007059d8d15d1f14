"""Robust averages: what a few updates can do to them, and where they are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedbert import robust
from fedbert.averaging import Robust, Weighted
from fedbert.errors import InputError
from fedbert.fault_settings import FaultsConfig, FixedFault
from fedbert.training_settings import TrainingConfig
from privacy.accounting import ledger
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.defence import Defence, refuse
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.facts import TrainingFacts
from privacy.guarantee import Guarantee, NoGuarantee
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.mechanism import ClipOnly
from tests.fedbert import tiny

RULES = ("median", "trimmed_mean", "norm_bound", "krum")
Made = Callable[[np.ndarray], np.ndarray]


def average(rule: str, updates: np.ndarray, share: float = 0.2) -> np.ndarray:
    """The new values [value] of updates [client, value] away from zeros."""
    training = TrainingConfig(averaging=rule, faulty_share=share)
    made = Robust(training, {"w": np.zeros(updates.shape[1])})
    for own in updates:
        made.add(7, {"w": own})
    return made.result()["w"]


def honest(clients: int, values: int = 50) -> np.ndarray:
    return 1.0 + 0.1 * np.random.default_rng(0).standard_normal((clients, values))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lie", [1e3, -1e3, 1e25])
def test_two_of_ten_move_it_no_further_than_honest_ones_lie_apart(rule: str, lie: float) -> None:
    updates = honest(10)
    updates[[3, 7]] = lie
    assert np.abs(average(rule, updates) - 1.0).max() < 0.6
    moved = Weighted(70)
    for own in updates:
        moved.add(7, {"w": own})
    assert np.abs(moved.result()["w"] - 1.0).max() > 50


@pytest.mark.parametrize(("rule", "most"), [("median", 4), ("trimmed_mean", 3), ("krum", 3)])
def test_it_breaks_down_where_it_is_said_to(rule: str, most: int) -> None:
    """Of ten: at one half, at `faulty_share` = 0.3, and at (n - 3) / 2."""
    for count, holds in ((most, True), (most + 2, False)):
        updates = honest(10)
        updates[:count] = 1e3
        assert bool(np.abs(average(rule, updates, 0.3) - 1.0).max() < 0.6) is holds


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("clients", [1, 2, 3, 4])
def test_identical_updates_are_their_average_however_few(rule: str, clients: int) -> None:
    one = np.random.default_rng(1).standard_normal(20)
    np.testing.assert_allclose(average(rule, np.stack([one] * clients)), one, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_clients_does_not_matter(rule: str) -> None:
    updates = honest(7)
    shuffled = updates[np.random.default_rng(2).permutation(7)]
    np.testing.assert_allclose(average(rule, updates), average(rule, shuffled), rtol=1e-12)


def test_trimmed_mean_of_nothing_cut_is_the_mean() -> None:
    updates = honest(9)
    np.testing.assert_allclose(robust.trimmed_mean(updates, 0.0), updates.mean(0))
    ordered = np.sort(updates, 0)[1:-1]
    np.testing.assert_allclose(robust.trimmed_mean(updates, 0.2), ordered.mean(0))


def test_krum_is_the_update_with_the_nearest_neighbours() -> None:
    """Against a loop over all clients, as the paper writes it."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        points = rng.standard_normal((9, 4))
        apart = np.square(points[:, None] - points).sum(2)
        scores = [sum(sorted(np.delete(apart[i], i))[: 9 - 2 - 2]) for i in range(9)]
        assert robust.krum(apart, 0.25) == int(np.argmin(scores))


def test_a_norm_of_ones_own_bounds_every_change() -> None:
    training = TrainingConfig(averaging="norm_bound", update_norm=0.5)
    made = Robust(training, {"w": np.ones(4), "v": np.zeros(1)})
    made.add(1, {"w": np.ones(4) + 0.1, "v": np.zeros(1)})
    made.add(3, {"w": np.ones(4) - 100.0, "v": np.zeros(1)})
    np.testing.assert_allclose(made.result()["w"], 1 + 0.25 * 0.1 - 0.75 * 0.5 / 2)


@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
@pytest.mark.parametrize("rule", RULES)
def test_every_strategy_averages_so_and_survives_a_poisoned_client(
    strategy: str, rule: str
) -> None:
    faults = FaultsConfig(poison_factor=-1e4, clients=(FixedFault(2, "poisoned"),))
    settings: dict[str, Any] = {"clients": 7, "strategy": strategy, "averaging": rule, "rounds": 2}
    settings["client_parts"] = "average"
    done = tiny.trained(count=70, faults=faults, **settings)
    start = tiny.prepared_for(tiny.config_of("two")).split.whole
    before = {n: p.detach().numpy() for n, p in start.named_parameters()}
    moved = max(float(np.abs(done.state.values[n] - v).max()) for n, v in before.items())
    assert 0 < moved < 0.5
    spoilt = tiny.trained(count=70, faults=faults, **(settings | {"averaging": "mean"}))
    assert max(float(np.abs(v).max()) for v in spoilt.state.values.values()) > 20


ON_SUM = (DPFedAvg(1.0, 1.0), AdaptiveDPFedAvg(1.0, 1.0), DPFTRL(1.0, 1.0, 1, 3))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mechanism", [*ON_SUM, ClipOnly(1.0, unit="client")], ids=repr)
def test_a_mechanism_on_the_sum_is_refused_beside_it(rule: str, mechanism: Any) -> None:
    facts = TrainingFacts("fedavg", rounds=3, delta=1e-5, participations=3, averaging=rule)
    defence = Defence("d", update=mechanism)
    reason = refuse(defence, facts)
    assert reason is not None and f"averaging='{rule}'" in reason and "\n" not in reason
    assert isinstance(ledger(defence, facts)["release"], NoGuarantee)
    with pytest.raises(InputError, match="sensitivity of a mean"):
        tiny.trained(clients=3, strategy="fedavg", averaging=rule, defence=defence)


@pytest.mark.parametrize("rule", RULES)
def test_noise_of_clients_own_holds_whatever_is_made_of_it(rule: str) -> None:
    facts = TrainingFacts("fedavg", rounds=3, delta=1e-5, averaging=rule)
    defence = Defence("d", update=LocalDPFedAvg(1.0, 5.0))
    assert refuse(defence, facts) is None
    claims = ledger(defence, facts)
    same = ledger(defence, TrainingFacts("fedavg", rounds=3, delta=1e-5))
    assert isinstance(claims["aggregator"], Guarantee) and claims == same
    tiny.trained(clients=3, strategy="fedavg", averaging=rule, defence=defence)


def test_parts_that_are_handed_on_are_not_averaged() -> None:
    with pytest.raises(InputError, match='client_parts "average" with averaging other'):
        TrainingConfig(strategy="sequential", averaging="median")
