"""Export: the folder to hand over holds what is listed here, key by key, and nothing else."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from evaluation.auditing.manifest import mismatches
from evaluation.auditing.subject import open_subject
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.errors import InputError
from fedbert.export import WEIGHTS, export
from fedbert.manifest import content_sha256
from fedbert.model_card import REPEATABLE
from fedbert.pooling import FEDBERT_ALONE

TRAINING = """
seed = 7654321
noise = "{noise}"
[model]
source = "tiny"
tokenizer = "generated"
pooling = "{pooling}"
[data]
source = "{source}"
pool_size = 40
evaluation = 4
max_length = 12
clients = 2
hold_out = 0.5
partition = "quantity"
[training]
strategy = "{strategy}"
rounds = 2
local_steps = 1
batch_size = 6
[defence]
name = "d"
{defence}
"""
DP_SGD = 'training = { mechanism = "dp_sgd", clip_norm = 1.0, target_epsilon = 1.0 }'
DEFENCES = {
    "dp-sgd": ("parallel", DP_SGD),
    "none": ("sequential", ""),
    "dp-fedavg": (
        "fedavg",
        'update = { mechanism = "dp_fedavg", clip_norm = 1.0, noise_multiplier = 4.0 }',
    ),
    "gaussian": (
        "parallel", 'smashed = { mechanism = "gaussian", clip_norm = 8.0, target_epsilon = 9.0 }',
    ),
    "labels": ("parallel", 'labels = { mechanism = "randomised_response", epsilon = 1.0 }'),
}  # fmt: skip


def trained(folder: Path, defence: str, noise: str = "secret", pooling: str = "cls") -> Path:
    from fedbert.data.sources import load

    examples = load("sst2", "generated", 40, 4, 0)
    folder.mkdir()
    for split in ("train", "validation"):
        rows = [
            json.dumps({"sentence": text, "label": int(label)})
            for (text,), label in zip(examples[split].texts, examples[split].labels, strict=True)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    strategy, acts = DEFENCES[defence]
    text = TRAINING.format(
        noise=noise, source=folder, strategy=strategy, defence=acts, pooling=pooling
    )
    (folder / "t.toml").write_text(text)
    settings = read_training(folder / "t.toml", pretraining=False)
    run_training(settings, folder / "out", 1, lambda *_: None)
    return folder / "out" / "checkpoint"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("trained") / "private-place", "dp-sgd")


@pytest.fixture(scope="module")
def handed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("handed") / "over"
    before = os.umask(0o022)
    try:
        return export(checkpoint, place).directory
    finally:
        os.umask(before)


def leaves(value: Any, at: str = "") -> set[str]:
    """Return every place of a JSON value; those of a list together."""
    if isinstance(value, dict) and value:
        return set().union(*(leaves(v, f"{at}.{k}" if at else k) for k, v in value.items()))
    if isinstance(value, list) and value:
        return set().union(*(leaves(each, f"{at}[]") for each in value))
    return {at}


MANIFEST = """
config.data.clients config.data.max_length config.data.task
config.model.architecture config.model.cut_layer config.model.dropout
config.model.freeze_embeddings config.model.tie_decoder config.noise
config.training.batch_size config.training.client_parts config.training.clients_per_round
config.training.learning_rate config.training.local_steps config.training.max_grad_norm
config.training.optimizer config.training.optimizer_state config.training.precision
config.training.rounds config.training.strategy config.training.warmup_fraction
config.training.weight_decay
costs[].event.kind costs[].event.noise_multiplier costs[].event.sample_rate costs[].place
costs[].relation costs[].releases costs[].unit
defence.delta defence.name defence.training.clip_norm defence.training.mechanism
defence.training.target_epsilon
format version round launches[][] manifest_sha256
guarantees[].accountant guarantees[].advantage guarantees[].delta guarantees[].epsilon
guarantees[].exclusions[] guarantees[].kind guarantees[].mu guarantees[].mu_delta
guarantees[].reason guarantees[].relation
guarantees[].releases guarantees[].scope guarantees[].sentence guarantees[].tradeoff[][]
guarantees[].tradeoff_basis guarantees[].unit guarantees[].view
provenance.commit provenance.dirty provenance.versions.dp-accounting
provenance.versions.fedbert-privacy provenance.versions.numpy provenance.versions.opacus
provenance.versions.python provenance.versions.torch provenance.versions.transformers
sha256.config.json sha256.model.safetensors sha256.tokenizer.json sha256.tokenizer_config.json
"""
CONFIG = """
add_cross_attention architectures[] attention_probs_dropout_prob bos_token_id classifier_dropout
dtype eos_token_id hidden_act hidden_dropout_prob hidden_size id2label.0 id2label.1
initializer_range intermediate_size is_decoder label2id.negative label2id.positive layer_norm_eps
max_position_embeddings model_type num_attention_heads num_hidden_layers pad_token_id
tie_word_embeddings transformers_version type_vocab_size use_cache vocab_size
"""
TOKENIZER = """
backend cls_token do_lower_case mask_token model_max_length pad_token sep_token strip_accents
tokenize_chinese_chars tokenizer_class unk_token
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("manifest.json", MANIFEST), ("config.json", CONFIG), ("tokenizer_config.json", TOKENIZER)],
)
def test_an_export_says_what_is_listed_and_nothing_else(
    handed: Path, name: str, expected: str
) -> None:
    assert leaves(json.loads((handed / name).read_text())) == set(expected.split())


