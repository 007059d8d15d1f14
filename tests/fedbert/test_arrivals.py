"""Messages that are not as the protocol has them end in a line: client, message, round."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedbert.arrivals import infinite, refuse_diverged
from fedbert.errors import InputError
from fedbert.faults.effects import contributed_steps
from fedbert.fleet import InProcess
from fedbert.messages import ClientUpdate, RowValues, SmashedData
from fedbert.receiving import DIVERGED, Receipts, Refusal
from fedbert.trainer import State, train
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.local_dp_fedavg import LocalDPFedAvg
from tests.fedbert import tiny


class Tampered(InProcess):
    """A fleet in which one answer of client 1, in the second round, is changed on its way."""

    def __init__(self, method: str, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.method, self.change, self.seen = method, change, 0

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        answer = super().call(name, method, *arguments)
        if (name, method) == ("client-1", self.method) and answer.round == 1:
            self.seen += 1
            return self.change(answer)
        return answer


def with_value(field: str, value: float) -> Callable[[Any], Any]:
    """Return a change of one number of a message."""

    def change(message: Any) -> Any:
        values = np.array(getattr(message, field))
        values.flat[values.size // 2] = value
        return replace(message, **{field: values})

    return change


def less(*fields: str) -> Callable[[Any], Any]:
    """Return the loss of the last example."""
    return lambda m: replace(m, **{field: getattr(m, field)[:-1] for field in fields})


def in_tensors(alter: Callable[[np.ndarray], np.ndarray]) -> Callable[[ClientUpdate], Any]:
    """Return a change of one tensor of an update, by rows if it comes so."""

    def change(update: ClientUpdate) -> ClientUpdate:
        name = next(iter(update.tensors))
        value = update.tensors[name]
        if isinstance(value, RowValues):
            made: Any = replace(value, values=alter(np.array(value.values)))
        else:
            made = alter(np.array(value))
        return replace(update, tensors=update.tensors | {name: made})

    return change


def spoilt(values: np.ndarray) -> np.ndarray:
    values.flat[-1] = np.nan
    return values


def without_one(update: ClientUpdate) -> ClientUpdate:
    name = next(iter(update.tensors))
    return replace(update, tensors={n: v for n, v in update.tensors.items() if n != name})


WRONG: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "one NaN in A": (
        "forward", with_value("activations", np.nan),
        "message 'smashed': expected finite values, got some",
    ),
    "one infinity in A": (
        "forward", with_value("activations", -np.inf), "got some that are NaN or infinite",
    ),
    "one NaN in G_Z": (
        "head", with_value("gradient", np.nan), "message 'hidden gradient': expected finite values",
    ),
    "an example is missing in A": (
        "forward", less("activations"), r"message 'smashed': expected shape \[4, .*, got \[3, ",
    ),
    "an example is missing in A and its mask": (
        "forward", less("activations", "attention_mask"), "at 'head': expected Z of the shape of",
    ),
    "an example is missing in G_Z": (
        "head", less("gradient"), r"message 'hidden gradient': expected shape \[4, .*, got \[3, ",
    ),
    "another width": (
        "forward", lambda m: replace(m, activations=m.activations[:, :, :-1]),
        "message 'smashed': expected shape",
    ),
    "whole numbers": (
        "forward", lambda m: replace(m, activations=m.activations.astype(np.int64)),
        "expected floating-point values, got int64",
    ),
    "another client's": ("forward", lambda m: replace(m, client=0), "expected one of client 1"),
    "another round's": ("head", lambda m: replace(m, round=0), "one of client 1 in round 2"),
    "one NaN in an update": ("update", in_tensors(spoilt), "'client update': .*: expected finite"),
    "an update of another shape": (
        "update", in_tensors(lambda v: v[:-1]), "message 'client update': .*: expected shape",
    ),
    "an update without a parameter": (
        "update", without_one, r"message 'client update': expected \d+ parameters, got others: ",
    ),
    "an update of fewer examples": (
        "update", lambda m: replace(m, weight=m.weight - 1),
        "expected the weight that it has, got another",
    ),
}  # fmt: skip


def run(strategy: str, fleet: Tampered, defence: Defence = tiny.NO_DEFENCE) -> None:
    config = tiny.config_of("two", clients=3, strategy=strategy, batch_size=4)
    train(config, tiny.prepared_for(config, "two"), defence, fleet=fleet)


def refused(method: str, change: Callable[[Any], Any], words: str, **settings: Any) -> None:
    fleet = Tampered(method, change)
    with pytest.raises(InputError, match=words) as error:
        run(settings.pop("strategy", "parallel"), fleet, **settings)
    told = str(error.value)
    assert fleet.seen == 1 and "\n" not in told
    assert told.startswith("round 2, client 1, ") or "client 1 in round 2" in told


@pytest.mark.parametrize("name", WRONG)
def test_one_broken_message_is_told_with_client_message_and_round(name: str) -> None:
    refused(*WRONG[name])


@pytest.mark.parametrize("strategy", ["fedavg", "sequential"])
def test_a_broken_update_is_told_under_every_strategy(strategy: str) -> None:
    refused(*WRONG["one NaN in an update"], strategy=strategy)


NOISED = {
    "A": (Defence("d", smashed=Gaussian(1.0, 0.1)), "one NaN in A"),
    "G_Z": (Defence("d", hidden_gradient=Gaussian(1.0, 0.1, unit="sequence")), "one NaN in G_Z"),
    "update": (Defence("d", smashed=Gaussian(1.0, 0.1)), "one NaN in an update"),
}


@pytest.mark.parametrize("place", NOISED)
def test_noise_on_a_message_hides_no_broken_one(place: str) -> None:
    defence, name = NOISED[place]
    refused(*WRONG[name], defence=defence)


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.5])
def test_a_clip_factor_that_is_none_is_told(value: float) -> None:
    defence = Defence("d", training=DPSGD(1.0, 1.0, sample_rate=0.5))
    refused("factors", with_value("factors", value), "message 'clip factors'", defence=defence)


class Broken(InProcess):
    """A fleet in which all values of client 2 are NaN from the start of its second round on."""

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        answer = super().call(name, method, *arguments)
        if (name, method) == ("client-2", "start") and arguments[0].round == 1:
            for parameter in self._parties[name].parts.parameters():
                parameter.data.fill_(np.nan)
        return answer


@pytest.mark.parametrize("state", ["keep", "reset"])
def test_who_diverges_under_noise_of_its_own_sends_noise_and_is_noted(state: str) -> None:
    """Whether its values were numbers decides nothing: not that it is summed, nor a quorum."""
    settings = {"clients": 3, "strategy": "fedavg", "optimizer_state": state}
    config, heard = tiny.config_of("two", **settings), tiny.Recorder("client_update")
    defence = Defence("d", update=LocalDPFedAvg(1.0, 0.1))
    own = tiny.prepared_for(config, "two")
    done = train(config, own, defence, fleet=Broken(), listeners=[heard])
    assert done.receipts == Receipts(refused=[Refusal(2, 2, DIVERGED)])  # none is lacking
    assert len(heard.messages) == 9 and done.protection["update"].records == 9
    assert np.isfinite(done.losses).all() and len(set(done.losses)) == 3
    assert contributed_steps(config, done.receipts) == {0: 6, 1: 6, 2: 6}  # its third round is in
    last = Receipts(refused=[Refusal(2, 3, DIVERGED)])
    assert contributed_steps(config, last) == {0: 6, 1: 6, 2: 4}


def test_what_a_mechanism_refuses_at_a_client_is_told_with_client_and_round() -> None:
    """The client's own values are NaN: its mechanism is the first to see them."""
    config = tiny.config_of("two", clients=3, strategy="parallel")
    with pytest.raises(InputError, match=r"^round 2, client 2, at '\w+': ") as error:
        own, defence = tiny.prepared_for(config, "two"), Defence("d", smashed=Gaussian(1.0, 0.1))
        train(config, own, defence, fleet=Broken())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("strategy", ["centralised", "fedavg", "parallel", "sequential"])
