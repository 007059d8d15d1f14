"""Model settings (config.json): read; what they ask for and the split cannot honour is refused."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

from fedbert.errors import InputError, nearest
from fedbert.setting_types import LAYERS

HONOURED: dict[str, tuple[object, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "chunk_size_feed_forward": (0,),
    "pruned_heads": ({},),
    "per_layer_config": ({},),
    "quantization_config": (),
}
"""Settings by the values that the split computes (null always): any other is refused by name."""

LABELS = 10_000
PROBLEMS = {"regression": "regression", "classification": "single_label_classification"}
"""What transformers calls the loss of a kind of task."""


def raw_settings(source: str) -> dict[str, Any]:
    """Return a config.json as it stands, of a directory or a hub name.

    Raises:
        InputError: for so many labels that transformers would take minutes to name them.
    """
    found: dict[str, Any] = PreTrainedConfig.get_config_dict(source)[0]
    check_labels(found, source)
    return found


def check_labels(raw: Mapping[str, Any], source: str) -> None:
    """Raise InputError for a number of labels that is none."""
    number = raw.get("num_labels")
    if number is not None and (not isinstance(number, int) or not 0 <= number <= LABELS):
        raise InputError(
            f"expected 0 <= num_labels <= {LABELS}, got num_labels={number!r} "
            f"in the config.json of source={source!r}"
        )


def check_settings(raw: Mapping[str, Any], settings: Any, source: str) -> None:
    """Refuse what a config.json asks for and the split would not compute.

    Raises:
        InputError: naming the setting, its value and what would be honoured.
    """
    where = f"in the config.json of source={source!r}"
    for name, honoured in HONOURED.items():
        value = raw.get(name)
        if value is not None and value not in honoured:
            allowed = " or ".join([*(repr(each) for each in honoured), "none"])
            raise InputError(f"expected {name} {allowed}, got {name}={value!r} {where}")
    if raw.get("embedding_size") not in (None, settings.hidden_size):
        raise InputError(
            f"expected embedding_size of hidden_size={settings.hidden_size}, "
            f"got embedding_size={raw['embedding_size']!r} {where}"
        )
    act = settings.hidden_act
    if act not in ACT2FN or any(True for _ in _activation(act).parameters()):
        raise InputError(
            f"expected an activation without parameters that transformers knows, "
            f"got hidden_act={act!r} {where}{nearest(act, ACT2FN)}"
        )
    for name, least, most in (
        ("vocab_size", 1, 10_000_000),
        ("hidden_size", 1, 100_000),
        ("intermediate_size", 1, 1_000_000),
        ("num_hidden_layers", 1, LAYERS),
        ("num_attention_heads", 1, settings.hidden_size),
        ("type_vocab_size", 1, 1_000),
        ("pad_token_id", 0, settings.vocab_size - 1),
        ("max_position_embeddings", 4, 1_000_000),
    ):
        value = getattr(settings, name)
        if not isinstance(value, int) or not least <= value <= most:
            raise InputError(f"expected {least} <= {name} <= {most}, got {name}={value!r} {where}")
    if settings.hidden_size % settings.num_attention_heads:
        raise InputError(
            f"expected num_attention_heads that divide hidden_size={settings.hidden_size}, "
            f"got num_attention_heads={settings.num_attention_heads} {where}"
        )
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
        rate = getattr(settings, name)
        if rate is not None and not 0 <= rate < 1:
            raise InputError(f"expected 0 <= {name} < 1, got {name}={rate!r} {where}")
    if not 0 < settings.layer_norm_eps < 1:
        value = settings.layer_norm_eps
        raise InputError(f"expected 0 < layer_norm_eps < 1, got layer_norm_eps={value!r} {where}")


def _activation(name: str) -> Any:
    return ACT2FN[name]


def is_tied(raw: Mapping[str, Any]) -> bool:
    """Return whether a config.json says that the masked-LM decoder is the word table."""
    return bool(raw.get("tie_word_embeddings", True))


def has_head(raw: Mapping[str, Any], kind: str) -> bool | None:
    """Return whether a config.json names the head of a kind of task; None where it names none."""
    wanted = "ForMaskedLM" if kind == "mlm" else "ForSequenceClassification"
    heads = raw.get("architectures")
    if not isinstance(heads, list) or not heads:
        return None
    also = ("ForPreTraining",) if kind == "mlm" else ()
    return any(str(name).endswith((wanted, *also)) for name in heads)


def set_dropout(settings: Any, rate: float) -> None:
    """Set every dropout rate of a model, its head's too."""
    settings.hidden_dropout_prob = rate
    settings.attention_probs_dropout_prob = rate
    settings.classifier_dropout = rate
