"""A tokenizer that does not fit its model, its task or the text is refused, or noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import Encoded, encode
from fedbert.data.examples import Examples
from fedbert.data.synthetic import WORDS
from fedbert.errors import InputError
from fedbert.model import (
    generated_tokenizer,
    load_model,
    load_tokenizer,
    other_numbers,
    vocabulary_of,
)
from fedbert.prepare import prepare, typed
from fedbert.tasks import TASKS
from fedbert.tokenizer_checks import check_tokenizer, doubts, unknown_words
from fedbert.training_settings import TrainingConfig
from tests.fedbert import tiny

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert(words: list[str], lower: bool = True) -> BertTokenizer:
    vocab = {word: number for number, word in enumerate([*SPECIAL, *words])}
    return BertTokenizer(vocab=vocab, do_lower_case=lower)


def told(tokenizer: Any, *texts: str, named: str = "model") -> list[str]:
    task = TASKS["sst2"]
    examples = Examples(task, tuple((t,) for t in texts), np.zeros(len(texts), np.int64), "here")
    return unknown_words([encode(examples, tokenizer, 32)], tokenizer, named)


CASED = ["The", "Film", "Was", "Good", "Bad", "Paris", "film", "was"]


def test_lower_casing_a_cased_vocabulary_is_warned_of_with_the_share() -> None:
    (warning,) = told(bert(CASED), "The Film Was Good Paris")
    assert "3 of 5 words (60%) are [UNK]" in warning
    assert "it lower-cases, and 6 words of its vocabulary hold capital letters" in warning
    assert told(bert(CASED, lower=False), "The Film Was Good Paris") == []
    (warning,) = told(bert(CASED), "film was film")  # the share is 0, the fault is the same
    assert "0 of 3 words (0%)" in warning and "lower-cases" in warning
    assert told(bert(["[MARK]", "w1", "w2"]), "w1 w2 w1") == []  # a mark is no word
    few = bert([*CASED[:1], *(f"w{i}" for i in range(200))])  # one odd capital is no cased one
    assert told(few, "w1 w2 w3") == []


def test_text_of_unknown_words_is_warned_of_with_the_share() -> None:
    plain = bert(["good", "film", "##s"])
    assert told(plain, "good film", "good films good film good films good film good") == []
    (warning,) = told(plain, "good films", "bad film")
    assert warning == "1 of 4 words (25%) are [UNK] to the tokenizer"
    assert told(plain, "bad" + " good" * 20) == [] and told(plain, "bad" + " good" * 19) != []
    (warning,) = told(generated_tokenizer(), "people told me things", named="generated")
    assert "(100%)" in warning and "'generated' knows the words of the generated" in warning
    assert told(generated_tokenizer(), " ".join(WORDS[:20]), named="generated") == []


def test_no_unknown_token_no_warning() -> None:
    tokenizer = bert(["good"])
    tokenizer.unk_token = None
    assert unknown_words([], tokenizer) == []


def training(folder: Path, tokenizer: str = "generated", task: str = "sst2") -> Config:
    """Return the settings of a training on a text of one's own."""
    row = {"sentence": "Somebody wrote a review here", "text": "Somebody wrote it", "label": 1}
    for name in ("train", "validation"):
        rows = [json.dumps(row | {"label": n % 2}) for n in range(8)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    return Config(
        ModelConfig("tiny", tokenizer=tokenizer),
        DataConfig(task=task, source=str(folder), max_length=16, clients=1),
        TrainingConfig(strategy="centralised"),
    )


def test_ones_own_text_under_the_generated_words_is_warned_of(tmp_path: Path) -> None:
    (doubt,) = prepare(training(tmp_path)).doubts
    assert "are [UNK] to the tokenizer: 'generated' knows" in doubt
    generated = training(tmp_path)
    data = replace(generated.data, source="generated", pool_size=20, evaluation=10)
    assert prepare(replace(generated, data=data)).doubts == ()


def whitespace_tokenizer(folder: Path, mask: bool) -> Path:
    """Write a tokenizer without post-processing, with or without a mask token."""
    words = {word: number for number, word in enumerate([*SPECIAL[:4], "review", "[MASK]"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    named |= {"mask_token": "[MASK]"} if mask else {}
    PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(folder)
    return folder


def test_a_tokenizer_without_a_mask_token_is_refused_for_masked_lm_alone(tmp_path: Path) -> None:
    tokenizer = str(whitespace_tokenizer(tmp_path / "t", mask=False))
    with pytest.raises(InputError, match="expected a mask_token for task 'mlm', got none in token"):
        prepare(training(tmp_path, tokenizer, "mlm"))
    made = prepare(training(tmp_path, tokenizer))
    assert any("puts no [CLS] before a text" in doubt for doubt in made.doubts)


@pytest.mark.parametrize("name", ["pad_token", "cls_token", "sep_token"])
def test_tokens_that_every_task_needs_are_asked_for(name: str) -> None:
    tokenizer = tiny.tokenizer()
    setattr(tokenizer, name, None)
    with pytest.raises(InputError, match=f"expected a {name} for"):
        check_tokenizer(tokenizer, ModelConfig("tiny"), TASKS["sst2"])


def test_a_model_without_its_tokenizers_files_is_refused(tmp_path: Path) -> None:
    tiny.whole_model(pad=0).save_pretrained(tmp_path)
    config = ModelConfig(str(tmp_path))
    with pytest.raises(InputError, match="got special tokens alone from tokenizer='model'"):
        check_tokenizer(load_tokenizer(config), config, TASKS["sst2"])


def test_numbers_beyond_the_word_table_are_refused_however_few_the_tokens() -> None:
    tokenizer = BertTokenizer(vocab={w: i for i, w in enumerate(SPECIAL)} | {"far": 60})
    settings = tiny.whole_model(pad=0).config
    with pytest.raises(InputError, match=r"of at most 60 tokens .* with 61"):
        check_tokenizer(tokenizer, ModelConfig("tiny"), TASKS["sst2"], settings)


def test_a_tokenizer_whose_file_is_broken_or_ambiguous_is_refused(tmp_path: Path) -> None:
    tiny.tokenizer().save_pretrained(tmp_path)
    config, file = ModelConfig("tiny", tokenizer=str(tmp_path)), tmp_path / "tokenizer.json"
    saved = json.loads(file.read_text())
    saved["model"]["vocab"]["w3"] = saved["model"]["vocab"]["w4"]
    file.write_text(json.dumps(saved))
    with pytest.raises(InputError, match="a number for every token, got two tokens of one"):
        check_tokenizer(load_tokenizer(config), config, TASKS["sst2"])
    file.write_text(json.dumps(saved | {"post_processor": "x"}))
    with pytest.raises(InputError, match="expected a tokenizer at source="):
        load_tokenizer(config)


def test_numbers_with_holes_between_are_counted_as_they_are() -> None:
    tokenizer = BertTokenizer(vocab={w: i for i, w in enumerate(SPECIAL)} | {"far": 60})
    assert vocabulary_of(tokenizer).size == 61
    fresh = load_model(ModelConfig("tiny"), TASKS["sst2"], tokenizer, 0)
    assert fresh.whole.config.vocab_size == 61
    assert told(tokenizer, "far far") == [] and "1 of 2 words" in told(tokenizer, "far off")[0]


def test_many_rows_for_few_tokens_are_noticed() -> None:
    assert doubts(tiny.tokenizer(), tiny.VOCAB + 128) == []
    (doubt,) = doubts(tiny.tokenizer(), tiny.VOCAB + 129)
    assert f"{tiny.VOCAB} tokens and the model {tiny.VOCAB + 129} rows" in doubt


def test_a_tokenizer_that_numbers_words_otherwise_is_noticed(tmp_path: Path) -> None:
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    words = tiny.tokenizer().convert_ids_to_tokens(range(tiny.VOCAB))
    words[10], words[20] = words[20], words[10]
    other = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    other.save_pretrained(tmp_path / "other")
    for folder, count in (("other", 2), ("model", 0)):
        config = ModelConfig(str(tmp_path / "model"), tokenizer=str(tmp_path / folder))
        found = other_numbers(config, load_tokenizer(config))
        assert len(found) == bool(count) and all(f"{count} of 60 tokens" in each for each in found)
    fresh = ModelConfig("tiny", tokenizer=str(tmp_path / "other"))
    assert other_numbers(fresh, other) == []


def pairs() -> Encoded:
    task = TASKS["mnli"]
    rows = Examples(task, (("good film", "film"),) * 3, np.zeros(3, np.int64), "here")
    return encode(rows, bert(["good", "film"]), 16)


def test_a_model_of_one_token_type_reads_zeros_for_pairs() -> None:
    one = tiny.whole_model("roberta").config
    assert pairs().token_types.any()
    assert typed(pairs(), one).token_types.any()
    one.type_vocab_size = 1
    assert not typed(pairs(), one).token_types.any()
    assert (typed(pairs(), one).tokens == pairs().tokens).all()


def test_token_types_beyond_the_models_are_refused() -> None:
    encoded = replace(pairs(), token_types=pairs().token_types * 2)
    with pytest.raises(InputError, match=r"expected token types below 2, .*got 2"):
        typed(encoded, tiny.whole_model().config)


def test_a_roberta_of_one_token_type_is_prepared_for_pairs(tmp_path: Path) -> None:
    whole = tiny.whole_model("roberta", "three", pad=0)
    settings = whole.config
    settings.type_vocab_size = 1
    settings.vocab_size = len(WORDS) + 5
    type(whole)(settings).save_pretrained(tmp_path)
    generated_tokenizer().save_pretrained(tmp_path)
    config = Config(
        ModelConfig(str(tmp_path)),
        DataConfig("mnli", "generated", pool_size=12, evaluation=6, max_length=32, clients=1),
        TrainingConfig(strategy="centralised"),
    )
    made = prepare(config)
    batch = made.clients[0].batch(0)
    assert not batch.token_type_ids.any()
    assert made.split.logits(batch).isfinite().all()
    assert made.doubts == () and made.split.notes == ()
