"""Schedules: cohorts in one public order, and what the ledger counts of who takes part when."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbert import schedule
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.known_facts import facts_before
from fedbert.schedule import participants, participations, planned_steps
from fedbert.settings import from_mapping
from fedbert.training_settings import TrainingConfig
from privacy.randomness import source
from privacy.randomness.draws import Draws
from privacy.randomness.keys import Label
from tests.fedbert import tiny


def config_of(clients: int, count: int | None, rounds: int, how: str = "cyclic") -> Config:
    return tiny.config_of(
        clients=clients, strategy="fedavg", clients_per_round=count, rounds=rounds,
        participation=how,
    )  # fmt: skip


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 20))
def test_in_a_cycle_nobody_comes_again_before_all_have_been(
    n: int, count: int, rounds: int
) -> None:
    count = min(n, count)
    config = config_of(n, count, rounds)
    who = [participants(config, number) for number in range(rounds)]
    assert all(len(set(each)) == count and list(each) == sorted(each) for each in who)
    turns = Counter(client for each in who for client in each)
    assert max(turns.values()) - min(turns[c] for c in range(n)) <= 1
    most, apart = participations(config)
    assert most == max(turns.values()) == -(-rounds * count // n)
    if most > 1:
        assert apart is not None and n // count <= apart <= -(-n // count)
    else:
        assert apart is None


@settings(max_examples=40)
@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.sampled_from(["random", "cyclic"]),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), max_size=3),
)  # fmt: skip
def test_what_is_counted_is_what_a_loop_over_clients_counts(
    n: int, count: int, rounds: int, how: str, launches: list[tuple[int, int]]
) -> None:
    config = config_of(n, min(n, count), rounds, how)
    spans = [range(min(a, rounds), min(b, rounds)) for a, b in launches] or None
    times, gaps = [], []
    for client in range(n):
        there = [r for r in range(rounds) if client in participants(config, r)]
        done = [r for span in (spans or [range(rounds)]) for r in span]
        times.append(sum(done.count(r) for r in there))
        gaps += [later - earlier for earlier, later in pairwise(there)]
    assert participations(config, spans) == (max(times), min(gaps, default=None))
    steps = {client: r for client, r in enumerate(times) if r} if spans is None else None
    assert steps is None or planned_steps(config) == {
        client: count * config.training.local_steps for client, count in steps.items()
    }
    facts = facts_before(config)
    assert (facts.participations, facts.separation) == participations(config)


@pytest.mark.parametrize(("how", "draws"), [("random", 30), ("cyclic", 1)])
def test_a_schedule_is_drawn_once_however_often_it_is_counted(
    monkeypatch: pytest.MonkeyPatch, how: str, draws: int
) -> None:
    """Each save of a training counts; at 100,000 clients drawing takes seconds."""
    asked = []

    def public(*labels: Label) -> Draws:
        asked.append(labels)
        return source.public(*labels)

    monkeypatch.setattr(schedule, "public", public)
    config = replace(config_of(50, 5, 30, how), seed=8_317)  # of no other test
    for done in (0, 1, 30):
        facts_before(config)
        planned_steps(config, done)
        participations(config, [range(done)])
    assert len(asked) == draws


def test_the_order_is_public_and_another_for_another_seed() -> None:
    config = config_of(40, 10, 8)
    first, again = (
        [participants(config, r) for r in range(4)],
        [participants(config, r) for r in range(4, 8)],
    )
    assert first == again, "group after group, round after round"
    assert sorted(sum(first, ())) == list(range(40)) and first[0] != tuple(range(10))
    assert first == [participants(replace(config, noise="secret"), r) for r in range(4)]
    assert first != [participants(replace(config, seed=1), r) for r in range(4)]
    assert set(planned_steps(config).values()) == {2 * config.training.local_steps}


def test_everybody_takes_part_in_either_order_where_nobody_is_chosen() -> None:
    for how in ("random", "cyclic"):
        for count in (None, 4):
            config = config_of(4, count, 3, how)
            assert participants(config, 1) == (0, 1, 2, 3)
            assert participations(config) == (3, 1)
    assert participations(config_of(4, None, 1)) == (1, None)


def test_a_setting_that_nobody_made_stands_in_no_json() -> None:
    """Identities of what was trained before stay what they are."""
    plain = Config().to_json()
    assert "participation" not in plain["training"]
    cyclic = Config(training=TrainingConfig(participation="cyclic"))
    assert cyclic.to_json()["training"]["participation"] == "cyclic"
    for config in (Config(), cyclic):
        assert from_mapping(Config, config.to_json(), "here") == config
    with pytest.raises(InputError, match="participation"):
        TrainingConfig(participation="sometimes")  # type: ignore[arg-type]
