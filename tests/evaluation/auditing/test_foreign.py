"""Models of somebody else's in an audit: what is in their files is audited, or refused."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from evaluation.auditing.adversary import Means
from evaluation.auditing.card import audit
from evaluation.auditing.request import Request
from evaluation.auditing.subject import open_subject
from evaluation.grid.parse import read_grid
from evaluation.grid.preflight import preflight
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.data.batches import collate
from fedbert.data.synthetic import WORDS
from fedbert.errors import InputError
from fedbert.model import generated_tokenizer
from fedbert.split import answering
from fedbert.tasks import TASKS
from reports.card.files import as_html, as_json


def written(
    folder: Path, labels: tuple[str, ...] = (), number: int = 2, lm: bool = False, seed: int = 0
) -> Path:
    """Write a tiny model with the generated words and weights of no special value."""
    settings = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
        num_labels=number,
        tie_word_embeddings=not lm,
    )
    if labels:
        settings.id2label = dict(enumerate(labels))
        settings.label2id = {name: n for n, name in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = (BertForMaskedLM if lm else BertForSequenceClassification)(settings)
        with torch.no_grad():
            for parameter in whole.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    whole.save_pretrained(folder)
    generated_tokenizer().save_pretrained(folder)
    return folder


def rewrite(folder: Path, prefix: str = "", without: str = "\0") -> None:
    file = folder / "model.safetensors"
    tensors = {f"{prefix}{n}": v.clone() for n, v in load_file(file).items() if without not in n}
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Request]:
    """What is asked of each task: members and others in files."""
    folder, made = tmp_path_factory.mktemp("candidates"), {}
    for task in ("sst2", "mnli", "mlm"):
        columns = TASKS[task].columns
        for side in (0, 1):
            rows = []
            for row in range(12):
                words = " ".join(WORDS[(row * 7 + side * 3 + k) % len(WORDS)] for k in range(6))
                texts = {name: f"{words} {WORDS[n]}" for n, name in enumerate(columns)}
                rows.append(json.dumps(texts | {"label": row % max(2, TASKS[task].num_labels)}))
            (folder / f"{task}{side}.jsonl").write_text("\n".join(rows) + "\n")
        files = [folder / f"{task}{side}.jsonl" for side in (0, 1)]
        made[task] = Request(task=task, members=files[0], non_members=files[1])
    return made


def losses(folder: Path, task: str, asked: dict[str, Request]) -> torch.Tensor:
    """Return the losses of a model on the members."""
    subject, members = open_subject(folder, task), asked[task].members
    assert members is not None
    encoded = subject.encoded(members)
    with answering(subject.split):
        return subject.split.losses(collate(encoded, range(len(encoded)), subject.vocabulary.pad))


@pytest.mark.parametrize("prefix", ["_module.", "module.", "_orig_mod.", "_orig_mod.module."])
def test_a_wrapped_model_is_audited_as_the_plain_one_and_the_card_says_so(
    tmp_path: Path, asked: dict[str, Request], prefix: str
) -> None:
    plain, wrapped = written(tmp_path / "plain"), written(tmp_path / "wrapped")
    rewrite(wrapped, prefix)
    assert torch.equal(losses(plain, "sst2", asked), losses(wrapped, "sst2", asked))
    card = audit(wrapped, asked["sst2"])
    assert card.subject["model"].startswith("names of tensors stripped of ")
    assert "model" not in audit(plain, asked["sst2"]).subject


def test_no_head_of_a_model_is_made_up(tmp_path: Path, asked: dict[str, Request]) -> None:
    headless = written(tmp_path / "headless")
    rewrite(headless, without="classifier")
    with pytest.raises(InputError, match=r"missing: classifier\.bias, classifier\.weight"):
        audit(headless, asked["sst2"])
    with pytest.raises(InputError, match=r"missing: classifier\.bias, classifier\.weight"):
        means = Means(references=(headless,))
        audit(written(tmp_path / "good"), Request(**vars(asked["sst2"]) | {"means": means}))
    renamed = written(tmp_path / "renamed")
    rewrite(renamed, "net.")
    with pytest.raises(InputError, match=r"that fit nothing: net\.bert"):
        audit(renamed, asked["sst2"])


def test_labels_in_another_order_are_the_same_labels(
    tmp_path: Path, asked: dict[str, Request]
) -> None:
    twin = written(tmp_path / "twin", TASKS["mnli"].label_names, 3)
    other = written(tmp_path / "other", ("contradiction", "entailment", "neutral"), 3)
    tensors = load_file(twin / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name][[2, 0, 1]].clone()
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(losses(other, "mnli", asked), losses(twin, "mnli", asked))
    strange = written(tmp_path / "strange", ("cat", "dog", "cow"), 3)
    with pytest.raises(InputError, match="got a head of labels cat, dog, cow"):
        audit(strange, asked["mnli"])
    with pytest.raises(InputError, match=r"expected a head of 3 labels \(entailment.* 2 labels"):
        audit(written(tmp_path / "two"), asked["mnli"])


def test_an_untied_decoder_is_audited_as_it_is(tmp_path: Path, asked: dict[str, Request]) -> None:
    untied = written(tmp_path / "untied", lm=True)
    subject = open_subject(untied, None)
    saved = load_file(untied / "model.safetensors")["cls.predictions.decoder.weight"]
    assert torch.equal(subject.split.whole.get_output_embeddings().weight, saved)
    config = json.loads((untied / "config.json").read_text()) | {"tie_word_embeddings": True}
    (untied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="a decoder of its own"):
        audit(untied, asked["mlm"])


def test_what_a_trainer_leaves_beside_a_model_is_never_opened(
    tmp_path: Path, asked: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "trained")
    beside = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
    for name in beside:
        (folder / name).write_bytes(b"PK\x03\x04 no pickle would be read from this")
    (folder / "trainer_state.json").write_text("{}")
    opened: list[str] = []
    plain = Path.open

    def watched(self: Path, *arguments, **named):
        opened.append(self.name)
        return plain(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", watched)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    assert audit(folder, asked["sst2"]).subject["task"] == "sst2"
    assert "model.safetensors" in opened and not beside & set(opened)
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"got a pickle or code in .*pytorch_model\.bin"):
        audit(folder, asked["sst2"])


def test_a_cased_vocabulary_that_is_lower_cased_is_warned_of(
    tmp_path: Path, asked: dict[str, Request], caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path / "cased")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(w.capitalize() for w in WORDS)]
    vocab = {word: number for number, word in enumerate(dict.fromkeys(words))}
    BertTokenizer(vocab=vocab).save_pretrained(folder)
    with caplog.at_level(logging.WARNING):
        subject = open_subject(folder, "sst2")
        assert asked["sst2"].members is not None
        subject.encoded(asked["sst2"].members)
    (record,) = caplog.records
    assert "70 of 84 words (83%) are [UNK]" in record.message and "it lower-cases" in record.message


def test_the_card_says_at_its_head_how_many_words_are_unknown(
    tmp_path: Path, asked: dict[str, Request]
) -> None:
    folder, files = written(tmp_path / "m<b>"), []
    for side in (0, 1):
        files.append(tmp_path / f"{side}.jsonl")
        words = WORDS[12 * side : 12 * side + 12]
        rows = [json.dumps({"sentence": f"{word} zyx qqq", "label": 1}) for word in words]
        files[-1].write_text("\n".join(rows) + "\n")
    told = "48 of 72 words (67%) are [UNK] to the tokenizer"
    card = audit(folder, Request(task="sst2", members=files[0], non_members=files[1]))
    assert card.subject["may be wrong"] == told
    page = as_html(replace(card, subject={**card.subject, "may be wrong": f"{told} <b>"}))
    words = told.replace("[UNK]", "unknown")
    assert page.index(f"{words} &lt;b&gt;") < page.index("Verdicts") and "<b>" not in page
    assert json.loads(as_json(card))["subject"]["may be wrong"] == told
    assert "may be wrong" not in audit(folder, asked["sst2"]).subject


def test_labels_that_are_not_numbered_need_a_task(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    for labels in ({"a": "x", "b": "y"}, {"0": "x", "2": "y"}, ["x", "y"], 7):
        (folder / "config.json").write_text(json.dumps(config | {"id2label": labels}))
        with pytest.raises(InputError, match="a classifier of labels by number"):
            open_subject(folder, None)


@pytest.mark.parametrize(("positions", "length"), [(40, 37), (9, None), (200, 128)])
def test_texts_are_cut_to_the_positions_that_a_model_has(
    tmp_path: Path, positions: int, length: int | None
) -> None:
    tokenizer = generated_tokenizer()
    tokenizer.pad_token = "[CLS]"  # number 2: a RoBERTa's first position is then 3
    settings = RobertaConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
        pad_token_id=2,
    )
    RobertaForSequenceClassification(settings).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    if length is None:
        with pytest.raises(InputError, match="expected max_length <= 6, got max_length=8"):
            open_subject(tmp_path, "sst2")
    else:
        assert open_subject(tmp_path, "sst2").config.data.max_length == length


TRAINING = """
[model]
source = "{source}"
dropout = 0.0
[data]
task = "rte"
source = "generated"
pool_size = 12
evaluation = 6
max_length = 32
clients = 1
[training]
strategy = "centralised"
rounds = 1
local_steps = 1
batch_size = 4
"""


def test_a_training_says_what_became_of_a_saved_head(tmp_path: Path) -> None:
    model = written(tmp_path / "model", number=3)
    rewrite(model, "_module.")
    (tmp_path / "t.toml").write_text(TRAINING.format(source=model))
    settings = read_training(tmp_path / "t.toml", pretraining=False)
    heard: list[str] = []
    say = lambda *_: heard.append("a round")  # noqa: E731
    lines = run_training(settings, tmp_path / "out", 1, say, heard.append)
    told = [line for line in lines if line.startswith(f"model {model}: ")]
    before = heard[: heard.index("a round")]
    assert told == [line for line in before if line.startswith("model ")]
    assert [line.partition(": ")[2] for line in told] == [
        "names of tensors stripped of _module. (Opacus)",
        "the saved head is of 3 labels",
        "a new head of 2 labels, made up at random",
    ]
    again = open_subject(tmp_path / "out" / "checkpoint", None)
    assert again.split.notes == () and again.own is not None
    rewrite(model, "net.")
    with pytest.raises(InputError, match=r"that fit nothing: net\.bert"):
        run_training(settings, tmp_path / "other", 1, lambda *_: None)


def test_a_grid_says_and_refuses_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = written(tmp_path / "model", number=3)
    text = TRAINING.format(source=model).replace('task = "rte"\n', "")
    text = 'tasks = ["rte"]\n' + text.replace('strategy = "centralised"\n', "")
    (tmp_path / "g.toml").write_text(text + '[[defences]]\nname = "none"\n')
    with caplog.at_level(logging.WARNING):
        preflight(read_grid(tmp_path / "g.toml"))
    told = [record.message for record in caplog.records]
    assert f"model {model} for rte: the saved head is of 3 labels" in told
    rewrite(model, "net.")
    with pytest.raises(InputError, match=r"that fit nothing: net\.bert"):
        preflight(read_grid(tmp_path / "g.toml"))
