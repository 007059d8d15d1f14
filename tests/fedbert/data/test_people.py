"""Persons: rows that belong to one are read, split, dealt and held out together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.adversary.candidates import members_and_non_members
from evaluation.auditing.canaries.texts import canary_texts, joined
from evaluation.grid.defence import facts_of
from evaluation.grid.spec import DefenceSpec
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import Encoded, encode
from fedbert.data.examples import Examples, from_tables
from fedbert.data.partition import partition
from fedbert.data.people import rows_of_each
from fedbert.data.repeats import clusters, coin_groups
from fedbert.data.sources import bounded, halves, load
from fedbert.data.survey import essentials
from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.model import generated_tokenizer, vocabulary_of
from fedbert.prepare import assemble, most_rows, prepare
from fedbert.tasks import TASKS, Task, grouped, own_task
from tests.fedbert import tiny

LABELS = ("0", "1")
SEEDS = 12  # by a coin for each row, all of them pass with probability under 1e-30


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def own(**settings: Any) -> DataConfig:
    fixed = {"task": "own", "text": "review", "label": "stars", "labels": LABELS}
    return DataConfig(**{**fixed, "group": "author", **settings})


def table(people: list[Any], texts: list[str] | None = None) -> Table:
    texts = [f"text {i}" for i in range(len(people))] if texts is None else texts
    stars = [i % 2 for i in range(len(people))]
    return Table("x.csv", {"review": texts, "stars": stars, "author": people})


def examples(people: list[Any], texts: list[str] | None = None) -> Examples:
    return from_tables(own().chosen_task, [table(people, texts)])


# ---- the column


def test_persons_are_read_and_spelt_one_way() -> None:
    found = examples([7, 7.0, "7", " ann ", "007", True])
    assert found.people == ("7", "7", "7", "ann", "007", "true")
    assert found.take([3, 0]).people == ("ann", "7")
    others = examples([7, 7, 7, "ann", "007", "false"])
    assert found.sha256 != others.sha256
    assert examples([1, 2]).sha256 != replace(examples([1, 2]), people=()).sha256


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan"), ["ann"], "a\udc80"])
def test_a_row_of_nobody_is_refused(cell: Any) -> None:
    told = complaint(lambda: examples(["ann", cell]))
    assert told.startswith("expected the person of a row, got author=")
    assert told.endswith("in x.csv, column 'author', row 2")


def test_columns_of_persons_that_cannot_be_meant() -> None:
    assert complaint(lambda: own(group="stars")) == (
        "expected a column of its own for the persons, got group='stars'"
    )
    assert complaint(lambda: own(group=None, group_rows=2)) == (
        "expected group = the column of the persons beside group_rows, got none"
    )
    assert complaint(lambda: DataConfig(task="sst2", group="author")) == (
        "expected group with task own alone, got group='author' with task 'sst2'"
    )
    task = own(group="autor").chosen_task
    assert complaint(lambda: from_tables(task, [table(["ann"])])) == (
        "expected column 'autor', got columns=review, stars, author in x.csv: "
        "did you mean 'author'?"
    )


def test_persons_are_written_where_they_are_named_and_nowhere_else() -> None:
    assert not {"group", "group_rows"} & set(Config().to_json()["data"])
    assert not {"group", "group_rows"} & set(Config(data=own(group=None)).to_json()["data"])
    written = Config(data=own(group_rows=3)).to_json()["data"]
    assert (written["group"], written["group_rows"]) == ("author", 3)


def test_of_masked_lm_a_row_is_a_document_of_its_person() -> None:
    task = DataConfig(task="mlm", group="author").chosen_task
    texts = ["= Bees =", "", "they hum", " "]
    rows = Table("x", {"words": texts, "author": ["ann", "bob", "cid", "dan"]})
    found = from_tables(task, [rows])
    assert found.texts == (("= Bees =",), ("they hum",)) and found.people == ("ann", "cid")


# ---- splits


def test_a_single_split_keeps_persons_whole_and_texts_on_one_side() -> None:
    people = [i // 4 for i in range(80)]
    texts = [f"text {i}" for i in range(80)]
    texts[4] = texts[0]  # persons 0 and 1 share a text
    whole = examples(people, texts)
    kept_together = []
    for seed in range(SEEDS):
        found = halves(whole, "validation", seed)
        train, judged = found["train"], found["validation"]
        assert not {*train.people} & {*judged.people} and not {*train.texts} & {*judged.texts}
        assert len(train) + len(judged) == 80 and len({*judged.people}) in (4, 5)
        kept_together.append(("0" in judged.people, "1" in judged.people))
    assert set(kept_together) == {(True, True), (False, False)}
    again = halves(whole, "validation", 0)["validation"]
    assert again.people == halves(whole, "validation", 0)["validation"].people


def test_persons_that_all_share_texts_cannot_be_divided() -> None:
    linked = examples(["ann", "ann", "bob", "bob", "cid"], ["a", "b", "b", "c", "c"])
    assert complaint(lambda: halves(linked, "validation", 0)) == (
        "expected two persons without a text in common to split, got 1 in x.csv"
    )


def test_at_most_so_many_rows_of_a_person() -> None:
    people = ["cid"] * 7 + ["ann"] * 6 + ["bob"] * 2 + ["ann"] * 3
    whole = examples(people)
    found = bounded(whole, 3, 5)
    assert rows_in_order(found.people) == {"cid": 3, "ann": 3, "bob": 2}
    assert list(found.texts) == sorted(found.texts, key=whole.texts.index)
    assert bounded(whole, None, 5) is whole and bounded(whole, 9, 5).texts == whole.texts
    alone = bounded(whole.take([i for i, each in enumerate(people) if each == "ann"]), 3, 5)
    assert {*alone.texts} == {
        t for t, p in zip(found.texts, found.people, strict=True) if p == "ann"
    }
    assert len({bounded(whole, 3, seed).texts for seed in range(6)}) > 1


def rows_in_order(people: tuple[str, ...]) -> dict[str, int]:
    return {each: people.count(each) for each in dict.fromkeys(people)}


# ---- the coin


def pool(shared: bool = True) -> Encoded:
    """Return 60 rows of 15 persons, in a random order; persons 0 and 1 share a text."""
    found = tiny.encoded("two", 60, longest=8)
    if shared:
        found = found.take([*range(59), 0])
        found = replace(found, documents=np.arange(60))
    people = np.arange(60) % 15 + 100
    return replace(found, people=people)


@pytest.mark.parametrize("hold_out", [0.2, 0.5])
def test_the_coin_falls_for_a_person_and_for_whoever_shares_a_text(hold_out: float) -> None:
    examples = pool()
    texts = np.array([t.tobytes() for t in np.split(examples.tokens, examples.offsets[1:-1])])
    assert len(np.unique(coin_groups(examples))) == 14  # 15 persons, two of them linked
    assert len(np.unique(coin_groups(pool(shared=False)))) == 15
    for seed in range(SEEDS):
        config = tiny.config_of("two", 2, seed)
        config = replace(config, data=replace(config.data, hold_out=hold_out))
        parts = {"train": examples, "validation": tiny.encoded("two", 4)}
        prepared = assemble(config, tiny.tokenizer(), tiny.split_model(), parts, "0" * 64)
        members = prepared.members
        assert members is not None and prepared.pool.people is not None
        for each in (prepared.pool.people, texts):
            assert not {*each[members]} & {*each[~members]}
        held = [{*data.encoded.people} for data in prepared.clients]  # type: ignore[misc]
        assert held[0] and held[1] and not held[0] & held[1]
        assert facts_of(config, prepared, DefenceSpec("none"), 1e-5).person_rows == 4
        chosen, others = members_and_non_members(config, prepared)
        asked = np.concatenate([chosen, others])
        assert len(np.unique(prepared.coin_groups[asked])) == len(asked)


def test_a_coin_for_all_persons_together_is_refused() -> None:
    config = tiny.config_of("two", 2, 0)
    config = replace(config, data=replace(config.data, hold_out=0.5))
    alike = tiny.encoded("two", 8).take([0, 1, 1, 2, 2, 3])
    alike = replace(alike, people=np.array([5, 5, 6, 6, 7, 7]), documents=np.arange(6))
    parts = {"train": alike, "validation": tiny.encoded("two", 4)}
    made = tiny.tokenizer(), tiny.split_model()
    assert complaint(lambda: assemble(config, *made, parts, "0" * 64)) == (
        "data: expected persons without a text in common for the hold-out coin, got 3 persons, "
        "all linked by texts that read alike to the model"
    )
    config = replace(config, data=replace(config.data, hold_out=0.0))
    assert assemble(config, *made, parts, "0" * 64).members is None


def test_blocks_of_masked_lm_go_by_their_person() -> None:
    blocks = tiny.encoded("mlm-tied", 5)
    blocks = replace(blocks, documents=np.array([0, 0, 1, 2, 2]), people=np.array([8, 8, 9, 8, 8]))
    assert coin_groups(blocks).tolist() == [0, 0, 2, 0, 0]


def test_what_belongs_to_one_person_is_one_cluster() -> None:
    rows = tiny.encoded("two", 5)
    rows = replace(rows, people=np.array([8, 9, 8, 7, 6]))
    assert clusters(rows).tolist() == [0, 1, 0, 3, 4]
    pairs = replace(rows, first_texts=np.array([0, 1, 2, 2, 3]))
    assert clusters(pairs).tolist() == [0, 1, 0, 0, 4]
    assert clusters(replace(pairs, people=None)).tolist() == [0, 1, 2, 2, 3]


# ---- clients


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "quantity"])
def test_every_client_holds_persons_whole(kind: str) -> None:
    rng = np.random.default_rng(4)
    people = rng.permutation(np.repeat(np.arange(40) * 10**15, rng.integers(1, 9, 40)))
    for labels in (rng.integers(0, 3, len(people)), rng.uniform(0, 5, len(people))):
        parts = partition(labels, 6, kind, 0.3, np.random.default_rng(1), None, people)
        assert sorted(np.concatenate(parts)) == list(range(len(people)))
        held = [{*people[part]} for part in parts]
        assert all(held) and sum(map(len, held)) == 40
        if kind == "iid":
            assert {len(each) for each in held} == {6, 7}


def test_dirichlet_takes_a_person_by_its_most_frequent_label() -> None:
    people = np.repeat(np.arange(200), 3)
    labels = np.where(np.arange(600) % 3 == 0, 1 - people % 2, people % 2)  # two of three
    parts = partition(labels, 2, "dirichlet", 0.01, np.random.default_rng(2), None, people)
    for part in parts:
        own = people[part] % 2
        assert min((own == 0).mean(), (own == 1).mean()) < 0.05


def test_fewer_persons_than_clients_are_refused() -> None:
    people = np.array([1, 1, 1, 2])
    told = complaint(
        lambda: partition(np.zeros(4), 3, "iid", 1.0, np.random.default_rng(0), None, people)
    )
    assert told.startswith("expected at least as many persons as clients, got persons=2, clients=3")


# ---- canaries


def test_sets_of_examples_keep_their_persons_and_a_canary_is_a_person_of_its_own() -> None:
    ones = replace(tiny.encoded("two", 3), people=np.array([5, 5, 6]))
    others = replace(tiny.encoded("two", 2, seed=1), people=np.array([6, 7]))
    both = joined(ones, others)
    assert both.people is not None and both.people.tolist() == [5, 5, 6, 6, 7]
    made = canary_texts(ones, 3, "rare", vocabulary_of(tiny.tokenizer()), np.random.default_rng(0))
    mixed = joined(ones, made).people
    assert mixed is not None and rows_of_each(mixed).tolist() == [1, 1, 1, 2, 1]
    assert joined(made, made).people is None


# ---- what is said


def read(task: Task, people: list[str], texts: list[str]) -> Examples:
    return from_tables(task, [table(people, texts)])


def test_the_essentials_count_persons_within_and_across_splits() -> None:
    task = grouped(own_task("review", None, "stars", LABELS, None), "author")
    both = {
        "train": read(task, [*"aaabc"], ["the", "not", "and", "and", "was"]),
        "validation": read(task, [*"ad"], ["in", "with"]),
    }
    encoded = {name: encode(each, generated_tokenizer(), 8) for name, each in both.items()}
    lines = essentials(both, encoded, 8)
    texts = "texts: 1 text stands in several rows, up to 2: a claim about a record covers one"
    assert lines[3] == texts
    assert lines[4] == (
        "persons: 3 in train with 1 rows (median), 3 at most; 2 in validation with 1 rows "
        "(median), 1 at most, 1 of them in train; by texts that persons of train share, the coin "
        "takes them for 2, the largest of 4 rows"
    )


def test_a_preparation_bounds_and_says_persons(tmp_path: Path) -> None:
    rows = [f"good film {i},{i % 2},author {i // 8}" for i in range(80)]
    source = tmp_path / "x.csv"
    source.write_text("\n".join(["review,stars,author", *rows]))
    model = ModelConfig(source="tiny", tokenizer="generated")
    data = own(source=str(source), clients=2, group_rows=3)
    prepared = prepare(Config(model, data))
    assert most_rows(prepared) == 3 and len(prepared.pool) == 24
    assert "the seed keeps 20% of its persons to judge on" in prepared.notes[0]
    assert prepared.notes[-1] == "group_rows 3 leaves out 40 rows of train"
    found = load(data.chosen_task, str(source), seed=1)
    assert not {*found["train"].people} & {*found["validation"].people}
    assert TASKS["sst2"].group is None
