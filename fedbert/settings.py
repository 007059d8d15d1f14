"""Settings classes: frozen values that check their fields, and say in one line what is wrong.

pydantic checks. What it finds is worded here, once for files and for construction in Python.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, is_dataclass
from functools import cache, wraps
from typing import Annotated, Any, TypeVar, cast, dataclass_transform, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from fedbert.errors import InputError, nearest, shown, unknown_key

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
BOUNDS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}
LOW, HIGH = (("<=", "ge"), ("<", "gt")), (("<=", "le"), ("<", "lt"))
WORDS = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list that is not empty",
    "dict_type": "a table of settings",
    "dataclass_type": "a table of settings",
    "path_type": "a path",
}
"""What is expected, by pydantic's kind of error."""

Steps = tuple[int | str, ...]
T = TypeVar("T")


def refused(expected: str, names: Iterable[str] = ()) -> PydanticCustomError:
    """Return what a validator raises: "expected ...", and the names of which one was meant."""
    return PydanticCustomError("house", "{expected}", {"expected": expected, "names": [*names]})


def one_of(names: Iterable[str]) -> AfterValidator:
    """Return the check that a text is one of these names, which are known at run time alone."""
    known = tuple(names)

    def check(value: str) -> str:
        if value not in known:
            raise refused(f"one of {', '.join(known)}", known)
        return value

    return AfterValidator(check)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a list of plain values or names; one with a value twice is refused."""
    seen: set[Any] = set()
    for value in values:
        key = (isinstance(value, bool), value)
        if key in seen:
            raise refused(f"different values ({_short(value)} comes twice)")
        seen.add(key)
    return values


Distinct = AfterValidator(distinct)
"""The check that no value of a list comes twice."""


def plain(value: Any) -> Any:
    """Return a text, a finite number or a bool; anything else is refused."""
    finite = not isinstance(value, float) or abs(value) < float("inf")
    if not isinstance(value, str | int | float) or not finite:
        raise refused("a finite value")
    return value


Plain = Annotated[Any, AfterValidator(plain)]
"""A text, a finite number or a bool, where only a class named elsewhere knows which."""


def plain_or_list(value: Any) -> Any:
    """Return what is plain, or a list of what is."""
    return [plain(each) for each in value] if isinstance(value, list) else plain(value)


def plain_or_tables(value: Any) -> Any:
    """Return what is plain, or a list of tables of what is."""
    if not isinstance(value, list):
        return plain(value)
    if not all(isinstance(each, dict) for each in value):
        raise refused("a list of tables")
    return [{key: plain(own) for key, own in each.items()} for each in value]


PlainOrList = Annotated[Any, AfterValidator(plain_or_list)]


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def settings(cls: type[T]) -> type[T]:
    """Return a frozen dataclass whose fields are checked, strictly, whenever one is made.

    A bool is no number, an int is a valid float, nothing is infinite or NaN. What is wrong is an
    InputError of one line.
    """
    made = cast(type[T], dataclass(frozen=True, config=STRICT)(cls))
    checked_init: Callable[..., None] = made.__init__

    @wraps(checked_init)
    def init(self: T, *values: Any, **named: Any) -> None:
        try:
            checked_init(self, *values, **named)
        except ValidationError as error:
            raise InputError(_line(made, error)) from None

    made.__init__ = init  # type: ignore[method-assign, assignment]
    return made


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return a settings value from what a TOML or JSON file holds.

    Raises:
        InputError: naming `where`, the key, what was expected and the nearest known name.
    """
    try:
        made: T = _adapter(cast(Any, kind)).validate_json(json.dumps(values, default=_no_json))
    except ValidationError as error:
        raise InputError(f"{where}: {_line(kind, error)}") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return made


def check_field(kind: type, name: str, value: Any) -> None:
    """Check one value of a field by itself, whatever the other fields hold.

    Raises:
        InputError: as the class itself would.
    """
    try:
        _adapter(cast(Any, kind)).validate_json(json.dumps({name: value}, default=_no_json))
    except ValidationError as error:
        if any(fault["loc"][:1] == (name,) for fault in error.errors(include_url=False)):
            raise InputError(_line(kind, error)) from None
    except InputError:
        return  # of a value that does not go with the defaults of others