def test_an_export_is_of_these_files_which_others_may_read(handed: Path) -> None:
    files = {str(p.relative_to(handed)): stat.S_IMODE(p.stat().st_mode) for p in handed.rglob("*")}
    assert files == dict.fromkeys(
        ("README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json",
         "tokenizer_config.json"), 0o644,
    )  # fmt: skip
    tokenizer = json.loads((handed / "tokenizer.json").read_text())
    assert set(tokenizer) == {
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
        "post_processor", "decoder", "model",
    }  # fmt: skip
    with safe_open(handed / "model.safetensors", framework="numpy") as weights:
        assert weights.metadata() == {"format": "pt"}
        names = set(weights.keys())
    model = AutoModelForSequenceClassification.from_pretrained(handed)
    assert names == set(model.state_dict())


def test_the_card_of_an_export_says_what_its_manifest_says(handed: Path) -> None:
    manifest = json.loads((handed / "manifest.json").read_text())
    text = (handed / "README.md").read_text()
    privacy = ModelCard(text, ignore_metadata_errors=False).data.to_dict()["privacy"]
    assert (privacy["noise"], privacy["mechanisms"]) == ("secret", {"training": "dp_sgd"})
    told = {each["view"]: each for each in privacy["claims"]}
    for entry in manifest["guarantees"]:
        own = told[entry["view"]]
        assert own["kind"] == entry["kind"]
        for key in ("unit", "relation", "epsilon", "delta"):
            assert own.get(key) == entry.get(key)
    (handed / "README.md").write_text(text + "\nMore about it.\n")
    open_subject(handed, None)  # which looks at every hash
    (handed / "README.md").write_text(text)