def test_a_last_step_that_diverges_makes_no_model(strategy: str) -> None:
    """The losses are finite, the weights after the last step are not, and nothing crosses."""
    config = tiny.config_of("two", clients=2, rounds=2, strategy=strategy)
    states: list[State] = []

    class Last(InProcess):
        def call(self, name: str, method: str, *arguments: Any) -> Any:
            answer = super().call(name, method, *arguments)
            if method != "values" or len(states) != 1:
                return answer
            first = next(iter(answer))
            return {**answer, first: np.full_like(answer[first], np.inf)}

    with pytest.raises(InputError, match=r"^round 2: the training diverged: ") as error:
        own = tiny.prepared_for(config)
        train(config, own, tiny.NO_DEFENCE, on_round=states.append, fleet=Last())
    assert [state.round for state in states] == [1] and "\n" not in str(error.value)


def test_finite_numbers_are_found_to_be_whatever_their_size() -> None:
    huge = np.full((3, 4), 3e38, dtype=np.float32)
    assert infinite(huge) is None and infinite(np.zeros((0, 2))) is None
    assert infinite(huge.T) is None and infinite(np.full(2, 1e308)) is None
    told = {infinite(np.full_like(huge, np.nan)), infinite(np.array([np.inf, -1.0]))}
    assert told == {"expected finite values, got some that are NaN or infinite"}  # not how many
    refuse_diverged(1, (1.0,), {"a": huge, "n": np.arange(3)})
    with pytest.raises(InputError, match=r"^round 4: .*: expected finite losses, got some that"):
        refuse_diverged(4, (1.0, np.inf), {})


def test_a_message_may_be_empty() -> None:
    """As a batch of Poisson sampling may be."""
    from fedbert.arrivals import Arrivals

    none = SmashedData(0, 0, 0, np.zeros((0, 5, 8), dtype=np.float32), np.zeros((0, 5)))
    Arrivals(8, {})(none)
    with pytest.raises(InputError, match=re.escape("expected shape [0, 5, 9], got [0, 5, 8]")):
        Arrivals(9, {})(none)
