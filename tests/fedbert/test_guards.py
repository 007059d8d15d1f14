"""Mechanisms on every direction; no two levels share noise; what was sent is counted."""

from collections import Counter

import numpy as np
import pytest

from fedbert.messages import HiddenGradient, SmashedData
from fedbert.schedule import planned_releases, planned_steps
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.gaussian import Gaussian
from privacy.mechanism import ClipOnly
from tests.fedbert import tiny

FIELDS = {"hidden": "hidden", "hidden_gradient": "gradient", "smashed_gradient": "gradient"}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_a_mechanism_acts_on_each_direction(kind: str, strategy: str) -> None:
    config = tiny.config_of("two", clients=2, strategy=strategy)
    heard = tiny.Recorder(kind)
    bound = 1e-3
    defence = Defence("d", **{kind: ClipOnly(bound, unit="sequence")})
    done = train(config, tiny.prepared_for(config), defence, listeners=[heard])
    norms = [
        np.linalg.norm(getattr(m, FIELDS[kind]).reshape(len(m.__dict__[FIELDS[kind]]), -1), axis=1)
        for m in heard.messages
    ]
    assert max(map(np.max, norms)) <= bound * (1 + 1e-6)
    assert done.protection[kind].records == sum(map(len, norms))
    free = train(config, tiny.prepared_for(config), tiny.NO_DEFENCE)
    assert tiny.as_bytes(free.state) != tiny.as_bytes(done.state)


def test_noise_on_gradients_covers_every_position() -> None:
    config = tiny.config_of("two", clients=2)
    defence = Defence("d", hidden_gradient=Gaussian(1.0, 0.5, unit="sequence"))
    heard = tiny.Recorder("hidden_gradient")
    train(config, tiny.prepared_for(config), defence, listeners=[heard])
    for message in heard.messages:
        assert isinstance(message, HiddenGradient) and (message.gradient != 0).all()


def noise_of(noise_multiplier: float) -> np.ndarray:
    """Return the first message's noise, in units of its standard deviation."""
    config = tiny.config_of("two", clients=1)
    found = []
    for mechanism in (ClipOnly(1.0), Gaussian(1.0, noise_multiplier)):
        heard = tiny.Recorder("smashed")
        defence = Defence("d", smashed=mechanism)
        train(config, tiny.prepared_for(config), defence, listeners=[heard])
        first = heard.messages[0]
        assert isinstance(first, SmashedData)
        found.append(first.activations)
    return (found[1] - found[0]).ravel() / (2 * noise_multiplier)


def test_two_levels_do_not_share_a_noise_vector() -> None:
    # From two messages with one noise vector at two scales the noise would cancel.
    one, other = noise_of(0.5), noise_of(0.25)
    n = len(one)
    assert n > 500  # correlation within 4.5 standard errors: false alarm 7e-6
    assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / n**0.5


@pytest.mark.parametrize(
    "run",
    [
        {"strategy": "parallel", "clients": 3, "rounds": 4, "local_steps": 3},
        {"strategy": "sequential", "clients": 2, "rounds": 3, "local_steps": 5},
        {"strategy": "parallel", "clients": 3, "clients_per_round": 2, "rounds": 5},
    ],
    ids=str,
)
def test_releases_are_what_was_sent(run: dict[str, object]) -> None:
    config = tiny.config_of("two", **run)
    prepared = tiny.prepared_for(config)
    heard = tiny.Recorder("smashed")
    done = train(config, prepared, tiny.NO_DEFENCE, listeners=[heard])
    sent: Counter[tuple[int, int]] = Counter()
    for m in heard.messages:
        assert isinstance(m, SmashedData)
        for example in prepared.clients[m.client].chosen(m.step):
            sent[m.client, int(example)] += 1
    assert max(sent.values()) == done.releases == planned_releases(config, prepared)
    steps = Counter(m.client for m in heard.messages)
    assert steps == planned_steps(config)
