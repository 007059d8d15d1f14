"""Whatever a model's files hold is loaded as it stands, or named and refused in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertForTokenClassification,
    BertModel,
    RobertaModel,
)

from fedbert.config import ModelConfig
from fedbert.data.batches import collate
from fedbert.errors import InputError
from fedbert.label_order import order_of, saved_names
from fedbert.model import load_model
from fedbert.split import SplitBert
from fedbert.tasks import TASKS
from tests.fedbert import tiny

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Directories of tiny models, by architecture and kind."""
    made: dict[tuple[str, str], Path] = {}

    def folder(architecture: str, kind: str) -> Path:
        if (architecture, kind) not in made:
            path = tmp_path_factory.mktemp(f"{architecture}-{kind}")
            tiny.whole_model(architecture, kind).save_pretrained(path)
            tiny.tokenizer().save_pretrained(path)
            made[architecture, kind] = path
        return made[architecture, kind]

    return folder


@pytest.fixture
def model(folders, tmp_path: Path) -> Callable[..., Path]:
    """A copy of such a directory, with other tensors or other settings."""

    def make(
        architecture: str = "bert",
        kind: str = "two",
        change: Callable[[Tensors], Tensors] | None = None,
        **settings: Any,
    ) -> Path:
        path = Path(
            shutil.copytree(folders(architecture, kind), tmp_path / "m", dirs_exist_ok=True)
        )
        if change is not None:
            rewrite(path, change)
        config = json.loads((path / "config.json").read_text()) | settings
        (path / "config.json").write_text(json.dumps(config))
        return path

    return make


def rewrite(path: Path, change: Callable[[Tensors], Tensors]) -> None:
    file = path / "model.safetensors"
    changed = {name: value.contiguous().clone() for name, value in change(load_file(file)).items()}
    save_file(changed, file, metadata={"format": "pt"})


def loaded(path: Path, task: str = "sst2", trained: bool = False, **settings: Any) -> SplitBert:
    config = ModelConfig(str(path), **settings)
    return load_model(config, TASKS[task], tiny.tokenizer(), 0, trained=trained)


def refusal(path: Path, task: str = "sst2", trained: bool = False, **settings: Any) -> str:
    with pytest.raises(InputError) as error:
        loaded(path, task, trained, **settings)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


def same(split: SplitBert, saved: Tensors, but: str = "\0") -> None:
    """Assert that a model holds the saved tensors, bit for bit, apart from a part."""
    state = split.whole.state_dict()
    compared = [name for name in saved if not name.startswith(but)]
    assert compared and all(torch.equal(state[name], saved[name]) for name in compared)


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {f"{prefix}{name}": value for name, value in tensors.items()}


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(
    "prefix", ["_module.", "module.", "_orig_mod.", "_orig_mod._module.", "module.module."]
)
def test_the_names_of_known_wrappers_are_stripped_and_said(
    model, folders, prefix: str, trained: bool
) -> None:
    split = loaded(model(change=prefixed(prefix)), trained=trained)
    same(split, load_file(folders("bert", "two") / "model.safetensors"))
    (note,) = split.notes
    assert all(f"{part}. (" in note for part in prefix.strip(".").split("."))


def test_a_wrapper_around_a_part_is_stripped_as_well(model, folders) -> None:
    def layer(tensors: Tensors) -> Tensors:
        return {n.replace("layer.1.", "layer.1._orig_mod."): v for n, v in tensors.items()}

    same(
        loaded(model(change=layer), trained=True),
        load_file(folders("bert", "two") / "model.safetensors"),
    )


def test_files_of_older_versions_are_read(model, folders) -> None:
    def older(tensors: Tensors) -> Tensors:
        named = {
            n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): v
            for n, v in tensors.items()
        }
        return named | {"bert.embeddings.position_ids": torch.arange(40)[None]}

    split = loaded(model(change=older), trained=True)
    same(split, load_file(folders("bert", "two") / "model.safetensors"))
    assert split.notes == ()


def test_shards_are_read_together(folders, tmp_path: Path) -> None:
    saved = load_file(folders("bert", "two") / "model.safetensors")
    tiny.whole_model().save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    same(loaded(tmp_path, trained=True), saved)
    save_file(saved, tmp_path / "model.safetensors")
    assert "expected one set of weights" in refusal(tmp_path)


