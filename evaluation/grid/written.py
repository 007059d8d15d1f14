"""TOML of a grid that was made here: what a search tried, as a file that `privacy-utility` runs."""

import json
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(values: Mapping[str, Any]) -> str:
    """Return parsed TOML as text again: plain values first, then tables, then lists of tables.

    >>> toml({"data": {"source": "x"}, "seeds": [0, 1], "defences": [{"name": "none"}]})
    'seeds = [0, 1]\\n\\n[data]\\nsource = "x"\\n\\n[[defences]]\\nname = "none"\\n'
    """
    plain = [key for key, each in values.items() if not _is_table(each) and not _are_tables(each)]
    lines = [_pair(key, values[key]) for key in plain]
    for key, each in values.items():
        if _is_table(each):
            lines += ["", f"[{_key(key)}]", *(_pair(*item) for item in each.items())]
        elif _are_tables(each):
            for table in each:
                lines += ["", f"[[{_key(key)}]]", *(_pair(*item) for item in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _pair(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """A text as TOML has it: JSON's form, without the control character that JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(_pair(*item) for item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)
