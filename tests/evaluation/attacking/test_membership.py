"""Judging membership: candidates, signals on disk, numbers made again, a shifted pool."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.adversary.candidates import choose, members_and_non_members
from evaluation.adversary.signals import signals_from
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import MEMBERSHIP
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import AttackSettings, Cell
from evaluation.metrics.blind_baseline import blind_baseline
from evaluation.run.cell import run_cell
from evaluation.run.runner import run_grid
from evaluation.run.verify import unclustered, verify_run
from evaluation.run.workers import Loop
from fedbert.data.repeats import clusters
from fedbert.errors import InputError
from fedbert.prepare import prepare
from fedbert.seeding import numpy_rng
from reports.leak import Leak, NotMeasured
from reports.records import read_records
from reports.run_folder import scores_path
from reports.scores import read_scores, read_signals, write_scores

SIGNALLED = [n for n in MEMBERSHIP if n != "message_matching"]


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    first = read_grid(small_grid).cells[0]
    attacks = AttackSettings(
        inversion=(), backward=(), updates=(), membership=tuple(MEMBERSHIP), messages=2,
        candidates=60, shadows=4, population=12, client_level=True,
    )  # fmt: skip
    config = replace(first.config, data=replace(first.config.data, pool_size=120))
    return replace(first, config=config, attacks=attacks)


def test_candidates_are_in_the_pools_order_and_the_population_was_left_out(cell: Cell) -> None:
    prepared = prepare(cell.config, coin=True)
    chosen = choose(cell, prepared)
    members, non_members = map(set, members_and_non_members(cell.config, prepared))
    assert (np.diff(chosen.candidates) > 0).all() and (np.diff(chosen.population) > 0).all()
    assert set(chosen.candidates[chosen.members]) <= members
    assert set(chosen.population) <= non_members and len(chosen.population) == 12
    assert set(chosen.candidates[~chosen.members]) <= non_members - set(chosen.population)
    greedy = replace(cell, attacks=replace(cell.attacks, population=10**6))
    assert len(choose(greedy, prepared).population) == len(non_members) // 2


@pytest.mark.parametrize("strategy", ["parallel", "centralised"])
def test_every_number_follows_from_what_is_on_disk(
    cell: Cell, tmp_path: Path, strategy: str
) -> None:
    training = replace(cell.config.training, strategy=strategy)
    own = replace(cell, config=replace(cell.config, training=training))
    outcome = run_cell(own, tmp_path / "shadows")
    record = outcome.record
    assert record.status == "done", record.traceback
    path = scores_path(tmp_path, own.id)
    write_scores(path, outcome.scored, outcome.signals)
    scored, signals = read_scores(path), signals_from(read_signals(path))
    lacking = {
        each.attack: each.reason
        for each in record.leakage
        if each.family == "membership" and isinstance(each, NotMeasured) and each.metric is None
    }
    for name in SIGNALLED:
        attack = make_attack(name, MEMBERSHIP, "score")
        if attack.missing(signals) is not None:
            assert lacking[attack.name] == attack.missing(signals).words
        else:
            draws = numpy_rng(own.config.seed, "attack", attack.name)
            again = attack.score(signals, draws)
            np.testing.assert_array_equal(again, scored[attack.name].scores)
    prepared = prepare(own.config, coin=True)
    asked_about = prepared.pool.take(choose(own, prepared).candidates)
    assert (scored["loss threshold"].clusters == clusters(asked_about)).all()
    unsent = {"loss over rounds", "update cosine", "gradient difference", "message matching"}
    asked = {each.attack for each in record.leakage if isinstance(each, Leak)}
    assert (unsent & asked == set()) == (strategy == "centralised")
    assert "quantile regression" in lacking  # a population of 12 is too small for it
    assert ("message matching" in scored) == (strategy == "parallel")
    if strategy == "parallel":
        heard = scored["message matching"]
        assert heard.member_scores.min() > heard.non_member_scores.max()
        assert heard.clusters is not None and len(heard.clusters) == len(heard.scores)
        clients = [leak for leak in record.leakage if leak.metric == "client_auc"]
        assert clients and all(isinstance(leak, Leak) and leak.unit == "client" for leak in clients)


def test_shadows_change_nothing_in_the_training_and_the_cache_nothing_at_all(
    cell: Cell, tmp_path: Path
) -> None:
    def told(record: object) -> object:
        return json.loads(json.dumps(record.to_json() | {"seconds": 0}))  # type: ignore[attr-defined]

    first, again = (run_cell(cell, tmp_path / "shadows").record for _ in range(2))
    assert told(first) == told(again) == told(run_cell(cell).record)
    bare = replace(cell, attacks=replace(cell.attacks, shadows=0, membership=("loss_threshold",)))
    loss, without = (
        [leak for leak in record.leakage if leak.attack == "loss threshold"]
        for record in (first, run_cell(bare).record)
    )
    assert loss[:4] == without[:4]


def test_report_makes_the_numbers_again_and_notices_a_changed_score(
    small_grid: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_grid(read_grid(small_grid), run, Loop(), lambda *_: None, lambda _: None)
    records = read_records(run / "records.jsonl")
    # AUC and balanced accuracy of the loss attack: for a TPR the non-members are too few.
    assert verify_run(run) == 2 * len(records)
    path = scores_path(run, records[0].cell)
    before = path.read_bytes()
    scored = read_scores(path)
    write_scores(path, scored, read_signals(path))
    assert path.read_bytes() == before
    loss = scored["loss threshold"]
    assert unclustered(run) == 0
    write_scores(path, {"loss threshold": replace(loss, clusters=None)}, {})
    assert unclustered(run) == 1 and verify_run(run) == 2 * len(records)
    flipped = replace(loss, scores=-loss.scores)
    write_scores(path, {"loss threshold": flipped}, {})
    with pytest.raises(InputError, match=r"expected auc=.* of loss threshold as its scores give"):
        verify_run(run)
    for broken in (b"", b"no zip", before[:200]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="expected scores of attacks"):
            verify_run(run)


def test_pickled_scores_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    objects = np.array([print, 1], dtype=object)
    np.savez(path, **{"a/scores": objects, "a/members": objects, "a/seed": np.array(1)})
    with pytest.raises(ValueError, match="expected scores of attacks"):
        read_scores(path)


def texts_of(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return overlapping pieces of some texts: many candidates are nearly alike."""
    whole = [rng.integers(0, 500, 12) for _ in range(count // 6)]
    return [text[start : start + 6] for text in whole for start in range(6)]


def test_text_alone_tells_nothing_where_a_coin_dealt() -> None:
    """60 pools: fewer than 48 intervals of 95 % hold 0.5 with probability 1e-5."""
    rng = np.random.default_rng(0)
    texts = texts_of(300, rng)
    labels, inside, alarms = rng.integers(0, 2, len(texts)), 0, 0
    for _ in range(60):
        members = rng.random(len(texts)) < 0.5
        found, shifted = blind_baseline(texts, labels, members, rng)
        inside += found.low <= 0.5 <= found.high
        alarms += shifted
    assert inside >= 48 and alarms == 0


@pytest.mark.parametrize("kind", ["words", "labels"])
def test_a_shifted_pool_is_called_so(kind: str) -> None:
    rng = np.random.default_rng(0)
    texts, members = texts_of(600, rng), rng.random(600) < 0.5
    labels = rng.integers(0, 2, 600)
    if kind == "words":
        texts = [
            np.append(text, 501) if member and rng.random() < 0.7 else text
            for text, member in zip(texts, members, strict=True)
        ]
    else:
        labels = np.where(rng.random(600) < 0.8, members, labels).astype(np.int64)
    found, shifted = blind_baseline(texts, labels, members, rng)
    assert shifted and found.low > 0.6
    with pytest.raises(InputError, match="10 candidates a side"):
        blind_baseline(texts[:12], labels[:12], members[:12], rng)


def test_no_attack_is_judged_on_a_shifted_pool(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.attacking import membership

    real = membership.blind_baseline
    monkeypatch.setattr(membership, "blind_baseline", lambda *given: (real(*given)[0], True))
    few = replace(cell, attacks=replace(cell.attacks, shadows=0, membership=("loss_threshold",)))
    outcome = run_cell(few)
    (leak,) = [leak for leak in outcome.record.leakage if leak.attack == "loss threshold"]
    assert isinstance(leak, NotMeasured)
    assert "the pool is shifted" in leak.reason and not outcome.scored


def test_an_odd_number_of_shadows_is_refused() -> None:
    with pytest.raises(InputError, match="expected an even number of shadows, got shadows=3"):
        AttackSettings(shadows=3)