FAULTS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "renamed": (prefixed("net."), "that fit nothing: net.bert"),
    "a layer more": (
        lambda t: t | {n.replace("r.1.", "r.2."): v for n, v in t.items() if "layer.1." in n},
        "that fit nothing: bert.encoder.layer.2.",
    ),
    "a layer less": (
        lambda t: {n: v for n, v in t.items() if "layer.1." not in n},
        "missing: bert.encoder.layer.1.",
    ),
    "one extra": (lambda t: t | {"extra": torch.zeros(2)}, "that fit nothing: extra at"),
    "no word table": (
        lambda t: {n: v for n, v in t.items() if "word_emb" not in n},
        "missing: bert.embeddings.word_embeddings.weight at",
    ),
    "fewer words": (
        lambda t: {n: v[:-1] if "word_emb" in n else v for n, v in t.items()},
        "of another shape: bert.embeddings.word_embeddings.weight [59, 16] instead of [60, 16]",
    ),
    "twice": (
        lambda t: t | {"_module.classifier.bias": t["classifier.bias"]},
        "got classifier.bias under two names",
    ),
    "half a head": (
        lambda t: {n: v for n, v in t.items() if n != "classifier.bias"},
        "missing: classifier.bias at",
    ),
    "no pooler for its head": (
        lambda t: {n: v for n, v in t.items() if "pooler" not in n},
        "missing: bert.pooler.dense.bias, bert.pooler.dense.weight at",
    ),
    "integers": (
        lambda t: {n: v.to(torch.int8) if "query.weight" in n else v for n, v in t.items()},
        "expected tensors of real numbers, got torch.int8 in",
    ),
    "a NaN": (
        lambda t: {n: v * torch.nan if n == "bert.pooler.dense.bias" else v for n, v in t.items()},
        "expected finite weights, got NaN or infinity in bert.pooler.dense.bias",
    ),
}


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_tensor_without_its_place_is_named_and_refused(model, fault: str, trained: bool) -> None:
    change, expected = FAULTS[fault]
    assert expected in refusal(model(change=change), trained=trained)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_head_is_new_for_a_training_and_missing_for_an_audit(
    tmp_path: Path, architecture: str
) -> None:
    kind = {"bert": BertModel, "roberta": RobertaModel}[architecture]
    whole = tiny.whole_model(architecture, "two")
    base = kind(whole.config, add_pooling_layer=architecture == "roberta")
    base.load_state_dict(getattr(whole, architecture).state_dict(), strict=False)
    base.save_pretrained(tmp_path)
    split = loaded(tmp_path)
    assert split.notes[-1] == "a new head of 2 labels and a new pooler, made up at random"
    saved = {f"{architecture}.{n}": v for n, v in load_file(tmp_path / "model.safetensors").items()}
    same(split, saved, but=f"{architecture}.pooler")
    text = refusal(tmp_path, trained=True)
    assert "missing: " in text and ("pooler" if architecture == "bert" else "out_proj") in text
    masked = loaded(tmp_path, "mlm")
    assert masked.notes[-1] == "a new masked-LM head, made up at random"
    assert "missing" in refusal(tmp_path, "mlm", trained=True)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_head_of_another_number_of_labels_is_a_new_one_in_a_training(
    model, folders, architecture: str
) -> None:
    split = loaded(model(architecture, "three"), "rte")
    assert split.notes == (
        "the saved head is of 3 labels",
        "a new head of 2 labels, made up at random",
    )
    saved = load_file(folders(architecture, "three") / "model.safetensors")
    same(split, saved, but="classifier" if architecture == "bert" else "classifier.out_proj")
    assert split.whole.config.num_labels == 2 == split.head(torch.zeros(1, 3, 16)).shape[1]
    text = refusal(model(architecture, "three"), "rte", trained=True)
    assert "a head of 2 labels (entailment, not_entailment), got a head of 3 labels" in text


def test_the_head_of_another_task_is_left_aside_and_said(tmp_path: Path) -> None:
    config = tiny.whole_model("bert", "mlm-tied").config
    BertForPreTraining(config).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    notes = loaded(tmp_path, "mlm", trained=True).notes
    assert notes == ("left aside, since mlm does not need it: bert.pooler, cls.seq_relationship",)
    assert loaded(tmp_path).notes == (
        "left aside, since sst2 does not need it: cls.predictions, cls.seq_relationship",
        "a new head of 2 labels, made up at random",
    )
    # A tagger's classifier has the shape of one for two labels, and is none.
    BertForTokenClassification(BertConfig(**config.to_diff_dict(), num_labels=2)).save_pretrained(
        tmp_path
    )
    assert loaded(tmp_path).notes == (
        "the saved head is of another task",
        "a new head of 2 labels and a new pooler, made up at random",
    )


