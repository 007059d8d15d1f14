"""Label order: a task's own names, whatever they are, never read as the numbers of rows."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from evaluation.auditing.subject import open_subject
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.data.batches import collate
from fedbert.label_order import order_of
from fedbert.split import answering
from fedbert.tasks import label_word

SPELLINGS = ("{}", " {}", "{}.0", "{}.00 ")
number = st.integers(-3, 12).map(str)
word = st.sampled_from(["neg", "pos", "1 star", "2 stars", "LABEL_0", "LABEL_1", "a", "A", "1.5"])
labels = st.one_of(*(st.lists(kind, min_size=2, max_size=6) for kind in (number, word))) | st.lists(
    number | word | st.text("01-aL_ ", min_size=1, max_size=4), min_size=2, max_size=6
)
labels = labels.filter(lambda names: len(set(map(label_word, names))) == len(names))


@seed(1)
@settings(max_examples=150, deadline=None, database=None)
@given(labels, st.randoms(use_true_random=False))
def test_a_tasks_own_names_are_taken_by_name(names: list[str], random) -> None:
    assert order_of(names, names) == tuple(range(len(names)))
    saved = random.sample(names, len(names))
    assert order_of(saved, names) == tuple(saved.index(name) for name in names)
    spelt = [
        random.choice(SPELLINGS).format(name) if name.lstrip("-").isdigit() else f" {name}"
        for name in saved
    ]
    if set(map(label_word, spelt)) == set(map(label_word, names)):
        assert order_of(spelt, names) == tuple(saved.index(name) for name in names)


@seed(2)
@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.integers(-30, 30), min_size=2, max_size=5, unique=True), st.integers(1, 5))
def test_numbers_are_rows_only_where_none_is_a_label(own: list[int], shift: int) -> None:
    names, rows = [str(each) for each in own], range(len(own))
    named = [f"LABEL_{row}" for row in rows]
    assert order_of(named, names) == tuple(rows)
    assert order_of(named[::-1], names) == tuple(reversed(rows))
    others = [str(each + shift) for each in own]
    if set(others) & set(names):
        assert order_of(others, names) is None


@pytest.mark.parametrize(
    ("saved", "own"),
    [
        (("-1", "0"), ("0", "1")),
        (("0", "1"), ("1", "2")),
        (("1000", "2000"), ("100", "200")),
        (("star 10", "star 20"), ("star 1", "star 2")),
        (("level -1", "level 2"), ("level 1", "level 2")),
        (("LABEL_0", "LABEL_1"), ("LABEL_1", "LABEL_2")),
    ],
)
def test_numbers_that_resemble_labels_are_other_labels(
    saved: tuple[str, ...], own: tuple[str, ...]
) -> None:
    assert order_of(saved, own) is None


TRAINING = """
[model]
source = "{source}"
tokenizer = "{tokenizer}"
cut_layer = 0
[data]
task = "own"
source = "{data}"
text = "review"
label = "stars"
labels = {labels}
max_length = 16
clients = 1
[training]
strategy = "centralised"
rounds = 1
local_steps = 1
batch_size = 4
"""


@pytest.mark.parametrize("names", [(1, 0), (-1, 1), (3, 1, 2)])
def test_a_head_of_numbers_is_kept_by_an_audit_and_a_further_training(
    tmp_path: Path, names: tuple[int, ...]
) -> None:
    rows = [f"the film {'good' * (i % 2)},{names[i % len(names)]}" for i in range(12)]
    data = tmp_path / "reviews.csv"
    data.write_text("\n".join(["review,stars", *rows, ""]))

    def trained(source: str, out: Path) -> tuple[list[str], list[str]]:
        path, told = tmp_path / f"{out.name}.toml", []
        tokenizer = "generated" if source == "tiny" else ""
        path.write_text(
            TRAINING.format(source=source, tokenizer=tokenizer, data=data, labels=list(names))
            .replace('tokenizer = ""\n', "")
        )  # fmt: skip
        asked = read_training(path, pretraining=False)
        return run_training(asked, out, 1, lambda *_: None, told.append), told

    trained("tiny", tmp_path / "first")
    model = tmp_path / "first" / "checkpoint" / "model"
    ours = open_subject(model.parent, None, str(data))
    assert ours.own is not None and ours.split.notes == ()
    theirs = open_subject(model, None)
    assert theirs.task.label_names == tuple(map(str, names)) and theirs.split.notes == ()
    batch = collate(ours.own.pool, range(4), ours.tokenizer.pad_token_id)
    with answering(ours.split), answering(theirs.split):
        assert torch.equal(ours.split.logits(batch), theirs.split.logits(batch))
    lines, told = trained(str(model), tmp_path / "second")
    assert not [line for line in lines + told if line.startswith("model ")]
