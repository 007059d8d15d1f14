"""Pooled vectors through a whole cell: the service is the model, and each attack is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attacks.pooled.knowledge import Texts
from attacks.pooled.lesson import splice
from evaluation.adversary.embedding_service import EmbeddingService
from evaluation.grid.catalogue import POOLED
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell
from evaluation.metrics.text import frequent_words_chance, scores
from evaluation.run.cell import run_cell
from fedbert.prepare import prepare
from reports.leak import Leak, NotMeasured
from reports.records import CellResult


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    chosen = read_grid(small_grid).cells[0]
    return replace(chosen, attacks=replace(chosen.attacks, inversion=(), membership=()))


def judged(cell: Cell, task: str, pool: int, *names: str) -> CellResult:
    config = replace(cell.config, data=replace(cell.config.data, task=task, pool_size=pool))
    attacks = replace(cell.attacks, pooled=names)
    record = run_cell(replace(cell, config=config, attacks=attacks)).record
    assert record.status == "done", record.traceback
    return record


def few_splices(bodies: Texts, count: int, generator: torch.Generator) -> list[np.ndarray]:
    """Return a twentieth of the texts that an attack would make itself."""
    return splice(bodies, count // 20, generator)


@pytest.mark.parametrize("task", ["sst2", "mrpc"])
def test_the_service_gives_the_vectors_of_the_whole_model(cell: Cell, task: str) -> None:
    """Pairs of texts with their token types too, and whatever else is asked beside them."""
    prepared = prepare(replace(cell.config, data=replace(cell.config.data, task=task)), coin=True)
    pool, whole = prepared.pool, prepared.split.whole.eval()
    texts = np.split(pool.tokens, pool.offsets[1:-1])[:7]
    types = np.split(pool.token_types, pool.offsets[1:-1])[:7]
    service = EmbeddingService(
        prepared.split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id
    )
    for pooling in ("mean", "cls"):
        found = service.vectors([*texts, texts[0]], pooling)
        np.testing.assert_array_equal(found[7], found[0])
        for text, kind, row in zip(texts, types, found, strict=False):
            inputs = {
                "input_ids": torch.tensor(text)[None],
                "token_type_ids": torch.tensor(kind)[None],
            }
            with torch.no_grad():
                hidden = whole.bert(**inputs).last_hidden_state[0]
            wanted = hidden.mean(0) if pooling == "mean" else hidden[0]
            np.testing.assert_allclose(row, wanted.numpy(), atol=1e-5)
    assert service.vectors([], "cls").shape == (0, found.shape[1])


def test_every_attack_is_judged_by_every_metric_and_repeats_itself(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attacks.pooled.speaker.EPOCHS", 2)
    monkeypatch.setattr("attacks.pooled.lesson.splice", few_splices)
    record = judged(cell, "sst2", 160, *POOLED)
    leaks = [leak for leak in record.leakage if leak.view == "release"]
    names = {f"{name} ({kind})" for name in ("bag of words", "set decoder", "writer")
             for kind in ("mean", "cls")}  # fmt: skip
    metrics = {"token_precision", "token_recall", "token_f1", "rouge1", "rouge2", "rougeL",
               "exact_match"}  # fmt: skip
    assert {(leak.attack, leak.metric) for leak in leaks} == {
        (name, metric) for name in names for metric in metrics
    }
    for leak in leaks:
        assert isinstance(leak, Leak) and leak.family == "inversion"
        assert (leak.chance is not None) is (leak.metric == "token_f1")
    by_name = {leak.attack: leak for leak in leaks if leak.metric == "token_f1"}
    best = by_name["bag of words (mean)"]
    assert isinstance(best, Leak) and best.chance is not None
    assert best.estimate.low > best.chance
    again = judged(cell, "sst2", 160, "bag_of_words")
    named = ("bag of words (mean)", "token_f1")
    [same] = [leak for leak in again.leakage if (leak.attack, leak.metric) == named]
    assert same == best


def test_too_little_auxiliary_text_is_said(cell: Cell) -> None:
    record = judged(cell, "sst2", 60, "bag_of_words")
    [mean, cls] = [leak for leak in record.leakage if leak.view == "release"]
    assert isinstance(mean, NotMeasured)
    assert "at least 40 texts" in mean.reason and "cls" in cls.attack


def test_frequent_words_are_the_best_of_all_prefixes() -> None:
    auxiliary = [np.array([0, 5, 6]), np.array([5, 6, 7]), np.array([5, 9, 9])]
    true = [np.array([0, 5, 8]), np.array([6, 5])]
    both = (2 * 1 / 4 + 1) / 2  # {5, 6} serves the auxiliary texts better than {5} or {5, 6, 7}
    assert frequent_words_chance(true, auxiliary, [0]) == pytest.approx(both)


def test_scores_leave_out_pairs_of_words_where_there_are_none() -> None:
    rng = np.random.default_rng(0)
    found = scores([np.array([1, 5])], [np.array([5])], [1], rng)
    assert "rouge2" not in found and found["exact_match"].value == found["token_f1"].value == 1