SHUFFLED = ("contradiction", "entailment", "neutral")  # of the task's entailment, neutral, ...


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_labels_are_put_into_the_tasks_order_by_name(
    model, folders, architecture: str, trained: bool
) -> None:
    named = {str(number): name for number, name in enumerate(SHUFFLED)}
    split = loaded(model(architecture, "three", id2label=named, label2id={}), "mnli", trained)
    plain = loaded(folders(architecture, "three"), "mnli", trained)
    batch = collate(tiny.encoded("three"), range(6), tiny.PAD)
    order = [SHUFFLED.index(name) for name in TASKS["mnli"].label_names]
    split.whole.eval(), plain.whole.eval()
    assert torch.equal(split.logits(batch), plain.logits(batch)[:, order]) and order != [0, 1, 2]
    assert "labels put into the task's order by name" in split.notes[0] and not plain.notes
    assert split.whole.config.id2label == dict(enumerate(TASKS["mnli"].label_names))


@pytest.mark.parametrize(
    ("saved", "order"),
    [
        (("entailment", "neutral", "contradiction"), (0, 1, 2)),
        (("CONTRADICTION", "Entailment", "neutral "), (1, 2, 0)),
        (("contra", "entail", "neut"), (1, 2, 0)),
        (("LABEL_0", "LABEL_1", "LABEL_2"), (0, 1, 2)),
        (("LABEL_2", "LABEL_0", "LABEL_1"), (1, 2, 0)),
        (("2", "1", "0"), (2, 1, 0)),
        ((), (0, 1, 2)),
        (("entailment", "neutral", "neutral"), None),
        (("entailment", "neutral", "other"), None),
        (("e", "n", "c"), None),
        (("LABEL_1", "LABEL_2", "LABEL_3"), None),
        (("entailment", "neutral"), None),
    ],
)
def test_the_rule_of_labels(saved: tuple[str, ...], order: tuple[int, ...] | None) -> None:
    assert order_of(saved, TASKS["mnli"].label_names) == order


def test_a_name_that_holds_another_is_not_taken_for_it() -> None:
    assert order_of(("not-entailment", "entailment"), TASKS["rte"].label_names) == (1, 0)
    assert order_of(("unacceptable", "acceptable"), TASKS["cola"].label_names) == (0, 1)
    assert order_of(("duplicate", "not duplicate"), TASKS["qqp"].label_names) == (1, 0)


def test_names_of_labels_are_read_from_either_map() -> None:
    assert saved_names({"id2label": {"0": "a", "1": "b"}, "label2id": {"x": 0}}, 2) == ("a", "b")
    assert saved_names({"label2id": {"b": 1, "a": 0}}, 2) == ("a", "b")
    assert saved_names({"id2label": {"0": "a", "2": "b"}}, 2) == saved_names({}, 2) == ()


def test_a_head_of_other_labels_is_refused_in_an_audit_and_new_in_a_training(model) -> None:
    path = model("bert", "two", id2label={"0": "cat", "1": "dog"}, label2id={"cat": 0, "dog": 1})
    text = refusal(path, trained=True)
    assert "a head of 2 labels (negative, positive), got a head of labels cat, dog" in text
    assert loaded(path).notes[0] == "the saved head is of labels cat, dog"
    path = model("bert", "two", problem_type="multi_label_classification")
    assert "problem_type='multi_label_classification'" in refusal(path, trained=True)
    split = loaded(path)
    assert split.notes[0].startswith("the saved head is of problem_type=")
    assert split.whole.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_an_untied_decoder_stays_as_it_was_saved(model, folders, architecture: str) -> None:
    saved = load_file(folders(architecture, "mlm-untied") / "model.safetensors")
    path = model(architecture, "mlm-untied")
    for trained in (True, False):
        split = loaded(path, "mlm", trained, tie_decoder=False)
        same(split, saved)
        decoder, word = split.whole.get_output_embeddings(), split.whole.get_input_embeddings()
        assert not split.tied and not torch.equal(decoder.weight, word.weight)
        assert split.notes == ()
    assert "expected tie_decoder = false" in refusal(path, "mlm")


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_bias_that_is_saved_once_is_the_decoders(model, folders, architecture: str) -> None:
    saved = load_file(folders(architecture, "mlm-untied") / "model.safetensors")
    bias = "cls.predictions.bias" if architecture == "bert" else "lm_head.bias"
    path = model(
        architecture,
        "mlm-untied",
        lambda t: {n: v for n, v in t.items() if not n.endswith("decoder.bias")},
    )
    split = loaded(path, "mlm", trained=True, tie_decoder=False)
    assert torch.equal(split.whole.get_output_embeddings().bias, saved[bias])


