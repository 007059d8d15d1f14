"""Live audit in real trainings: sound ones are let be and stay what they were, faulty ones stop."""

import math
from dataclasses import replace

import numpy as np
import pytest

import fedbert.private_step as private_step
from evaluation.auditing.canaries.planted_clients import Turns
from evaluation.auditing.canaries.planted_records import PlantedRecords
from evaluation.auditing.live.audit import ALPHA, KEY, FaultError, LiveAudit
from evaluation.auditing.live.planting import kind_of
from evaluation.grid.audit import AuditSettings
from evaluation.metrics.canary_readings import Readings
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.trainer import train
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.correlated_noise import CorrelatedNoise
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.local_dp_fedavg import LocalDPFedAvg
from reports.figures.live import describe_live, live_data
from tests.evaluation.auditing.live.sabotage import BROKEN, broken_sums, noise_that_comes_again
from tests.evaluation.auditing.live.world import MANY, audited
from tests.fedbert import tiny

CASES = {
    "dp_fedavg": (Defence("d", update=DPFedAvg(0.5, 1.0)), {"clients": 3, "strategy": "fedavg"}),
    "split": (Defence("d", update=DPFedAvg(0.5, 1.0)), {"clients": 2, "strategy": "parallel"}),
    "adaptive": (
        Defence("d", update=AdaptiveDPFedAvg(0.5, 1.0)), {"clients": 3, "strategy": "fedavg"},
    ),
    "ftrl": (
        Defence("d", update=DPFTRL(0.5, 1.0, 2, 3)),
        {"clients": 4, "strategy": "fedavg", "clients_per_round": 2, "participation": "cyclic"},
    ),
    "dp_sgd": (Defence("d", training=DPSGD(1.0, 1.0, 0.25)), {"strategy": "centralised"}),
    "dp_sgd, parts": (
        Defence("d", training=DPSGD(1.0, 1.0, 0.25)), {"strategy": "centralised", "micro_batch": 2},
    ),
    "dp_sgd, split": (
        Defence("d", training=DPSGD(1.0, 1.0, 0.5)), {"clients": 2, "strategy": "parallel"},
    ),
    "dp_sgd, turns": (
        Defence("d", training=DPSGD(1.0, 1.0, 0.5)), {"clients": 2, "strategy": "sequential"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_absent_canaries_and_witnesses_change_no_digit(name: str) -> None:
    defence, settings = CASES[name]
    config = tiny.config_of(**settings)
    found, audit, states = audited(config, defence, absent=True)
    prepared = tiny.prepared_for(config)
    alone = train(config, prepared, defence, noise=noise_of(config, prepared, defence))
    assert found is not None and len(states) == 3
    assert found.state.values.keys() == alone.state.values.keys()
    for key, value in alone.state.values.items():
        assert (found.state.values[key] == value).all(), key
    assert found.losses == alone.losses
    assert audit.test is not None and audit.test.releases >= 3
    assert audit.test.highest < 7


@pytest.mark.parametrize("name", CASES)
def test_canaries_that_are_there_are_told_from_the_others(name: str) -> None:
    """Almost without noise: every guess is right, and those there score what was to be expected."""
    defence, settings = CASES[name]
    quiet = replace(
        defence,
        **{
            place: replace(getattr(defence, place), noise_multiplier=0.02)
            for place in ("update", "training")
            if hasattr(getattr(defence, place), "noise_multiplier")
        },
    )
    config = tiny.config_of(**{"local_steps": 1, **settings}, rounds=3)
    prepared = tiny.prepared_for(config)
    noise = noise_of(config, prepared, quiet)
    audit = LiveAudit(MANY, config, prepared, quiet, noise)
    train(config, prepared, quiet, fleet=audit.fleet, noise=noise)
    canaries = audit.canaries
    assert canaries is not None
    there, others = canaries.scores[canaries.coins], canaries.scores[~canaries.coins]
    if isinstance(canaries, PlantedRecords):
        drawn = np.median(there)
        assert drawn > 100 and (others < 10).all()
    else:
        energy = canaries.energy
        np.testing.assert_allclose(there, energy, atol=0.5 * energy)
        np.testing.assert_allclose(others, 0.0, atol=0.5 * energy)
        assert abs(there.mean() - energy) < 0.1 * energy


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_stops_a_federation_at_once(name: str) -> None:
    kind, first, said = BROKEN[name]
    config = tiny.config_of(clients=2, strategy="fedavg", rounds=8, local_steps=1)
    with pytest.raises(FaultError, match=said) as error:
        audited(config, Defence("d", update=kind(0.5, 1.0)))
    assert any(f"round {number}:" in str(error.value) for number in range(first, first + 3))


@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
@pytest.mark.parametrize(("share", "said"), [(0.5, "smaller"), (None, "in an earlier release")])
def test_a_fault_stops_dp_sgd(strategy, share, said, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = broken_sums(private_step.noise_sums, 4, share)
    monkeypatch.setattr(private_step, "noise_sums", broken)
    config = tiny.config_of(strategy=strategy, rounds=4)
    with pytest.raises(FaultError, match=said) as error:
        audited(config, Defence("d", training=DPSGD(1.0, 1.0, 0.25)), AuditSettings(noise=True))
    assert str(error.value).startswith(("round 1:", "round 2:"))  # parties make a call each


def test_correlated_noise_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    defence, settings = CASES["ftrl"]
    config = tiny.config_of(**{**settings, "rounds": 8})
    defence = Defence("d", update=DPFTRL(0.5, 1.0, 2, 8))
    monkeypatch.setattr(CorrelatedNoise, "of", noise_that_comes_again(CorrelatedNoise.of))
    with pytest.raises(FaultError, match=r"round [23]:"):
        audited(config, defence)


@pytest.mark.parametrize("mode", ["repeatable", "secret"])
@pytest.mark.parametrize("name", ["ftrl", "dp_sgd"])
def test_an_audit_goes_on_where_its_training_does(name: str, mode: str) -> None:
    defence, settings = CASES[name]
    if name == "ftrl":
        defence = Defence("d", update=DPFTRL(0.5, 1.0, 2, 4))
    config = tiny.config_of(**{**settings, "rounds": 4, "local_steps": 1}, noise=mode)
    _, whole, states = audited(config, defence, stop=2)
    held = states[-1]
    found, audit, _ = audited(config, defence, start=held)
    assert found is not None and audit.looks == 4 and len(audit.points) == 4
    assert audit.canaries is not None and whole.canaries is not None
    assert (audit.canaries.coins == whole.canaries.coins).all()
    assert audit.test is not None and audit.test.releases == 4
    assert audit.test.highest < 7
    if mode == "repeatable":
        straight, one, _ = audited(config, defence)
        assert straight is not None and one.canaries is not None
        for key, value in straight.state.values.items():
            assert (found.state.values[key] == value).all(), key
        if name != "ftrl":  # whose last rounds' noise is kept nowhere
            np.testing.assert_allclose(audit.canaries.scores, one.canaries.scores)
    with pytest.raises(InputError, match="expected canaries=20, as this training began, got"):
        audited(config, defence, AuditSettings(canaries=30), start=held)


def test_nothing_of_the_noise_and_all_of_the_wealth_is_in_a_state() -> None:
    defence, settings = CASES["dp_fedavg"]
    _, _, states = audited(tiny.config_of(**settings), defence)
    own = {n: v for n, v in states[-1].arrays.items() if n.startswith(KEY)}
    of_noise, of_canaries = ("size", "bare", "rounds", "tensors"), ("near", "again", "guessed")
    assert set(own) == {f"{KEY}:{n}" for n in ("scores", *of_noise, *of_canaries[:2])}
    _, _, states = audited(tiny.config_of(**settings), defence, AuditSettings(canaries=200))
    own = {n for n in states[0].arrays if n.startswith(KEY)}  # a group of coins was full
    assert own == {f"{KEY}:{n}" for n in ("scores", *of_noise, *of_canaries)}
    assert states[-1].plain[KEY]["shown"]["kind"] == "clients"


def test_all_tests_share_one_level() -> None:
    """Noise a half; canaries of the whole training a quarter; readings and guesses an eighth."""
    defence, settings = CASES["dp_fedavg"]
    _, audit, _ = audited(tiny.config_of(**settings, rounds=1), defence)
    assert audit.canary_tests is not None and audit.canary_tests.alpha == ALPHA / 4
    readings = Readings("s", *(np.zeros(1) for _ in range(3)), *(np.zeros(1, dtype=bool),) * 2)
    for bets in (audit.canary_tests.readings.shared, audit.canary_tests.guesses.bets):
        before, bets.highest = bets.highest, math.log(8 / ALPHA) - 1e-9
        audit.reading(readings)
        bets.highest = math.log(8 / ALPHA) + 1e-9
        with pytest.raises(FaultError, match=r"where 10\^4.9 stops"):
            audit.reading(readings)
        bets.highest = before


def test_the_figure_tells_what_canaries_found() -> None:
    line = FaultError("canaries", "round 2: readings lie nearer").line
    curve = {
        "shown": {"canaries": 20, "kind": "clients"}, "significance": 0.05, "claimed": None,
        "points": [{"round": 1, "canary_log_wealth": math.log(100)}], "fault": line,
    }  # fmt: skip
    told = describe_live(live_data(curve))
    assert told.startswith("stopped by its canaries: round 2: readings lie nearer.")
    assert "Evidence of canaries, by single rounds: 10^2.0." in told


def test_what_no_canary_speaks_of_is_refused_by_name() -> None:
    config = tiny.config_of(clients=2, strategy="fedavg")
    local = Defence("d", update=LocalDPFedAvg(0.5, 1.0))
    with pytest.raises(InputError, match="got LocalDPFedAvg"):
        audited(config, local)
    with pytest.raises(InputError, match="noise that lies on sums, got defence 'none'"):
        audited(config, Defence("none"), AuditSettings(noise=True))
    with pytest.raises(InputError, match="at least 10 canaries, got canaries=9"):
        AuditSettings(canaries=9)
    assert kind_of(config, Defence("none")) == "texts"


def test_turns_are_as_the_claim_counts_them() -> None:
    assert [Turns(3, 2).there(r) for r in range(8)] == [
        True, False, False, True, False, False, False, False,
    ]  # fmt: skip
    defence, settings = CASES["ftrl"]
    assert Turns.of(defence.update, tiny.config_of(**{**settings, "rounds": 6})) == Turns(2, 3)
    assert Turns.of(DPFedAvg(1.0, 1.0), tiny.config_of()) == Turns()


def test_canary_texts_are_learnt_and_stay_out_of_the_pool() -> None:
    config = tiny.config_of(rounds=2, local_steps=30, batch_size=32)
    found, audit, _ = audited(config, Defence("none"), AuditSettings(canaries=20))
    assert found is not None and audit.test is None and audit.canaries is not None
    there = audit.canaries.scores[audit.canaries.coins].mean()
    assert there > audit.canaries.scores[~audit.canaries.coins].mean()
    assert len(audit.prepared.pool) == len(tiny.prepared_for(config).pool)
