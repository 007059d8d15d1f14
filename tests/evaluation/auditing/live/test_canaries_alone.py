"""What canaries find by themselves, the look at the noise switched off; and what they read."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import fedbert.private_step as private_step
from evaluation.auditing.live.audit import FaultError, LiveAudit
from evaluation.grid.audit import AuditSettings
from evaluation.metrics.canary_readings import Readings
from fedbert.errors import InputError
from privacy.correlated_noise import CorrelatedNoise
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from tests.evaluation.auditing.live.sabotage import (
    HalvedFromRound5,
    ReusedFromRound3,
    UnclippedFromRound5,
    broken_sums,
    noise_that_comes_again,
)
from tests.evaluation.auditing.live.test_live import CASES
from tests.evaluation.auditing.live.world import audited
from tests.fedbert import tiny

SOME, MANY = AuditSettings(canaries=40), AuditSettings(canaries=200)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Readings]:
    """Return all that audits come to read of canaries, as it comes."""
    found: list[Readings] = []
    own = LiveAudit.reading

    def reading(self: LiveAudit, readings: Readings) -> None:
        found.append(readings)
        own(self, readings)

    monkeypatch.setattr(LiveAudit, "reading", reading)
    return found


@pytest.mark.parametrize("name", CASES)
def test_readings_are_what_canaries_add_under_noise_of_the_claim(name: str, heard) -> None:
    """Little noise, so that what canaries add shows. Chance fails each bound once in 10,000."""
    defence, settings = CASES[name]
    place = "update" if defence.training is None else "training"
    quiet = replace(getattr(defence, place), noise_multiplier=0.1)
    if hasattr(quiet, "bands"):
        quiet = replace(quiet, rounds=3)
    config = tiny.config_of(**{**settings, "rounds": 3, "local_steps": 1})
    audited(config, replace(defence, **{place: quiet}), AuditSettings(canaries=80))
    coins, left = (
        np.concatenate([each.coins for each in heard]),
        np.concatenate([each.values - each.known for each in heard]),
    )
    fresh = np.concatenate([each.fresh for each in heard])
    assert len(left) == 240 and fresh.sum() == 120
    for side in (fresh & coins, fresh & ~coins, ~fresh):
        assert abs(left[side].mean()) < 3.9 * 1.3 / np.sqrt(side.sum())
    squares = float(left @ left)
    assert stats.chi2.isf(1 - 1e-4, 240) < squares < 1.6 * stats.chi2.isf(1e-4, 240)


@pytest.mark.parametrize("name", ["dp_fedavg", "dp_sgd"])
def test_new_coins_are_new_in_each_release_and_the_same_after_a_restart(name: str, heard) -> None:
    defence, settings = CASES[name]
    config = tiny.config_of(**{**settings, "rounds": 3, "local_steps": 1}, noise="repeatable")
    _, _, states = audited(config, defence, SOME, stop=1)
    audited(config, defence, SOME, start=states[-1])
    straight = len(heard)
    audited(config, defence, SOME)
    assert straight == 3 and len(heard) == 6
    for one, other in zip(heard[:3], heard[3:], strict=True):
        assert (one.coins == other.coins).all()
    rows = np.stack([each.coins[each.fresh] for each in heard[:3]])
    assert rows.shape == (3, 20) and len({tuple(row) for row in rows}) == 3
    saved = states[-1].plain["audit"]
    assert len(saved["coins"]) == 20 and saved["shown"]["fresh"] == 20
    config = replace(config, noise="secret")
    audited(config, defence, SOME)
    assert (heard[6].coins != heard[0].coins).any()


@pytest.mark.parametrize(
    ("kind", "asked", "first", "said"),
    [(HalvedFromRound5, SOME, 5, "nearer to their coins"), (ReusedFromRound3, SOME, 4, "repeat"),
     (UnclippedFromRound5, MANY, 5, "new coins guessed rightly")],
)  # fmt: skip
def test_a_fault_of_a_federation_is_found_by_canaries(kind, asked, first: int, said: str) -> None:
    config = tiny.config_of(clients=2, strategy="fedavg", rounds=8, local_steps=1)
    with pytest.raises(FaultError, match=said) as error:
        audited(config, Defence("d", update=kind(0.5, 1.0)), asked, noise_too=False)
    found = error.value.line.removeprefix("stopped by its canaries: round ")
    assert first <= int(found.split(":")[0]) < first + 3


def test_the_look_at_the_noise_sees_nothing_of_a_clip_that_is_gone() -> None:
    config = tiny.config_of(clients=2, strategy="fedavg", rounds=6, local_steps=1)
    found, audit, _ = audited(config, Defence("d", update=UnclippedFromRound5(0.5, 1.0)))
    assert found is not None and audit.test is not None and audit.test.highest < 7


@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
@pytest.mark.parametrize(("share", "said"), [(0.5, "nearer"), (None, "repeat")])
def test_a_fault_of_dp_sgd_is_found_by_canaries(strategy, share, said, monkeypatch) -> None:
    monkeypatch.setattr(private_step, "noise_sums", broken_sums(private_step.noise_sums, 4, share))
    config = tiny.config_of(strategy=strategy, rounds=4)
    with pytest.raises(FaultError, match=said) as error:
        defence = Defence("d", training=DPSGD(1.0, 1.0, 0.25))
        audited(config, defence, AuditSettings(canaries=100), noise_too=False)
    assert error.value.line.startswith("stopped by its canaries: round ")


def test_correlated_noise_that_comes_again_is_found_by_canaries(monkeypatch) -> None:
    monkeypatch.setattr(CorrelatedNoise, "of", noise_that_comes_again(CorrelatedNoise.of))
    config = tiny.config_of(**{**CASES["ftrl"][1], "rounds": 8})
    with pytest.raises(FaultError, match=r"round [234]: readings repeat"):
        audited(config, Defence("d", update=DPFTRL(0.5, 1.0, 2, 8)), SOME, noise_too=False)


def test_clients_that_move_a_lot_stop_nothing() -> None:
    """Steps so long that every update is clipped, all of them along what the model learns."""
    config = tiny.config_of(clients=3, strategy="fedavg", rounds=6, learning_rate=0.5)
    defence = Defence("d", update=DPFedAvg(0.5, 0.3))
    found, audit, _ = audited(config, defence, SOME, noise_too=False)
    assert found is not None and audit.canary_tests is not None
    assert audit.canary_tests.log_wealth < 5


def test_more_canaries_than_a_model_has_room_for_are_refused_before_it_trains() -> None:
    config = tiny.config_of(clients=2, strategy="fedavg")
    with pytest.raises(InputError, match="canary clients, 20 trained values each, got"):
        audited(config, Defence("d", update=DPFedAvg(0.5, 1.0)), AuditSettings(canaries=10_000))