def test_nothing_of_the_place_the_data_or_the_seed_is_in_an_export(
    handed: Path, checkpoint: Path
) -> None:
    """A second look, by what is known to be private: the list above is the first."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    private = [
        "private-place", "7654321", manifest["data_hmac"], *map(repr, manifest["losses"]),
        (checkpoint.parent / "run.secret").read_bytes().hex(),
    ]  # fmt: skip
    told = "".join((handed / name).read_text() for name in os.listdir(handed) if name != WEIGHTS)
    assert [each for each in private if each in told] == []
    assert manifest["config"]["seed"] == 7654321  # the checkpoint itself has to resume


def test_transformers_loads_an_export(handed: Path, checkpoint: Path) -> None:
    model, info = AutoModelForSequenceClassification.from_pretrained(
        handed, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    own = AutoModelForSequenceClassification.from_pretrained(checkpoint / "model")
    assert all((a == b).all() for a, b in zip(model.parameters(), own.parameters(), strict=True))
    assert (
        AutoTokenizer.from_pretrained(handed)("w1 w2")["input_ids"]
        == (AutoTokenizer.from_pretrained(checkpoint / "model")("w1 w2")["input_ids"])
    )


def test_a_head_that_transformers_reads_otherwise_is_said_where_it_is_handed_over(
    tmp_path: Path, checkpoint: Path, here: Any
) -> None:
    """RoBERTa's class would read the first token, and say nothing."""
    mean = trained(tmp_path / "mean", "none", pooling="mean")
    for source, said in ((mean, True), (checkpoint, False)):
        settings = read_training(source.parent.parent / "t.toml", pretraining=False)
        lines = run_training(settings, source.parent, 1, lambda *_: None)
        done = here("export", source, "--out", tmp_path / f"over-{said}")
        assert done.returncode == 0, done.stderr
        for told in (" ".join(lines), " ".join(done.stdout.split())):
            assert (FEDBERT_ALONE in told) is said
    assert not Config(ModelConfig(pooling="mean"), DataConfig(task="mlm")).head_reads_mean


METRIC = 'smashed = { mechanism = "metric", eta = 4.0 }'


def test_a_metric_claim_by_repeatable_noise_is_handed_over_with_a_warning(
    tmp_path: Path, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEFENCES, "metric", ("parallel", METRIC))
    for noise in ("repeatable", "secret"):
        own = trained(tmp_path / noise, "metric", noise)
        done = here("export", own, "--out", tmp_path / f"over-{noise}")
        assert done.returncode == 0, done.stderr
        assert (REPEATABLE in " ".join(done.stdout.split())) is (noise == "repeatable")


@pytest.mark.parametrize("defence", DEFENCES)
def test_an_export_is_audited_as_far_as_it_can_be(
    tmp_path: Path, checkpoint: Path, defence: str
) -> None:
    own = checkpoint if defence == "dp-sgd" else trained(tmp_path / "t", defence)
    place = export(own, tmp_path / "over").directory
    subject = open_subject(place, None)
    assert subject.unknown == "an export does not say who was trained on"
    assert mismatches(subject) == []
    manifest = json.loads((place / "manifest.json").read_text())
    claims = [each for each in manifest["guarantees"] if each["kind"] == "guarantee"]
    assert bool(claims) is (defence != "none")
    for claim in claims:
        claim["epsilon"] /= 2
    manifest["manifest_sha256"] = content_sha256(manifest)
    (place / "manifest.json").write_text(json.dumps(manifest))
    assert bool(mismatches(open_subject(place, None))) is bool(claims)


def test_what_cannot_be_exported_is_refused_in_a_line(
    tmp_path: Path, checkpoint: Path, handed: Path, here: Any
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("x")
    for source, place, words in (
        (checkpoint, tmp_path / "full", "a new or an empty folder"),
        (checkpoint, checkpoint / "inside", "outside the checkpoint"),
        (handed, tmp_path / "again", "an export already"),
        (tmp_path / "nowhere", tmp_path / "again", "expected a checkpoint with manifest.json"),
        (checkpoint.parent, tmp_path / "full", "a new or an empty folder"),
    ):
        done = here("export", source, "--out", place)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["full"] and os.listdir(tmp_path / "full") == ["letter"]
    with pytest.raises(InputError, match="expected a checkpoint, got an export"):
        settings = read_training(checkpoint.parent.parent / "t.toml", pretraining=False)
        (tmp_path / "out").mkdir()
        export(checkpoint, tmp_path / "out" / "checkpoint")
        run_training(settings, tmp_path / "out", 1, lambda *_: None)
