"""A defence checks its places, and says where it cannot act."""

import pytest

from privacy.defence import Defence, refuse, refuse_update
from privacy.dp_fedavg import DPFedAvg
from privacy.facts import STRATEGIES, TrainingFacts
from privacy.gaussian import Gaussian
from privacy.mechanism import ClipOnly, Identity

SMASHED = [ClipOnly(1.0), Gaussian(1.0, 1.0), Gaussian(1.0, 1.0, unit="sequence")]
UPDATE = [ClipOnly(1.0, unit="client"), DPFedAvg(1.0, 1.0)]


def test_the_default_is_undefended():
    defence = Defence("none")
    assert defence.smashed == Identity()
    assert defence.update == Identity(unit="client")
    assert [refuse(defence, TrainingFacts(strategy)) for strategy in STRATEGIES] == [None] * 5


@pytest.mark.parametrize("mechanism", SMASHED, ids=str)
def test_a_mechanism_on_activations_needs_activations(mechanism):
    reasons = {s: refuse(Defence("noisy", smashed=mechanism), TrainingFacts(s)) for s in STRATEGIES}
    assert reasons["parallel"] is None
    assert reasons["sequential"] is None
    for strategy in ("centralised", "fedavg"):
        assert reasons[strategy] == (
            f"noisy acts on activations sent to the server, and {strategy} sends none"
        )


@pytest.mark.parametrize("mechanism", UPDATE, ids=str)
def test_a_mechanism_on_updates_needs_updates(mechanism):
    defence = Defence("dp-fedavg", update=mechanism)
    reasons = {s: refuse(defence, TrainingFacts(s)) for s in STRATEGIES}
    assert reasons == {s: refuse_update(defence, s) for s in STRATEGIES}
    assert reasons["parallel"] is None
    assert reasons["fedavg"] is None
    assert "centralised has no clients" in str(reasons["centralised"])
    assert "no client has an update of it to clip" in str(reasons["sequential"])


def test_an_unknown_strategy_is_an_error_not_a_yes():
    for refused in (
        lambda: refuse(Defence("none"), TrainingFacts("fedsgd")),
        lambda: refuse_update(Defence("none"), "fedsgd"),
    ):
        with pytest.raises(ValueError, match="expected strategy to be one of centralised, fedavg"):
            refused()


@pytest.mark.parametrize("unit", ["client", "record"])
def test_smashed_data_come_in_tokens_or_sequences(unit):
    with pytest.raises(ValueError, match=f"token, sequence, got smashed.unit='{unit}'"):
        Defence("x", smashed=Identity(unit=unit))


@pytest.mark.parametrize("unit", ["token", "sequence", "record"])
def test_updates_come_in_clients(unit):
    with pytest.raises(ValueError, match=f"client, got update.unit='{unit}'"):
        Defence("x", update=Gaussian(1.0, 1.0, unit=unit))


def test_a_cost_must_speak_of_the_same_unit():
    class Confused(Gaussian):
        def cost(self):
            return DPFedAvg(1.0, 1.0).cost()

    with pytest.raises(ValueError, match=r"to be one of token, got cost\(\)\.unit='client'"):
        Defence("x", smashed=Confused(1.0, 1.0))


def test_a_defence_has_a_name():
    with pytest.raises(ValueError, match="expected a name"):
        Defence("")
