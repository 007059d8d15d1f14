"""Weights of a model's files: every tensor has its place in the model, or is named and refused.

What may be missing: the head that a training needs and nobody trained yet. What may be left aside:
the head of another task. Both are said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fedbert.errors import InputError
from fedbert.label_order import order_of, saved_names
from fedbert.model_settings import PROBLEMS, has_head
from fedbert.pooling import SETTING
from fedbert.setting_types import Pooling
from fedbert.tasks import Task
from fedbert.tensor_files import Tensors, plain_names, some


@dataclass(frozen=True)
class Place:
    """What a model's files are to fill.

    raw: the config.json; trained: whether the head has to be in the files (an audit), or may be
    new (the start of a training); tied: whether the masked-LM decoder is the word table; pooling:
    what a task's head is to read.
    """

    source: str
    raw: Mapping[str, Any]
    architecture: str
    task: Task
    tied: bool
    trained: bool
    pooling: Pooling

    @property
    def output(self) -> str:
        """The name of the module that gives the logits."""
        bert = self.architecture == "bert"
        if self.task.kind == "mlm":
            return "cls.predictions.decoder" if bert else "lm_head.decoder"
        return "classifier" if bert else "classifier.out_proj"

    @property
    def word_table(self) -> str:
        """The name of the word table."""
        return f"{self.architecture}.embeddings.word_embeddings.weight"

    def refused(self, expected: str, got: str) -> InputError:
        """Return the error of one line."""
        return refused(expected, got, self.source)


@dataclass(frozen=True)
class Weights:
    """Tensors by the names of the model; new: those that are to be made up; notes: what to say."""

    tensors: Tensors
    new: frozenset[str]
    notes: tuple[str, ...]


def fitted(tensors: Tensors, expected: Mapping[str, torch.Size], place: Place) -> Weights:
    """Return tensors as the model names them, the labels in the task's order.

    expected: the shape of every tensor of the model.

    Raises:
        InputError: naming what is missing, fits nothing, has another shape, or is no number.
    """
    tensors, notes = plain_names(tensors, place.architecture, place.source)
    if place.task.kind == "mlm":
        notes += _settle_decoder(tensors, place)
    else:
        notes += _settle_labels(tensors, place)
    aside = [name for name in tensors if name not in expected and _of_another_head(name, place)]
    if aside:
        heads = sorted({_head_in(name) for name in aside})
        notes.append(f"left aside, since {place.task.name} does not need it: {', '.join(heads)}")
    kept = {name: value for name, value in tensors.items() if name not in aside}
    missing = expected.keys() - kept.keys()
    new = _new(missing, expected, place)
    check_tensors(kept, expected, missing - new, place.source)
    if new:
        notes.append(_new_words(new, place))
    return Weights(kept, frozenset(new), tuple(notes))


def _settle_decoder(tensors: Tensors, place: Place) -> list[str]:
    """Complete a masked-LM head by what its file says once: a tied table, a bias with two names.

    Raises:
        InputError: for a decoder of its own where it is to be the word table.
    """
    weight, bias = f"{place.output}.weight", f"{place.output}.bias"
    shared = f"{place.output.rpartition('.')[0]}.bias"
    for name, other in ((bias, shared), (shared, bias)):
        if other in tensors:
            tensors.setdefault(name, tensors[other].clone())
    if place.word_table not in tensors or shared not in tensors:
        return []
    if place.tied:
        for name, other in ((weight, place.word_table), (bias, shared)):
            if not torch.equal(tensors.setdefault(name, tensors[other]), tensors[other]):
                raise place.refused(
                    f"tie_decoder = false (in a config.json: tie_word_embeddings) or a {name} that "
                    f"is {other}",
                    "a decoder of its own",
                )
        return []
    if weight in tensors or place.trained:
        return []
    tensors[weight] = tensors[place.word_table].clone()
    return ["the decoder, untied from here on, starts as the word table"]


def _settle_labels(tensors: Tensors, place: Place) -> list[str]:
    """Put the rows of a saved head into the task's order; take out one of something else, or one
    that reads the first token where the mean is to be read.

    Raises:
        InputError: for a head of something else where it has to be the task's.
    """
    output = [n for n in (f"{place.output}.weight", f"{place.output}.bias") if n in tensors]
    head = [name for name in tensors if name.split(".")[0] == "classifier"]
    other = has_head(place.raw, place.task.kind) is False and not place.trained
    first = place.pooling == "mean" and place.raw.get(SETTING) != "mean"
    if head and first and place.trained:
        raise place.refused("a head on the mean", "one of the first token")
    if other or first:
        for name in head:
            del tensors[name]
        what = "is of another task" if other else "reads the first token"
        return [f"the saved head {what}"] if head else []
    if not output or tensors[output[0]].ndim == 0:
        return []
    rows = len(tensors[output[0]])
    task, order = place.task, None
    names, problem, fault = saved_names(place.raw, rows), place.raw.get("problem_type"), ""
    if rows != task.num_labels:
        fault = f"{rows} labels"
    elif problem not in (None, PROBLEMS[task.kind]):
        fault = f"problem_type={problem!r}"
    elif task.label_names:
        order = order_of(names, task.label_names)
        fault = "" if order is not None else f"labels {', '.join(names)}"
    if fault and place.trained:
        own = ", ".join(task.label_names) or PROBLEMS[task.kind]
        raise place.refused(f"a head of {task.num_labels} labels ({own})", f"a head of {fault}")
    if fault:
        for name in output:
            del tensors[name]
        return [f"the saved head is of {fault}"]
    if order is None or list(order) == list(range(rows)):
        return []
    for name in output:
        if len(tensors[name]) == rows:
            tensors[name] = tensors[name][list(order)].clone()
    return [f"labels put into the task's order by name: they were {', '.join(names)}"]


def _of_another_head(name: str, place: Place) -> bool:
    """Return whether a tensor belongs to a head that the task does not use."""
    pooler = name.startswith(f"{place.architecture}.pooler.dense.")
    pair = name.startswith("cls.seq_relationship.")
    if place.task.kind == "mlm":
        return pooler or pair or name.startswith(("classifier.", "qa_outputs."))
    own = "cls.predictions." if place.architecture == "bert" else "lm_head."
    return pooler or pair or name.startswith((own, "qa_outputs."))


def _head_in(name: str) -> str:
    """Return the head that a tensor belongs to.

    >>> _head_in("bert.pooler.dense.bias"), _head_in("qa_outputs.bias")
    ('bert.pooler', 'qa_outputs')
    """
    parts = name.split(".")
    return ".".join(parts[: 1 if parts[0] in ("classifier", "lm_head", "qa_outputs") else 2])


def _new(missing: Iterable[str], expected: Mapping[str, torch.Size], place: Place) -> set[str]:
    """Return which missing tensors a training may begin with at random: a whole head, no part."""
    if place.trained:
        return set()
    if place.task.kind == "mlm":
        parts = [place.output.split(".")[0]]
    elif place.architecture == "bert":
        parts = ["classifier", "bert.pooler"]
    else:
        parts = ["classifier.out_proj", "classifier.dense"]
    new: set[str] = set()
    for part in parts:
        own = {name for name in expected if name.startswith(f"{part}.")}
        if not own <= set(missing):
            break
        new |= own
    return new


def _new_words(new: Iterable[str], place: Place) -> str:
    """Return what is said of a new head."""
    if place.task.kind == "mlm":
        return "a new masked-LM head, made up at random"
    size = place.task.num_labels
    pooler = any(".dense." in name for name in new)
    labels = f"{size} label{'s' * (size != 1)}"
    return f"a new head of {labels}{' and a new pooler' * pooler}, made up at random"


def refused(expected: str, got: str, source: str) -> InputError:
    """Return the error of one line about a source's tensors."""
    return InputError(f"expected {expected}, got {got} at source={source!r}")


def check_tensors(
    kept: Tensors, expected: Mapping[str, torch.Size], missing: Iterable[str], source: str
) -> None:
    """Refuse tensors that are missing, fit nothing, have another shape or are not numbers.

    Raises:
        InputError: in one line that names them.
    """
    shapes = [
        f"{name} {list(kept[name].shape)} instead of {list(expected[name])}"
        for name in kept
        if name in expected and kept[name].shape != expected[name]
    ]
    faults = {
        "missing": missing,
        "that fit nothing": [name for name in kept if name not in expected],
        "of another shape": shapes,
    }
    told = "; ".join(f"{what}: {some(names)}" for what, names in faults.items() if names)
    if told:
        raise refused("all tensors of the model and no others", f"some {told}", source)
    whole = [name for name, value in kept.items() if not value.is_floating_point()]
    if whole:
        got = f"{kept[whole[0]].dtype} in {some(whole)}"
        raise refused("tensors of real numbers", got, source)
    bad = [name for name, value in kept.items() if not torch.isfinite(value).all()]
    if bad:
        raise refused("finite weights", f"NaN or infinity in {some(bad)}", source)
