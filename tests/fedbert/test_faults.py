"""Faults: drawn by themselves, survived by every strategy, and right in sums, noise and ledger."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from fedbert.errors import InputError
from fedbert.fault_settings import DRAWN, FaultsConfig, FixedFault
from fedbert.faults.draws import faults_of
from fedbert.faults.quorum import Planned, refuse_below_quorum
from fedbert.messages import dense
from fedbert.noise import noise_of
from fedbert.receiving import FAILED
from fedbert.schedule import participants
from fedbert.trainer import State, train
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.mechanism import clip_rows
from privacy.randomness.keys import FACTS
from privacy.randomness.source import NoiseSource
from tests.fedbert import tiny
from tests.privacy.drawn import draws

MANY = FaultsConfig(
    absent=0.1, leaves=0.15, lost=0.05, nan=0.05, infinite=0.05, misshaped=0.05, foreign=0.05,
    stale=0.05, twice=0.1, poisoned=0.05, poison_factor=2.0, away=2, mean_delay=10.0, deadline=40.0,
)  # fmt: skip
TOLERANT = {"quorum": 0.2, "below_quorum": "skip", "clients": 8, "rounds": 5, "local_steps": 3}
DEFENCES = {
    "none": tiny.NO_DEFENCE,
    "central": Defence("c", update=DPFedAvg(1.0, 0.1)),
    "adaptive": Defence("a", update=AdaptiveDPFedAvg(1.0, 0.1)),
    "over rounds": Defence("f", update=DPFTRL(1.0, 0.1, 1, 5)),
    "local": Defence("l", update=LocalDPFedAvg(1.0, 0.01)),
    "message": Defence("m", smashed=Gaussian(1.0, 0.1)),
    "dp-sgd": Defence("d", training=DPSGD(1.0, 1.0, sample_rate=0.5)),
}
RUNS = [
    ("fedavg", "none", "keep"), ("fedavg", "adaptive", "reset"), ("fedavg", "local", "keep"),
    ("parallel", "none", "keep"), ("parallel", "over rounds", "reset"),
    ("parallel", "dp-sgd", "keep"), ("sequential", "message", "keep"),
    ("sequential", "dp-sgd", "reset"), ("sequential", "none", "hand_on"),
]  # fmt: skip


def fixed(kind: Any, *clients: int, **settings: Any) -> FaultsConfig:
    return FaultsConfig(clients=tuple(FixedFault(c, kind) for c in clients), **settings)


def flat(values: dict[str, Any]) -> np.ndarray:
    return np.concatenate([dense(v).astype(np.float64).ravel() for _, v in sorted(values.items())])


@pytest.fixture
def one_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same noise whatever the faults, to see what they change."""
    monkeypatch.setattr(
        "fedbert.trainer.noise_of",
        lambda config, *_: NoiseSource.repeatable(config.seed, dict.fromkeys(FACTS, 1)),
    )


def test_noise_is_another_where_faults_or_quorum_differ() -> None:
    """Else two models of one seed would show, by their difference, the update that one lacks."""
    first = tiny.config_of("two", clients=4)
    prepared, sources = tiny.prepared_for(first, count=40), []
    for settings in ({}, {"faults": fixed("lost", 1)}, {"quorum": 0.5}, {"below_quorum": "skip"}):
        config = tiny.config_of("two", clients=4, **settings)
        source = noise_of(config, prepared, DEFENCES["central"])
        sources.append(source.draws("update", 0).uniform((4,)).tobytes())
    assert len(set(sources)) == 4


@pytest.mark.parametrize(("strategy", "defence", "state"), RUNS)
def test_a_training_through_faults_is_the_same_again_and_after_a_stop(
    strategy: str, defence: str, state: str
) -> None:
    settings = TOLERANT | {"strategy": strategy, "optimizer_state": state, "faults": MANY}
    config, states = tiny.config_of("two", **settings), list[State]()
    prepared, under = tiny.prepared_for(config, count=60), DEFENCES[defence]
    whole = train(config, prepared, under, on_round=states.append)
    reasons = {each.why for each in whole.receipts.refused}
    assert reasons and whole.receipts.missing
    assert FAILED not in reasons  # as it would be of a client that draws a noise twice
    for at in (1, 3):
        rest = train(config, prepared, under, start=states[at], on_round=lambda _: None)
        assert tiny.as_bytes(rest.state) == tiny.as_bytes(whole.state)
        assert rest.receipts == whole.receipts and rest.protection == whole.protection


