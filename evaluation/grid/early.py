"""Early check: what can be known to be wrong with a grid or a training before anything is loaded.

Names and parameters that no catalogue has, places at which nothing acts, data, models and
tokenizers that are not there, cuts below the last layer. The words are those of the later check,
which finds the same and more: values are for classes to judge (torch, and still no data).
"""

from collections.abc import Iterable

from evaluation.grid.asked import asked_at, check_alone
from evaluation.grid.catalogue import FAMILIES, MECHANISMS
from evaluation.grid.foreign import is_foreign
from evaluation.grid.names import refuse_unknown
from evaluation.grid.signature import check_attack, check_mechanism, signatures
from evaluation.grid.spec import PLACES, AttackSettings, Cell, DefenceSpec
from fedbert.config import Config
from fedbert.data.places import refuse_missing, refuse_task
from fedbert.errors import within
from fedbert.model_places import layers_of, refuse_deep_cut, refuse_no_model, refuse_no_tokenizer
from fedbert.setting_types import ONE_MESSAGE, SIZES
from fedbert.tasks import OWN


def check_cells(cells: Iterable[Cell], where: str) -> None:
    """Refuse cells that could not run.

    Raises:
        InputError: for the first thing that is wrong, with the grid's file.
    """
    seen: set[object] = set()
    every = list(cells)
    with within(where):
        for attacks in dict.fromkeys(cell.attacks for cell in every):
            _check_attacks(attacks)
    for cell in every:
        inputs = _inputs(cell.config)
        with within(": ".join([where, *(f"at {key} = {value}" for key, value in cell.swept)])):
            if inputs not in seen:
                check_inputs(cell.config)
            one = cell.config.training.strategy == ONE_MESSAGE
            if (cell.defence, one) not in seen:
                check_defence(cell.defence, one)
        seen |= {inputs, (cell.defence, one)}


def check_training(config: Config, defence: DefenceSpec) -> None:
    """Refuse a training that could not begin."""
    check_inputs(config)
    check_defence(defence, config.training.strategy == ONE_MESSAGE)


def check_defence(defence: DefenceSpec, one: bool = False) -> None:
    """Refuse a mechanism that no catalogue has, cannot act where it is put, or is asked wrongly.

    one: in a training by one message.
    """
    for place in sorted(PLACES, key="labels".__ne__):  # in the order in which they are made
        spec = getattr(defence, place)
        if spec is None:
            continue
        where = f"defence {defence.name!r}: {place}"
        asked = asked_at(defence, place, spec, one, where)
        refuse_unknown(spec, MECHANISMS, where)
        if is_foreign(spec):
            continue
        signature = signatures()["mechanisms"][spec.name]
        check_alone(signature.place, place, spec.name, where)
        check_mechanism(signature, asked.params, asked.facts, where, asked.also)


def check_inputs(config: Config) -> None:
    """Refuse data and models that can be seen not to be there, or not to fit."""
    data, model = config.data, config.model
    with within("data"):
        refuse_missing(data.source, own=data.task == OWN)
        if data.source == "embedded":
            refuse_task(data.task)
    with within("model"):
        refuse_no_tokenizer(model.tokenizer)
        if model.source not in SIZES:
            refuse_no_model(model.source)
            layers = layers_of(model.source)
            if layers is not None:
                refuse_deep_cut(model.cut_layer, layers)
    if config.message.public is not None:
        refuse_missing(config.message.public)


def _inputs(config: Config) -> object:
    return config.data.task, config.data.source, config.model, config.message.public


def _check_attacks(attacks: AttackSettings) -> None:
    for family, catalogue in FAMILIES.items():
        for spec in getattr(attacks, family):
            refuse_unknown(spec, catalogue, "attacks")
            if not is_foreign(spec):
                params = dict(spec.params)
                check_attack(signatures()[family][spec.name], params, f"attacks: {spec.name}")
