"""Inert directories of models and tokenizers: no setting names code, or files elsewhere.

What transformers would be told by a JSON file is looked for in the parsed file, at any depth and
also where a key stands twice, before transformers reads it.
"""

import json
import re
from pathlib import Path
from typing import Any

from fedbert.errors import InputError
from fedbert.paths import refuse_links_out, within

CODE = ("auto_map", "custom_pipelines", "custom_generate", "kernel_config")
"""Keys that name Python to import, from the directory or the hub."""
KERNELS = ("attn_implementation", "experts_implementation")
"""Keys that name a way to compute; with a slash, code on the hub."""
FILES = ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "transformers_weights")
"""Keys that name a file to open."""
LISTS = ("weight_map", "fast_tokenizer_files")
"""Keys that name several."""
TOKENIZER = re.compile(r"\w*(Tokenizer|TokenizerFast|Backend)")
ADAPTER = "adapter_config.json"


def refuse_code_in(source: str | Path) -> None:
    """Refuse a local directory that could make transformers run code or open what lies elsewhere.

    A name on the hub is no directory: transformers is told there to trust no code.

    Raises:
        InputError: naming file and key.
    """
    directory = Path(source)
    if not directory.is_dir():
        return
    refuse_links_out(directory)
    for path in sorted(directory.rglob("*")):
        if path.name == ADAPTER:
            raise InputError(f"expected a whole model, got an adapter of another in {path}")
        if path.suffix.lower() == ".json" and path.is_file():
            _check(path)


def _check(path: Path) -> None:
    """Refuse a JSON file with a key that names code, or a file outside its directory."""

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, value in pairs:
            if key in CODE and type(value) is not int:  # a number: a token of a vocabulary
                raise InputError(f"expected a model without code of its own, got {key} in {path}")
            if isinstance(value, str) and _names_code(key, value):
                raise InputError(f"expected a class of transformers, got {key}={value!r} in {path}")
            for name in _named_files(key, value):
                if not within(path.parent, path.parent / name):
                    raise InputError(
                        f"expected files beside {path.name}, got {key} naming {name!r} in {path}"
                    )
        return dict(pairs)

    try:
        json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=look)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"expected JSON, got one nested too deep in {path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"expected JSON, got {error} in {path}") from None


def _names_code(key: str, value: str) -> bool:
    if key == "tokenizer_class":
        return not TOKENIZER.fullmatch(value)
    return key.removeprefix("_") in KERNELS and "/" in value


def _named_files(key: str, value: Any) -> list[str]:
    """Return the names of files that a setting tells transformers to open."""
    if key in FILES:
        names = [value]
    elif key in LISTS and isinstance(value, dict | list):
        names = list(value.values()) if isinstance(value, dict) else value
    else:
        names = []
    return [name for name in names if isinstance(name, str)]
