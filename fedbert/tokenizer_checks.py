"""Tokenizer checks: does it fit the model and the task, and how many words of a text it knows."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from fedbert.config import ModelConfig
from fedbert.data.batches import Encoded
from fedbert.errors import InputError
from fedbert.tasks import Task

MANY = 0.05  # of the words of a text: so many unknown ones are a warning
CASED = 0.01  # of a vocabulary: so many words with capital letters make it a cased one
SPARE_ROWS = 128  # of a word table that is padded to a round size
NO_WORD = re.compile(r"##.*|\[.*\]|<.*>")  # pieces that go on with a word, and marks


def check_tokenizer(
    tokenizer: Any, config: ModelConfig, task: Task, settings: Any | None = None
) -> None:
    """Refuse a tokenizer that the task or the model cannot work with.

    settings: the model's; None for a fresh one, which is made to fit.

    Raises:
        InputError: for one without words, with two of one number, without a token that is needed,
            with more tokens than the model has rows, or that pads otherwise.
    """
    named = f"tokenizer={config.tokenizer!r} of source={config.source!r}"
    words = tokenizer.get_vocab()
    if len(words) <= len(set(tokenizer.all_special_ids)):
        raise InputError(
            f"expected a tokenizer with a vocabulary, got special tokens alone from {named}: "
            "its files may be missing"
        )
    if len(set(words.values())) < len(words):
        raise InputError(f"expected a number for every token, got two tokens of one in {named}")
    needed = {"padding": "pad_token", "the first position": "cls_token", "an end": "sep_token"}
    if task.kind == "mlm":
        needed = {"task 'mlm'": "mask_token", **needed}
    for purpose, name in needed.items():
        if getattr(tokenizer, f"{name}_id") is None:
            raise InputError(f"expected a {name} for {purpose}, got none in {named}")
    if settings is None:
        return
    numbers = numbers_of(tokenizer)
    if numbers > settings.vocab_size:
        raise InputError(
            f"expected a tokenizer of at most {settings.vocab_size} tokens (the model's "
            f"vocabulary), got tokenizer={config.tokenizer!r} with {numbers}"
        )
    if tokenizer.pad_token_id != settings.pad_token_id:
        raise InputError(
            f"expected a tokenizer that pads with {settings.pad_token_id} as the model does, "
            f"got tokenizer={config.tokenizer!r} with {tokenizer.pad_token_id}"
        )


def numbers_of(tokenizer: Any) -> int:
    """Return how many rows a word table needs: one more than the last number of a token.

    As many as there are tokens, where no number is left out.
    """
    return int(max(tokenizer.get_vocab().values())) + 1


def doubts(tokenizer: Any, rows: int) -> list[str]:
    """Return why a tokenizer may not be the one that a model of so many rows was trained with."""
    found = []
    if rows - len(tokenizer) > SPARE_ROWS:
        found.append(
            f"the tokenizer has {len(tokenizer)} tokens and the model {rows} rows: is it its own?"
        )
    if tokenizer.num_special_tokens_to_add(pair=False) == 0:
        found.append(
            f"the tokenizer puts no {tokenizer.cls_token} before a text and no "
            f"{tokenizer.sep_token} behind it, as BERT was trained with"
        )
    return found


def unknown_words(each: Iterable[Encoded], tokenizer: Any, named: str = "") -> list[str]:
    """Return a warning with the share of words that are the unknown token; [] where few are.

    A tokenizer that lower-cases what its vocabulary spells in capitals is told in any case. named:
    the setting that chose it.
    """
    unk = tokenizer.unk_token_id
    if unk is None:
        return []
    numbers = range(numbers_of(tokenizer))
    names = [name or "" for name in tokenizer.convert_ids_to_tokens(numbers)]
    special = set(tokenizer.all_special_ids)
    free = [i not in special and not NO_WORD.fullmatch(name) for i, name in enumerate(names)]
    word = np.array(free)
    capitals = sum(_has_capitals(names[i]) for i in np.flatnonzero(word))
    lowered = capitals > CASED * word.sum() and _lower_cases(tokenizer)
    word[unk] = True
    tokens = np.concatenate([encoded.tokens for encoded in each])
    words = tokens[word[tokens]]
    unknown, total = int((words == unk).sum()), max(1, len(words))
    if unknown < MANY * total and not lowered:
        return []
    told = (
        f"{unknown} of {len(words)} words ({unknown / total:.0%}) are {tokenizer.unk_token} to the "
        "tokenizer"
    )
    if lowered:
        told += f": it lower-cases, and {capitals} words of its vocabulary hold capital letters"
    elif named == "generated":
        told += ": 'generated' knows the words of the generated tasks alone"
    return [told]


def _has_capitals(name: str) -> bool:
    """Return whether a token holds a capital letter; signs that stand for bytes do not count.

    >>> _has_capitals("Paris"), _has_capitals("\u041c\u0438\u0440"), _has_capitals("\u0120was")
    (True, True, False)
    """
    return any(sign.isupper() and not "\x7f" < sign < "\u0250" for sign in name)


def _lower_cases(tokenizer: Any) -> bool:
    """Return whether a tokenizer makes capital letters small."""
    normaliser = tokenizer.backend_tokenizer.normalizer
    return normaliser is not None and normaliser.normalize_str("A") == "a"
