"""Export of a checkpoint: the folder to hand over, of what is named here and of nothing else.

DIR/model.safetensors, config.json, tokenizer...   as transformers' from_pretrained loads
DIR/message.safetensors                            projection and head, of a training by one message
DIR/manifest.json                                  how it was trained and what is claimed of it
DIR/README.md                                      the same as a model card, which may be added to

What a training leaves besides is not covered by any noise: who was trained on, a hash of the data
(which alone settles which of two data sets it was), losses, clip shares, label counts, the
partition, the optimiser's moments, the seed, paths. Whatever later versions add stays out, too,
until it is named here.
"""

import json
from pathlib import Path

from fedbert.checkpoint import Checkpoint, read
from fedbert.disk.writer import sweep, whole_folder
from fedbert.errors import InputError
from fedbert.manifest import as_text, exported, hashes_of, refuse_faulty
from fedbert.model_card import FILE as CARD
from fedbert.model_card import card_of
from fedbert.one_message.files import MESSAGE
from fedbert.shown import chosen, shown

WEIGHTS = "model.safetensors"
WHOLE = (WEIGHTS, MESSAGE, "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
"""Files that go over as they are: weights, and the words of the tokenizer."""
MODEL = (
    "add_cross_attention", "architectures", "attention_probs_dropout_prob", "bos_token_id",
    "classifier_dropout", "classifier_pooling", "dtype", "eos_token_id", "hidden_act",
    "hidden_dropout_prob", "hidden_size", "id2label", "initializer_range", "intermediate_size",
    "is_decoder", "label2id", "layer_norm_eps", "max_position_embeddings",
    "model_type", "num_attention_heads", "num_hidden_layers",
    "pad_token_id", "problem_type", "tie_word_embeddings", "transformers_version",
    "type_vocab_size", "use_cache", "vocab_size",
)  # fmt: skip
TOKENIZER = (
    "add_prefix_space", "added_tokens_decoder", "backend", "bos_token",
    "clean_up_tokenization_spaces", "cls_token", "do_lower_case", "eos_token", "errors",
    "mask_token", "model_max_length", "pad_token", "padding_side", "sep_token", "strip_accents",
    "tokenize_chinese_chars", "tokenizer_class", "trim_offsets", "truncation_side", "unk_token",
)  # fmt: skip
FILTERED = {"config.json": MODEL, "tokenizer_config.json": TOKENIZER}
"""Files of settings, and the keys of them that go over."""


def export(checkpoint: Path, out: Path) -> Checkpoint:
    """Write what of a checkpoint is to be handed over, and return it, read again.

    Raises:
        InputError: for what is no checkpoint, or a place that holds something already.
    """
    found, out = read(checkpoint), out.resolve()
    if exported(found.manifest):
        raise InputError(f"expected a checkpoint, got an export already in {checkpoint}")
    refuse_faulty(found.manifest, checkpoint)
    sweep(out.parent)
    if out.is_relative_to(checkpoint.resolve()):
        raise InputError(f"expected a folder outside the checkpoint, got --out {out}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"expected a new or an empty folder, got --out {out}")
    if not (found.model / WEIGHTS).is_file():
        raise InputError(f"expected {WEIGHTS}, got none in {found.model}")
    with whole_folder(out, shared=True) as draft:
        for name in WHOLE:
            if (found.model / name).is_file():
                (draft / name).write_bytes((found.model / name).read_bytes())
        for name, keys in FILTERED.items():
            if (found.model / name).is_file():
                settings = chosen(json.loads((found.model / name).read_text("utf-8")), keys)
                text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
                (draft / name).write_text(text, encoding="utf-8")
        manifest = shown(found.manifest, hashes_of(draft))
        (draft / "manifest.json").write_text(as_text(manifest))
        (draft / CARD).write_text(card_of(manifest), encoding="utf-8")
    return read(out)
