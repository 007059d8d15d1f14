"""What an attack lacks is a value: every attack names fields, and no decision reads the words."""

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attacks
import evaluation
from attacks.attack import Knowledge, Lacks
from attacks.backward.label_from_gradient import HeadKnowledge
from attacks.membership.message_matching import lacking
from attacks.pooled.knowledge import PooledKnowledge
from attacks.signals import Answers, Signals
from attacks.updates.embedding_rows import TableKnowledge
from attacks.updates.whole_update import UpdateKnowledge
from evaluation.grid.build import resolve
from evaluation.grid.catalogue import BACKWARD, INVERSION, MEMBERSHIP, POOLED, UPDATES
from tests.attacks import update_worlds, worlds
from tests.fedbert import tiny

NOTHING: dict[str, Any] = {
    **{name: Knowledge() for name in INVERSION},
    **{name: HeadKnowledge() for name in BACKWARD},
    **{name: UpdateKnowledge() for name in UPDATES},
    **{name: TableKnowledge() for name in ("embedding_rows", "embedding_rows_peer")},
    **{name: PooledKnowledge() for name in POOLED},
    **{name: Signals(Answers(np.ones(4))) for name in MEMBERSHIP},
}
CONTENT = {"loss_threshold"}  # with what is always there, as a baseline may be
FAMILIES = INVERSION | BACKWARD | UPDATES | POOLED | MEMBERSHIP


@pytest.mark.parametrize("name", FAMILIES)
def test_an_attack_that_is_given_nothing_names_fields_of_what_it_was_given(name: str) -> None:
    given = NOTHING[name]
    lacks = resolve(name, FAMILIES, "attacks")().missing(given)
    if lacks is None:
        assert name in CONTENT or FAMILIES[name].baseline, (
            f"law: {name} says what it lacks before it is run"
        )
        return
    named = {field.name for field in fields(given)}
    if isinstance(given, Signals):
        named |= {field.name for field in fields(Answers)}
    assert isinstance(lacks, Lacks) and lacks.words.strip()
    assert lacks.fields and set(lacks.fields) <= named, f"law: {name} names fields it was given"


LEARNED = {"learned_decoder", "noise_unaware", "optimisation"}  # through `protect`


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in MEMBERSHIP])
def test_no_likelihood_is_made_up_for_unknown_noise(name: str) -> None:
    """Nor for noise of a kind that it would have to be told of, but Gaussian."""
    kinds: dict[str, Any] = {}
    for kind in ("gaussian", "unknown"):
        given = replace(NOTHING[name], noise=kind, noise_std=1.0)
        lacks = resolve(name, FAMILIES, "attacks")().missing(given)
        kinds[kind] = () if lacks is None else lacks.fields
    if name in ("row_order", "span_check", "gradient_matching"):
        given = replace(update_worlds.one_round().knowledge, noise="unknown")
        lacks = resolve(name, FAMILIES, "attacks")().missing(given)
        assert lacks is not None and "noise" in lacks.fields, "law: unknown noise is no noise"
    elif name in BACKWARD:
        kind = "mlm-tied" if name == "masked_tokens" else "two"
        head = tiny.prepared_for(tiny.config_of(kind, clients=1), kind).split.head
        lacks = resolve(name, FAMILIES, "attacks")().missing(HeadKnowledge(head, noise="unknown"))
        assert lacks is not None and lacks.fields == ("noise",), "law: unknown is not Gaussian"
    else:
        assert "noise" not in kinds["gaussian"]
        told = "noise" in kinds["unknown"]
        learned = name in LEARNED or FAMILIES[name].baseline
        assert told is not learned, f"law: {name} makes up no likelihood for unknown noise"


def test_matching_needs_to_know_the_noise() -> None:
    known = Knowledge(embedding=worlds.model().embedding_tables(), noise="unknown", noise_std=1.0)
    lacks = lacking(known)
    assert lacks is not None and lacks.fields == ("noise",)
    assert lacking(replace(known, noise="gaussian")) is None


def test_fields_and_words_come_in_their_order_and_once() -> None:
    lacks = Lacks.of([("noise", "a"), ("basis", "b"), ("noise", "c")])
    assert lacks == Lacks(("noise", "basis"), "needs a; b; c")
    assert Lacks.of([]) is None


def reads_words(code: str) -> bool:
    """Whether a string is looked for in the words of a reason."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            text = isinstance(node.left, ast.JoinedStr) or (
                isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
            )
            if text and _is_reason(node.comparators[0]):
                return True
        searches = isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith")
        if searches and _is_reason(node.value):
            return True
    return False


def _is_reason(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in ("words", "why", "reason", "lacking", "lacks", "note", "not_measured")


def test_no_decision_reads_words() -> None:
    assert reads_words('x = "`bottom`" in lacking') and reads_words('f"`{n}`" not in lacks.words')
    assert reads_words('why.startswith("needs")') and not reads_words('"bottom" in lacks.fields')
    found = [
        str(path)
        for package in (attacks, evaluation)
        for path in Path(next(iter(package.__path__))).rglob("*.py")
        if reads_words(path.read_text(encoding="utf-8"))
    ]
    assert not found, f"law: decisions read `Lacks.fields`, not words, got {found}"
