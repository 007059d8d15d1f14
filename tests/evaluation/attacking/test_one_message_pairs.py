"""One message of a pair: a grid through the command, and attacks on comparisons of two texts."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks.pooled.bag_of_words import BagOfWords
from attacks.pooled.knowledge import BORDER, PooledKnowledge
from evaluation.cli.main import main
from evaluation.grid.parse import grid_from
from fedbert.errors import InputError

GRID = """
tasks = ["mrpc", "sst2"]
strategies = ["one_message"]
[model]
source = "tiny"
tokenizer = "generated"
cut_layer = 1
[data]
source = "generated"
pool_size = 180
evaluation = 40
max_length = 40
clients = 2
hold_out = 0.25
[message]
public = "generated"
public_size = 100
directions = 8
pairs = "apart"
[attacks]
membership = ["message_matching"]
pooled = [{ attack = "bag_of_words", splices = 20 }]
[[defences]]
name = "none"
[[defences]]
name = "gaussian"
smashed = { mechanism = "gaussian" }
level = { "smashed.target_epsilon" = [0.5] }
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The records of pairs, without noise and with much, as the command writes them."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "grid.toml").write_text(GRID.replace(', "sst2"', ""))
    with pytest.MonkeyPatch.context() as patch:
        out = str(folder / "run")
        asked = ["fedbert-eval", "privacy-utility", str(folder / "grid.toml"), "--out", out]
        patch.setattr("sys.argv", asked)
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code in (None, 0)
    lines = (folder / "run" / "records.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["status"] for each in found] == ["done"] * 2, found
    return found


def leak(record: dict[str, Any], attack: str, metric: str) -> dict[str, Any]:
    (found,) = [
        each
        for each in record["leakage"]
        if (each["attack"], each.get("metric")) == (attack, metric) and "estimate" in each
    ]
    return found


def test_pairs_are_compared_and_have_the_claim_in_all_views(records: list[dict[str, Any]]) -> None:
    plain, noised = records
    message = plain["spec"]["message"]
    assert message["pairs"] == "apart" and message["directions"] == 8
    assert {each["kind"] for each in plain["guarantees"]} == {"no guarantee"}
    assert [round(each["epsilon"], 6) for each in noised["guarantees"]] == [0.5] * 5


def test_a_record_and_its_label_are_found_behind_a_comparison_without_noise(
    records: list[dict[str, Any]],
) -> None:
    """Epsilon .5 allows an AUC of .61 and a label accuracy of .62 on even labels."""
    plain, noised = records
    assert leak(plain, "message matching", "auc")["estimate"]["value"] > 0.95
    assert leak(noised, "message matching", "auc")["estimate"]["low"] < 0.62
    name = "label of a known text (message)"
    assert leak(plain, name, "label_accuracy")["estimate"]["value"] > 0.99
    assert leak(noised, name, "label_accuracy")["estimate"]["low"] < 0.63


def test_words_are_looked_for_with_lessons_of_pairs(records: list[dict[str, Any]]) -> None:
    for record in records:
        found = leak(record, "bag_of_words (splices=20) (message)", "token_f1")
        assert found["view"] == "forward" and found["estimate"]["n"] > 100


def test_words_are_read_out_of_comparisons_that_hold_them() -> None:
    """Positive control: many directions, a word of its own for each; pairs of the attack's own
    making have two texts, or the encoder here refuses them.
    """
    rng, words = np.random.default_rng(0), np.arange(10, 30)
    start, between, end = 2, (3,), 3

    def text() -> np.ndarray:
        parts = [rng.choice(words, rng.integers(2, 6), replace=False) for _ in range(2)]
        return np.concatenate([[start], parts[0], between, parts[1], [end]])

    def embed(texts: Any) -> np.ndarray:
        """Return |a - b| and a * b of the bags of both texts, turned."""
        rows = []
        for each in texts:
            first, second = np.flatnonzero(each == end)
            bags = [np.isin(words, part) for part in (each[:first], each[first:second])]
            rows.append(np.concatenate([bags[0] ^ bags[1], bags[0] & bags[1]]))
        return np.asarray(rows, dtype=np.float32) @ turn

    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0].astype(np.float32)
    private, auxiliary = [text() for _ in range(30)], tuple(text() for _ in range(400))
    knowledge = PooledKnowledge(embed, auxiliary, (0, 2, 3), between=between)
    attack, draws = BagOfWords(splices=50), torch.Generator().manual_seed(0)
    found = attack.invert(embed(private), knowledge, draws)
    shares = [
        len(np.intersect1d(guess, each)) / len(np.union1d(guess, each[each > 3]))
        for guess, each in zip(found, private, strict=True)
    ]
    assert np.mean(shares) > 0.9


def test_a_pair_of_the_attacks_making_has_two_texts() -> None:
    texts = (np.array([2, 3, 7, 3]), np.array([2, 7, 3, 3]))  # without a first one, or a second
    for first in texts:
        knowledge = PooledKnowledge(None, (first,), (2, 3), between=(3,))
        assert knowledge.framed(np.array([5, 6, 8])).tolist() == [2, 5, 6, 3, 8, 3]
        assert knowledge.framed(knowledge.bordered(first)).tolist() == first.tolist()
        assert knowledge.framed(np.zeros(0, dtype=np.int64)).tolist() == [2, 3, 3]
    twice = np.array([5, BORDER, 6, 8, BORDER, 9])  # of two pairs' parts
    assert knowledge.framed(twice).tolist() == [2, 5, 3, 6, 8, 9, 3]


def test_pairs_speak_of_the_tasks_that_have_them() -> None:
    cells = grid_from(tomllib.loads(GRID), "FILE", "g").cells
    told = {(c.config.data.task, c.config.message.pairs, c.config.compares) for c in cells}
    assert told == {("mrpc", "apart", True), ("sst2", None, False)}
    with pytest.raises(InputError, match="a task of pairs alone"):
        grid_from(tomllib.loads(GRID.replace('"mrpc", ', "")), "FILE", "g")


def test_own_columns_in_pairs_are_compared(tmp_path: Path) -> None:
    text = GRID.replace('tasks = ["mrpc", "sst2"]', 'tasks = ["own"]').replace(
        'source = "generated"\npool', 'source = "x"\ntext = "a"\npair = "b"\nlabels = [0, 1]\npool'
    )
    (cell, _) = grid_from(tomllib.loads(text), "FILE", "g").cells
    assert cell.config.compares