def test_a_tied_decoder_is_untied_where_that_is_asked(model, folders) -> None:
    split = loaded(model("bert", "mlm-tied"), "mlm", tie_decoder=False)
    decoder, word = split.whole.get_output_embeddings(), split.whole.get_input_embeddings()
    assert not split.tied and torch.equal(decoder.weight, word.weight)
    assert split.notes == ("the decoder, untied from here on, starts as the word table",)
    path = model("bert", "mlm-tied", tie_word_embeddings=False)
    assert "missing: cls.predictions.decoder.weight" in refusal(
        path, "mlm", trained=True, tie_decoder=False
    )


ASKED: list[dict[str, Any]] = [
    {"position_embedding_type": "relative_key"},
    {"position_embedding_type": "relative_key_query"},
    {"is_decoder": True},
    {"add_cross_attention": True, "is_decoder": True},
    {"add_cross_attention": True},
    {"is_encoder_decoder": True},
    {"chunk_size_feed_forward": 4},
    {"pruned_heads": {"0": [1]}},
    {"per_layer_config": {"0": {"hidden_act": "relu"}}},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    {"embedding_size": 8},
    {"hidden_act": "no_such_thing"},
    {"hidden_act": "xielu"},
    {"num_hidden_layers": 0},
    {"num_hidden_layers": 10**9},
    {"num_attention_heads": 0},
    {"num_attention_heads": 3},
    {"type_vocab_size": 0},
    {"pad_token_id": 60},
    {"pad_token_id": None},
    {"hidden_size": "wide"},
    {"hidden_size": 10**12},
    {"intermediate_size": 0},
    {"vocab_size": 10**12},
    {"vocab_size": None},
    {"hidden_dropout_prob": 1.5},
    {"classifier_dropout": -0.5},
    {"layer_norm_eps": -1.0},
    {"num_labels": 10**9},
]


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "+".join(map(str, asked.items())))
def test_what_the_split_cannot_honour_is_refused_by_name(
    model, asked: dict[str, Any], trained: bool
) -> None:
    text = refusal(model(**asked), trained=trained)
    assert any(name in text for name in asked)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize(
    "asked",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_new"},
        {"layer_norm_eps": 0.1},
        {"classifier_dropout": 0.4},
        {"position_embedding_type": "absolute", "pruned_heads": {}, "chunk_size_feed_forward": 0},
        {"output_attentions": True, "output_hidden_states": True},
        {"gradient_checkpointing": True, "use_cache": False},
    ],
    ids=str,
)
def test_what_the_split_honours_gives_what_transformers_gives(
    model, architecture: str, asked: dict[str, Any]
) -> None:
    path = model(architecture, "two", **asked)
    split = loaded(path, trained=True)
    whole = type(split.whole).from_pretrained(path).eval()
    batch = collate(tiny.encoded("two"), range(6), tiny.PAD)
    expected = whole(batch.input_ids, batch.attention_mask, token_type_ids=batch.token_type_ids)
    split.whole.eval()
    torch.testing.assert_close(split.logits(batch), expected.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_dropout_rate_holds_everywhere(model, architecture: str, rate: float) -> None:
    own = {"classifier_dropout": 0.5, "hidden_dropout_prob": 0.1}
    split = loaded(model(architecture, "two", **own), dropout=rate)
    rates = {m.p for m in split.whole.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {rate}
    kept = loaded(model(architecture, "two", **own))
    assert 0.5 in {m.p for m in kept.whole.modules() if isinstance(m, torch.nn.Dropout)}
    if rate == 0:
        split.whole.train()
        batch = collate(tiny.encoded("two"), range(6), tiny.PAD)
        assert torch.equal(split.logits(batch), split.logits(batch))


def test_an_adapter_is_not_taken_for_a_model(model) -> None:
    path = model()
    (path / "adapter_config.json").write_text("{}")
    assert "expected a whole model, got an adapter" in refusal(path)


def test_what_is_saved_is_read_again_without_a_word(folders, tmp_path: Path) -> None:
    for kind, task in tiny.TASK_OF.items():
        tied = kind != "mlm-untied"
        split = loaded(folders("bert", kind), task, tie_decoder=tied)
        split.whole.save_pretrained(tmp_path / kind)
        again = loaded(tmp_path / kind, task, trained=True, tie_decoder=tied)
        assert replace(again, notes=()).notes == again.notes == ()
        same(again, split.whole.state_dict())
