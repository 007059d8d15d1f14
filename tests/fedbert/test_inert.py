"""Inert directories: no setting names code or files elsewhere, and no link leads out."""

import json
import os
from pathlib import Path

import pytest
import transformers

from fedbert import model
from fedbert.config import ModelConfig
from fedbert.errors import InputError
from fedbert.inert import refuse_code_in
from fedbert.model import generated_tokenizer, load_model, load_tokenizer
from fedbert.paths import refuse_links_out, within
from fedbert.tasks import TASKS

CONFIG = {"model_type": "bert", "vocab_size": 5}
EVIL = '{"auto_map": {"AutoModel": "evil.Evil"}}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    words = {word: number for number, word in enumerate(["a", "auto_map", "vocab_file"])}
    (folder / "vocab.json").write_text(json.dumps(words))  # a vocabulary may hold any word
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizerFast", "special_tokens_map_file": "/home/x"})
    )
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        refuse_code_in(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_ordinary_directory_and_a_name_on_the_hub_pass(directory: Path) -> None:
    refuse_code_in(directory)
    refuse_code_in("bert-base-uncased")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "processor_config.json",
                                  "deep/er/config.json", "CONFIG.JSON"])  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        r'{"\u0061uto_map": {}}',
        '{"auto_map": null}',
        EVIL.replace("}}", '}, "auto_map": 1}'),  # the last of two alone would pass
        '{"text_config": {"inner": [[' + EVIL + "]]}}",
        '{"custom_pipelines": {"p": {"impl": "evil.P"}}}',
        '{"custom_generate": "me/evil"}',
        '{"_attn_implementation": "me/evil"}',
        '{"tokenizer_class": "AutoModel"}',
        "[" * 100_000,
        "{",
        "\ufeff{}",
    ],
    ids=range(12),
)  # fmt: skip
def test_whatever_names_code_is_refused(name: str, text: str, directory: Path) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert str(path) in refusal(directory)


def test_the_bytes_of_a_key_in_a_value_are_no_key(directory: Path) -> None:
    (directory / "notes.json").write_text('{"what": "auto_map", "more": ["custom_pipelines"]}')
    refuse_code_in(directory)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tokenizer_config.json", {"vocab_file": "/etc/hostname"}),
        ("tokenizer_config.json", {"merges_file": "../outside"}),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.json", "../outside"]}),
        ("model.safetensors.index.json", {"weight_map": {"a": "a.safetensors", "b": "../b"}}),
        ("config.json", CONFIG | {"transformers_weights": "../b"}),
    ],
)
def test_a_setting_that_names_a_file_elsewhere_is_refused(
    name: str, settings: dict[str, object], directory: Path
) -> None:
    (directory / name).write_text(json.dumps(settings))
    assert "expected files beside" in refusal(directory)


def test_an_adapter_of_another_model_is_refused(directory: Path) -> None:
    (directory / "adapter_config.json").write_text("{}")
    assert "an adapter of another" in refusal(directory)


def test_links_out_are_refused_by_name_and_links_within_are_not(
    directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.txt").write_text("private")
    (directory / "inner.txt").symlink_to("vocab.json")
    refuse_links_out(directory)
    for name, target in (("vocab.txt", tmp_path / "outside.txt"), ("deep", tmp_path),
                         ("broken", tmp_path / "nowhere"), ("circle", "circle")):  # fmt: skip
        link = directory / name
        link.symlink_to(target)
        assert f"a link out of it: {link}" in refusal(directory) or name == "circle"
        link.unlink()
    via = tmp_path / "via"
    via.symlink_to(directory)  # what the user names may be a link itself
    refuse_links_out(via)


def test_a_snapshot_of_the_cache_has_its_blobs(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    refuse_links_out(snapshot)
    (tmp_path / "other").write_text("private")
    (snapshot / "vocab.txt").symlink_to("../../other")
    assert "a link out of it" in refusal(snapshot)


def test_a_pipe_is_no_file_and_is_not_waited_for(directory: Path) -> None:
    os.mkfifo(directory / "generation_config.json")
    assert "expected files and directories, got neither" in refusal(directory)


def test_within_follows_links(tmp_path: Path) -> None:
    inner = tmp_path / "a"
    inner.mkdir()
    (inner / "up").symlink_to(tmp_path)
    (inner / "circle").symlink_to("circle")
    assert within(inner, inner / "new") and within(inner, inner)
    assert not within(inner, inner / "up" / "b") and not within(inner, inner / "circle" / "b")
    assert not within(inner, tmp_path / "ab") and not within(inner, Path("/etc"))


def test_transformers_is_told_to_trust_nothing_and_asked_after_the_look(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []

    def recorder(name: str):
        def from_pretrained(source: str, **named: object) -> object:
            asked.append((name, named.get("trust_remote_code")))
            if name == "AutoConfig":
                return transformers.BertConfig(**CONFIG)
            raise OSError("recorded")

        return type(name, (), {"from_pretrained": staticmethod(from_pretrained)})

    kinds = ("AutoConfig", "AutoTokenizer")  # models are made by class, from tensors read by us
    for name in kinds:
        monkeypatch.setattr(model, name, recorder(name))

    def load_all(source: str) -> None:
        config = ModelConfig(source)
        with pytest.raises(InputError):
            load_tokenizer(config)
        for task in ("sst2", "mlm"):
            with pytest.raises(InputError):
                load_model(config, TASKS[task], generated_tokenizer(), 0)

    load_all(str(directory))
    load_all("a-name/on-the-hub")
    assert {name for name, _ in asked} == set(kinds) and {trust for _, trust in asked} == {False}
    asked.clear()
    (directory / "config.json").write_text(EVIL)
    load_all(str(directory))
    assert asked == []