def test_stacked_copies_of_a_group_that_loses_clients_are_those_run_alone() -> None:
    """Federated averaging has no groups: equal to rounding, whoever leaves which group when."""
    settings = TOLERANT | {"optimizer_state": "reset", "faults": MANY, "precision": "float64"}
    runs = []
    for strategy in ("fedavg", "parallel"):
        config = tiny.config_of("two", **settings, strategy=strategy)
        prepared = tiny.prepared_for(config, dropout=0.0, count=60)
        runs.append(train(config, prepared, tiny.NO_DEFENCE))
    assert runs[0].receipts == runs[1].receipts
    assert tiny.largest_difference(runs[0].state, runs[1].state) < 1e-9


@pytest.mark.usefixtures("one_noise")
def test_faults_change_no_other_draw() -> None:
    """Those who stay send the same bytes in the first round: data, dropout and noise alike."""
    sent = []
    for faults in (FaultsConfig(), fixed("absent", 0, 5), fixed("leaves", 3)):
        heard = tiny.Recorder("smashed")
        settings = {"clients": 6, "quorum": 0.1, "rounds": 1, "faults": faults}
        tiny.trained(count=48, defence=DEFENCES["message"], listeners=[heard], **settings)
        sent.append({(m.client, m.step): m.activations.tobytes() for m in heard.messages})
    whole, less, broken = sent
    assert {key[0] for key in less} == {1, 2, 3, 4}
    assert set(less.items()) < set(whole.items()) and set(broken.items()) < set(whole.items())


def test_faults_come_as_often_as_asked_and_by_their_own_seed() -> None:
    shares = dict.fromkeys(DRAWN, 0.05)
    config = tiny.config_of("two", clients=200, rounds=50, faults=FaultsConfig(**shares))
    kinds = [f.kind for r in range(50) for f in faults_of(config, r).values()]
    for kind in DRAWN:  # binomial, 10,000 turns: 4.5 standard deviations, false alarms below 1e-4
        assert abs(kinds.count(kind) - 500) < 4.5 * np.sqrt(10_000 * 0.05 * 0.95)
    other = tiny.config_of("two", clients=200, rounds=50, seed=1, faults=FaultsConfig(**shares))
    assert faults_of(config, 0) != faults_of(other, 0)
    late = FaultsConfig(mean_delay=10.0, deadline=20.0)
    config = tiny.config_of("two", clients=200, rounds=50, faults=late)
    found = sum(f.kind == "late" for r in range(50) for f in faults_of(config, r).values())
    chance = np.exp(-2)
    assert abs(found - 10_000 * chance) < 4.5 * np.sqrt(10_000 * chance * (1 - chance))


def test_who_goes_stays_away_and_comes_back() -> None:
    settings = {"clients": 40, "rounds": 30, "clients_per_round": 20, "participation": "cyclic"}
    once, long = (
        tiny.config_of("two", **settings, faults=FaultsConfig(absent=0.2, away=away))
        for away in (1, 5)
    )
    gone = [{c for c, f in faults_of(once, r).items() if f.kind == "absent"} for r in range(30)]
    for round_ in range(30):
        away = {c for c, f in faults_of(long, round_).items() if f.kind == "absent"}
        before = set().union(*gone[max(0, round_ - 4) : round_ + 1])
        assert away == before & set(participants(long, round_))
    assert any(gone[r] - set().union(*gone[r + 1 : r + 6]) for r in range(20))


def test_the_mean_is_over_those_who_came_by_their_examples() -> None:
    settings = {"clients": 4, "partition": "quantity", "quorum": 0.5, "strategy": "fedavg"}
    heard = tiny.Recorder("client_update")
    faults = FaultsConfig(clients=(FixedFault(1, "lost"), FixedFault(3, "nan")))
    done = tiny.trained(count=60, listeners=[heard], rounds=1, faults=faults, **settings)
    came = {m.client: m for m in heard.messages}
    assert set(came) == {0, 2} and done.receipts.lacking == {0: (1, 3)}
    weights = np.array([came[c].weight for c in (0, 2)])
    assert weights[0] != weights[1]
    for name, value in done.state.values.items():
        parts = np.stack([dense(came[c].tensors[name]).astype(np.float64) for c in (0, 2)])
        expected = np.tensordot(weights / weights.sum(), parts, 1)
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("one_noise")
@pytest.mark.parametrize("strategy", ["fedavg", "parallel"])
@pytest.mark.parametrize("defence", ["central", "over rounds"])
def test_a_client_that_is_lost_takes_its_clipped_update_along_and_nothing_else(
    strategy: str, defence: str
) -> None:
    """The noise is that for the planned cohort, and the divisor its size: both stay."""
    values = {}
    for kind in ("none", "lost", "nan", "absent", "foreign", "late"):
        deadline = {"mean_delay": 1.0, "deadline": 1e3} if kind == "late" else {}
        faults = FaultsConfig() if kind == "none" else fixed(kind, 2, **deadline)
        settings = {"clients": 5, "rounds": 1, "quorum": 0.5, "strategy": strategy}
        config = tiny.config_of("two", **settings, faults=faults)
        prepared = tiny.prepared_for(config, count=40)
        done = train(config, prepared, DEFENCES[defence])
        values[kind] = flat(done.state.values)
        assert (done.protection["update"].records, done.receipts.lacking) == (
            (5, {}) if kind == "none" else (4, {0: (2,)})
        )
    for kind in ("nan", "absent", "foreign", "late"):
        assert values[kind].tobytes() == values["lost"].tobytes()
    moved = (values["none"] - values["lost"]) * 5
    assert 0.5 < np.linalg.norm(moved) < 1 + 1e-4  # one clip at most, and the client is in it