def first_difference(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """Return the first key in which nested settings differ, and both values as JSON; else None.

    >>> first_difference({"data": {"clients": 2}, "seed": 0}, {"data": {"clients": 3}, "seed": 1})
    ('data.clients', '2', '3')
    >>> first_difference({"defence": {"name": "none"}}, {"defence": {"name": "none", "delta": 0.1}})
    ('defence.delta', 'nothing', '0.1')
    """
    for key in (*other, *(key for key in one if key not in other)):
        old, new = one.get(key), other.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = first_difference(old, new)
            if inner is not None:
                return f"{key}.{inner[0]}", inner[1], inner[2]
        elif old != new or (key in one) is not (key in other):
            was, is_ = (json.dumps(x[key]) if key in x else "nothing" for x in (one, other))
            return key, was, is_
    return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _no_json(value: object) -> Any:
    raise InputError(f"expected texts, numbers, lists and tables, got {value!r}")


def _line(kind: type, error: ValidationError) -> str:
    """Return the first fault, an unknown key before others, in the house's form."""
    faults = error.errors(include_url=False)
    unknown = [each for each in faults if each["type"] == "unexpected_keyword_argument"]
    fault: Any = (unknown or faults)[0]
    steps = fault["loc"]
    if steps and isinstance(steps[0], int):  # an argument given by its position
        named = (*(each.name for each in fields(cast(Any, kind))), "another")
        steps = (named[min(steps[0], len(named) - 1)], *steps[1:])
    if unknown:
        known = [each.name for each in fields(_class_at(kind, steps[:-1]))]
        return ": ".join([*_places(steps[:-1]), unknown_key(str(steps[-1]), known)])
    if fault["type"] == "value_error":
        return ": ".join([*_places(steps), str(fault["ctx"]["error"])])
    if fault["type"] in ("missing", "missing_argument"):
        return ": ".join([*_places(steps[:-1]), f"expected {steps[-1]}, got none"])
    expected, names = _expected(kind, steps, fault)
    value = fault["input"]
    near = nearest(value, names) if isinstance(value, str) else ""
    if fault["type"] in ("dict_type", "dataclass_type"):
        return ": ".join([*_places(steps), f"expected {expected}, got {_short(value)}"])
    if steps[-1] == "[key]":
        steps = (*steps[:-2], 0)
    if isinstance(steps[-1], int):
        return ": ".join([*_places(steps[:-1]), f"expected {expected}, got {_short(value)}{near}"])
    if fault["type"].endswith("_type"):
        path = ".".join(f'"{each}"' if "." in each else each for each in _places(steps))
        return f"expected {expected}, got {path}={_short(value)}{near}"
    got = f"{_places(steps)[-1]}={_short(value)}{near}"
    return ": ".join([*_places(steps[:-1]), f"expected {expected}, got {got}"])


def _expected(kind: type, steps: Steps, fault: Any) -> tuple[str, list[str]]:
    """Return what was expected, and the names of which one was meant, if it is a name."""
    context = fault.get("ctx", {})
    if fault["type"] == "house":
        return context["expected"], context["names"]
    if fault["type"] == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        return f"one of {', '.join(names)}", names
    if fault["type"] in BOUNDS:
        return _bound(kind, steps, fault), []
    return WORDS.get(fault["type"], fault["msg"]), []


def _bound(kind: type, steps: Steps, fault: Any) -> str:
    """Return the bound that does not hold; both, where a number has a range."""
    sign, key = BOUNDS[fault["type"]]
    bound = fault["ctx"][key]
    name = [step for step in steps if isinstance(step, str)][-1]
    whole = f"{name} {sign} {bound:g}" if isinstance(bound, float) else f"{name} {sign} {bound}"
    holder = _class_at(kind, steps[:-1])
    hint = get_type_hints(holder, include_extras=True).get(name)
    if hint is None or not _mentions(hint, float):
        return whole
    rules = [rule for info in get_args(hint)[1:] for rule in getattr(info, "metadata", [info])]
    low = [f"{getattr(r, k):g} {sign}" for r in rules for sign, k in LOW if hasattr(r, k)]
    high = [f"{sign} {getattr(r, k):g}" for r in rules for sign, k in HIGH if hasattr(r, k)]
    return f"{low[0]} {name} {high[0]}" if low and high else whole


def _places(steps: Steps) -> list[str]:
    """Return the keys that lead to a fault, the places in lists behind their key."""
    found: list[str] = []
    for step in steps:
        if isinstance(step, str):
            found.append(step)
        else:
            found[-1] += f"[{step}]"
    return found


def _class_at(kind: type, steps: Steps) -> Any:
    """Return the settings class that lies where some keys lead."""
    for step in steps:
        hint = get_type_hints(kind, include_extras=True).get(str(step))
        kind = _mentions(hint, None) or kind
    return kind


def _mentions(hint: Any, wanted: type | None) -> Any:
    """Return the wanted type, or any settings class, within an annotation; None without."""
    if hint is wanted if wanted is not None else (isinstance(hint, type) and is_dataclass(hint)):
        return hint
    return next((found for part in get_args(hint) if (found := _mentions(part, wanted))), None)


def _short(value: object) -> str:
    text = shown(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
