"""Tensor files of a model: read whole, each tensor under the name that transformers has for it."""

from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file
from transformers.utils.hub import get_checkpoint_shard_files

from fedbert.errors import InputError

WRAPPERS = {
    "_module": "Opacus",
    "module": "DataParallel",
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
"""Parts of names that wrappers of a model put there, and whose they are."""

LEGACY = {"gamma": "weight", "beta": "bias"}
BASE = ("embeddings", "encoder", "pooler")
Tensors = dict[str, Tensor]


def read_tensors(source: str) -> Tensors:
    """Return all tensors of a model's safetensors, from a directory or the hub.

    Raises:
        InputError: for an adapter instead of a model, or two sets of weights.
        OSError, ValueError, SafetensorError: for no such files, or broken ones.
    """
    if cached_file(source, "adapter_config.json", _raise_exceptions_for_missing_entries=False):
        raise InputError(f"expected a whole model, got an adapter at source={source!r}: merge it")
    single = cached_file(source, SAFE_WEIGHTS_NAME, _raise_exceptions_for_missing_entries=False)
    if single is not None and (Path(source) / SAFE_WEIGHTS_INDEX_NAME).is_file():
        raise InputError(
            f"expected one set of weights, got {SAFE_WEIGHTS_NAME} and {SAFE_WEIGHTS_INDEX_NAME} "
            f"at source={source!r}"
        )
    if single is not None:
        return dict(load_file(single))
    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME)
    shards, _ = get_checkpoint_shard_files(source, index)
    found: Tensors = {}
    for shard in shards:
        if Path(shard).parent != Path(index).parent:
            raise InputError(f"expected shards beside their index, got {shard}")
        own = load_file(shard)
        if twice := found.keys() & own.keys():
            raise InputError(f"expected every tensor once, got {some(twice)} twice in {shard}")
        found |= own
    return found


def plain_names(tensors: Tensors, architecture: str, source: str) -> tuple[Tensors, list[str]]:
    """Return tensors by the names that transformers gives them today, and what was stripped.

    Raises:
        InputError: where two tensors are called the same then.
    """
    found: Tensors = {}
    stripped: dict[str, None] = {}
    for name, value in tensors.items():
        parts = name.split(".")
        stripped |= {part: None for part in parts if part in WRAPPERS}
        parts = [part for part in parts if part not in WRAPPERS]
        if parts[-1:] == ["position_ids"]:  # a buffer that counts: older versions saved it
            continue
        if "LayerNorm" in parts:
            parts[-1] = LEGACY.get(parts[-1], parts[-1])
        if parts and parts[0] in BASE:  # saved without its head
            parts.insert(0, architecture)
        plain = ".".join(parts)
        if plain in found:
            raise InputError(
                f"expected every tensor once, got {plain} under two names at source={source!r}"
            )
        found[plain] = value
    words = ", ".join(f"{part}. ({WRAPPERS[part]})" for part in stripped)
    return found, [f"names of tensors stripped of {words}"] if stripped else []


def some(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are.

    >>> some({"d", "c", "b", "a"})
    'a, b, c and 1 more'
    """
    ordered = sorted(names)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return ", ".join(ordered[:3]) + more