@pytest.mark.usefixtures("one_noise")
def test_what_a_lost_client_takes_along_is_its_own_update_clipped() -> None:
    runs = []
    for faults in (FaultsConfig(), fixed("nan", 2)):
        heard = tiny.Recorder("client_update", "client_parts")
        settings = {"clients": 5, "rounds": 1, "quorum": 0.5, "strategy": "fedavg"}
        done = tiny.trained(
            count=40, defence=DEFENCES["central"], listeners=[heard], faults=faults, **settings
        )
        runs.append((done, heard.messages))
    (whole, messages), (less, _) = runs
    start = next(m.tensors for m in messages if "weight" not in vars(m))
    update = next(m.tensors for m in messages if "weight" in vars(m) and m.client == 2)
    own = torch.tensor(flat(update) - flat({n: start[n] for n in update}))[None]
    names = sorted(update)
    moved = flat({n: whole.state.values[n] for n in names}) - flat(
        {n: less.state.values[n] for n in names}
    )
    np.testing.assert_allclose(moved * 5, clip_rows(own, 1.0)[0].numpy(), atol=3e-6)


@pytest.mark.usefixtures("one_noise")
def test_the_count_of_an_adaptive_clip_moves_by_one_half_for_one_client() -> None:
    """A client that does not answer adds nothing; a bit of 0 in its place would count double."""
    mechanism = AdaptiveDPFedAvg(1.0, 1.0)

    def clip(unclipped: int, answered: int) -> float:
        return float(np.log(mechanism.after(unclipped, answered, 10, draws()).clip_norm))

    step = mechanism.clip_learning_rate * 0.5 / 10
    assert clip(4, 8) - clip(5, 9) == pytest.approx(step)  # whose bit was 1
    assert clip(4, 8) - clip(4, 9) == pytest.approx(-step)  # whose bit was 0
    clips = []
    for faults in (FaultsConfig(), fixed("lost", 2)):  # nobody's update is as long as 100
        config = tiny.config_of("two", clients=5, rounds=1, quorum=0.5, faults=faults)
        defence = Defence("a", update=AdaptiveDPFedAvg(100.0, 1.0))
        prepared = tiny.prepared_for(config, count=40)
        done = train(config, prepared, defence, on_round=lambda _: None)
        clips.append(np.log(done.state.plain["server"]["clip_norm"]))
    assert clips[1] - clips[0] == pytest.approx(mechanism.clip_learning_rate * 0.5 / 5)


def test_a_round_below_its_quorum_is_skipped_whole_or_ends_the_training() -> None:
    gone = fixed("nan", 0, 1, 2)
    for strategy in ("fedavg", "parallel", "sequential"):
        settings = {"clients": 4, "strategy": strategy, "quorum": 0.5, "faults": gone}
        config, states = tiny.config_of("two", below_quorum="skip", **settings), list[State]()
        prepared = tiny.prepared_for(config, count=40)
        done = train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
        assert done.receipts.skipped == [0, 1, 2]
        start = {n: p.detach().numpy() for n, p in prepared.split.whole.named_parameters()}
        assert all(np.array_equal(done.state.values[n], start[n]) for n in start)
        told = r"^round 1: expected updates of 2 of 4 clients \(quorum = 0.5\), got 1: 3 refused"
        with pytest.raises(InputError, match=told):
            tiny.trained(count=40, **settings)


def test_which_trainings_stop_is_known_before_they_begin() -> None:
    """Against trainings that skip such rounds instead; at the quorum that is named none stops."""
    stopped = 0
    for seed in range(6):
        for name, kinds in (("none", {"lost": 0.3, "nan": 0.2}), ("central", {"nan": 0.9}),
                            ("central", {"absent": 0.3, "twice": 0.4, "mean_delay": 20.0,
                                         "deadline": 20.0})):  # fmt: skip
            settings = {"clients": 5, "rounds": 2, "strategy": "fedavg", "quorum": 0.6}
            settings |= {"seed": seed, "faults": FaultsConfig(**kinds)}
            config = tiny.config_of("two", below_quorum="skip", **settings)
            skipped = train(
                config, tiny.prepared_for(config, count=40), DEFENCES[name], on_round=lambda _: None
            ).receipts.skipped
            refuse_below_quorum([Planned("a", config, name == "central")])
            config = tiny.config_of("two", **settings)
            planned = Planned("seed 3", config, name == "central")
            if not skipped:
                refuse_below_quorum([planned])
                continue
            stopped += 1
            with pytest.raises(InputError, match="of seed 3: 1 of 1 trainings would stop") as error:
                refuse_below_quorum([planned])
            told = re.search(r"set training.quorum = ([0-9.]+),", str(error.value))
            assert "below_quorum" in str(error.value)
            if told is not None:
                own = tiny.config_of("two", **settings | {"quorum": float(told[1])})
                refuse_below_quorum([planned._replace(config=own)])
    assert 4 <= stopped <= 14


def test_every_update_is_needed_where_nothing_is_said() -> None:
    with pytest.raises(InputError, match=r"^round 1: expected updates of 4 of 4 .* 1 did not come"):
        tiny.trained(count=40, clients=4, faults=fixed("absent", 1))
    with pytest.raises(InputError, match=r"^round 1, client 1, message 'client update': "):
        tiny.trained(count=40, clients=4, faults=fixed("misshaped", 1))


def test_a_refusal_by_content_decides_nothing_about_a_noised_round() -> None:
    """Whether a round stands would otherwise tell, without noise, that a client sent NaN."""
    for kind in ("nan", "foreign", "stale"):
        settings = {"count": 40, "clients": 4, "faults": fixed(kind, *range(4))}
        done = tiny.trained(defence=DEFENCES["central"], **settings)
        assert done.receipts.skipped == [] and len(done.receipts.refused) == 12
        assert done.protection["update"].records == 0
    with pytest.raises(InputError, match="quorum = 1"):  # who answers is public
        tiny.trained(count=40, clients=4, faults=fixed("lost", 2), defence=DEFENCES["central"])


def test_a_turn_that_is_not_taken_leaves_no_trace_in_one_body() -> None:
    """`sequential`: as though the client had not been there, for whoever comes after."""
    runs = []
    for kind in ("absent", "leaves", "nan"):
        settings = {"clients": 4, "strategy": "sequential", "quorum": 0.5, "rounds": 1}
        runs.append(tiny.trained(count=40, faults=fixed(kind, 1), **settings))
    one, *others = (tiny.as_bytes(run.state)["values"] for run in runs)
    assert all(other == one for other in others)


def test_who_comes_back_takes_part_in_its_own_rounds_alone() -> None:
    """Limits on how often, and how soon again, a client takes part hold through faults."""
    settings = {"clients": 12, "clients_per_round": 4, "participation": "cyclic", "rounds": 9}
    faults = FaultsConfig(absent=0.2, leaves=0.2, lost=0.1, away=3)
    config = tiny.config_of("two", strategy="fedavg", quorum=0.01, faults=faults, **settings)
    heard = tiny.Recorder("client_update", "client_parts")
    defence = Defence("f", update=DPFTRL(1.0, 0.1, 3, 9))
    train(config, tiny.prepared_for(config, count=60), defence, listeners=[heard])
    turns = {(m.client, m.round) for m in heard.messages}
    planned = {(c, r) for r in range(9) for c in participants(config, r)}
    assert turns < planned


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"absent": 0.6, "nan": 0.6}, r"shares that come to 1 at most, got their sum=1.2"),
        ({"mean_delay": 1.0}, "expected mean_delay and deadline together"),
        ({"deadline": 1.0}, "expected mean_delay and deadline together"),
        ({"clients": (FixedFault(1, "nan"), FixedFault(1, "lost"))}, "one fault for each client"),
        ({"clients": (FixedFault(1, "late"),)}, 'a deadline beside kind = "late"'),
        ({"away": 0}, "expected away >= 1"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        FaultsConfig(**settings)


def test_faults_need_the_clients_that_they_name() -> None:
    with pytest.raises(InputError, match=r"faults: expected client < clients \(4\), got client=4"):
        tiny.config_of("two", clients=4, faults=fixed("nan", 4))
    with pytest.raises(InputError, match="faults: expected a strategy with clients"):
        tiny.config_of("two", strategy="centralised", faults=fixed("nan", 0))
