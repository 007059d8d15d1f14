"""Batches: from texts to token ids to padded arrays, and the masking of masked-LM training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fedbert.data.people import numbers
from fedbert.errors import InputError
from fedbert.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from fedbert.data.sources import Examples

IGNORED = -100
"""The label of a position that has no part in the masked-LM loss."""

_CHUNK = 8192  # texts per tokenizer call: bounds the memory of its Python lists
_RARE = "<unk>"
_RANDOM, _KEPT = 0.1, 0.1  # of the chosen positions; the other 80 % show the mask token


@dataclass(frozen=True)
class Batch:
    """Padded examples, ready for the model.

    input_ids, attention_mask, token_type_ids: [batch, seq] int64; the mask is 1 on tokens.
    labels: [batch] int64 classes or float32 scores; [batch, seq] int64 for masked-LM, -100
        wherever nothing is to be predicted.
    index: [batch] int64, the position of each example in its `Encoded` set.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.index)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Encoded:
    """Examples as token ids, ragged: example i is `tokens[offsets[i]:offsets[i + 1]]`.

    tokens, token_types: [token] int64, special tokens included, no padding.
    offsets: [example + 1] int64.
    labels: [example] int64 classes (all zero for masked-LM) or float32 scores.
    documents: [example] int64, the row of `Examples` that the example was cut from; for
        masked-LM many blocks share one, for the other tasks it counts the examples.
    first_texts: [example] int64, the number of a pair's first text, before it is truncated; None
        where there are no pairs, or nobody numbered the texts.
    cut: [example] bool, whether the text goes on beyond the tokens; None for masked-LM, whose
        blocks lose nothing, or where nobody looked.
    people: [example] int64, the number of the person that the example belongs to; None where rows
        belong to nobody.
    attributes: [example] int64, the number of the example's attribute; None where none is named.
    attribute_names: what the attribute says, by its number.
    """

    task: Task
    tokens: np.ndarray
    token_types: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    documents: np.ndarray
    first_texts: np.ndarray | None = None
    cut: np.ndarray | None = None
    people: np.ndarray | None = None
    attributes: np.ndarray | None = None
    attribute_names: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each example, [example] int64, special tokens included."""
        return np.diff(self.offsets)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Encoded":
        """Return the chosen examples, in the given order, numbered anew from 0."""
        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        flat = shift + np.arange(offsets[-1])
        return Encoded(
            self.task,
            self.tokens[flat],
            self.token_types[flat],
            offsets,
            self.labels[chosen],
            self.documents[chosen],
            None if self.first_texts is None else self.first_texts[chosen],
            None if self.cut is None else self.cut[chosen],
            None if self.people is None else self.people[chosen],
            None if self.attributes is None else self.attributes[chosen],
            self.attribute_names,
        )


def encode(examples: "Examples", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Encoded:
    """Return the examples as token ids, at most `max_length` each with their special tokens.

    Single texts and pairs are truncated, of a pair the longer text first. For masked-LM every
    document is cut into consecutive blocks that fill `max_length`, none across two documents;
    a document's last block may be shorter, and a document without tokens yields none. The "<unk>"
    of WikiText's rare words becomes the tokenizer's own unknown token, not four pieces of text.

    Raises:
        InputError: when `max_length` leaves no room for text, the tokenizer is not a fast one, or
            nothing is left to train on.
    """
    pair = len(examples.task.columns) == 2
    specials = tokenizer.num_special_tokens_to_add(pair=pair)
    if max_length <= specials:
        raise InputError(f"expected max_length > {specials}, got max_length={max_length}")
    if not tokenizer.is_fast:
        raise InputError(f"expected a fast tokenizer, got tokenizer={type(tokenizer).__name__}")
    blocks = examples.task.kind == "mlm"
    tokens, types, lengths, documents, cuts = [], [], [], [], []
    for start in range(0, len(examples.texts), _CHUNK):
        texts = examples.texts[start : start + _CHUNK]
        if blocks and tokenizer.unk_token:
            texts = tuple((text.replace(_RARE, tokenizer.unk_token),) for (text,) in texts)
        for ids, kinds, document, more in _tokenize(texts, tokenizer, max_length, blocks):
            if blocks and len(ids) <= specials:
                continue
            tokens.append(np.asarray(ids, dtype=np.int64))
            types.append(np.asarray(kinds, dtype=np.int64))
            lengths.append(len(ids))
            documents.append(start + document)
            cuts.append(more)
    if not tokens:
        raise InputError(f"expected at least one token of text, got none from {examples.origin}")
    owner = np.asarray(documents, dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(np.asarray(lengths, dtype=np.int64))))
    flat, flat_types = np.concatenate(tokens), np.concatenate(types)
    firsts = _first_texts(examples, tokenizer) if pair else None
    cut = None if blocks else np.asarray(cuts, dtype=bool)
    labels = examples.labels[owner]
    people = numbers(examples.people)[owner] if examples.people else None
    attributes = numbers(examples.attributes)
    told = attributes[owner] if examples.attributes else None
    names = dict(
        sorted(zip(attributes.tolist(), examples.attributes, strict=True), key=itemgetter(1))
    )
    parts = (examples.task, flat, flat_types, offsets, labels, owner)
    return Encoded(*parts, firsts, cut, people, told, names)


def _first_texts(examples: "Examples", tokenizer: "PreTrainedTokenizerBase") -> np.ndarray:
    """Return the number of each first text [example] int64: one for all that are spelt alike.

    Alike to the tokenizer: case, accents and spaces count as far as they count for it.
    """
    backend: Any = tokenizer
    normaliser = backend.backend_tokenizer.normalizer
    seen: dict[str, int] = {}
    found = []
    for first, _ in examples.texts:
        text = first if normaliser is None else normaliser.normalize_str(first)
        found.append(seen.setdefault(" ".join(text.split()), len(seen)))
    return np.array(found, dtype=np.int64)


def _tokenize(
    texts: Sequence[tuple[str, ...]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    blocks: bool,
) -> Iterator[tuple[list[int], list[int], int, bool]]:
    """Yield (token ids, token types, position in `texts`, cut or not) per example or block."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    found: Any = tokenizer(
        *columns,
        truncation="longest_first",
        max_length=max_length,
        return_overflowing_tokens=blocks,
        return_token_type_ids=True,
        return_attention_mask=False,
    )
    owners = found["overflow_to_sample_mapping"] if blocks else range(len(texts))
    cut = (bool(each.overflowing) for each in found.encodings)
    yield from zip(found["input_ids"], found["token_type_ids"], owners, cut, strict=True)


def collate(
    encoded: Encoded,
    indices: Sequence[int] | np.ndarray,
    pad_token_id: int,
    length: int | None = None,
) -> Batch:
    """Return the chosen examples as one batch, padded on the right.

    `seq` is the longest example's length, or `length` where one is given. Masked-LM labels are all
    -100 until `mask_tokens` has chosen positions. No indices make a batch [0, 1] (Poisson sampling
    draws one now and then).

    Raises:
        ValueError: for a `length` below the longest example's.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    lengths = encoded.lengths[chosen]
    longest = int(lengths.max(initial=1))
    if length is not None and length < longest:
        raise ValueError(f"expected length >= {longest} (the longest example), got length={length}")
    seq = longest if length is None else length
    ids = np.full((len(chosen), seq), pad_token_id, dtype=np.int64)
    types = np.zeros((len(chosen), seq), dtype=np.int64)
    for row, example in enumerate(chosen):
        span = slice(encoded.offsets[example], encoded.offsets[example + 1])
        ids[row, : lengths[row]] = encoded.tokens[span]
        types[row, : lengths[row]] = encoded.token_types[span]
    mask = (np.arange(seq)[None, :] < lengths[:, None]).astype(np.int64)  # [batch, seq]
    mlm = encoded.task.kind == "mlm"
    labels = np.full((len(chosen), seq), IGNORED) if mlm else encoded.labels[chosen]
    parts = (ids, mask, types, labels, chosen)
    return Batch(*(torch.from_numpy(part.copy()) for part in parts))


def mask_tokens(
    batch: Batch,
    mask_id: int,
    vocab_size: int,
    special_ids: Sequence[int],
    rng: torch.Generator,
    rate: float = 0.15,
) -> Batch:
    """Return the batch with masked-LM inputs and labels.

    Every token that is neither special nor padding is chosen independently with probability
    `rate`. Of the chosen, 80 % show the mask token, 10 % a token drawn evenly from the vocabulary
    without the special ones (which may be the token itself), 10 % stay. Labels hold the original
    token at the chosen positions and -100 elsewhere.

    A text of n words has nothing chosen with probability (1 - rate)^n, and then labels of -100
    throughout: no position is forced, since that would mask short texts more often than long
    ones. The loss of such a row has to be taken as zero by whoever averages it.

    Raises:
        ValueError: for a rate outside [0, 1], or a vocabulary of special tokens alone.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"expected 0 <= rate <= 1, got rate={rate}")
    ids = batch.input_ids
    device = ids.device
    special = torch.tensor(sorted({*special_ids, mask_id}), dtype=torch.int64, device=device)
    words = torch.arange(vocab_size, device=device)
    words = words[~torch.isin(words, special)]
    if len(words) == 0:
        raise ValueError(f"expected a word besides the special ones, got vocab_size={vocab_size}")
    # Three draws of fixed size: the stream never depends on what was drawn before.
    select = torch.rand(ids.shape, generator=rng).to(device)
    action = torch.rand(ids.shape, generator=rng).to(device)
    drawn = torch.randint(len(words), ids.shape, generator=rng).to(device)
    free = (batch.attention_mask == 1) & ~torch.isin(ids, special)
    chosen = free & (select < rate)
    masked = chosen & (action >= _RANDOM + _KEPT)
    random = chosen & (action < _RANDOM)
    inputs = torch.where(masked, torch.full_like(ids, mask_id), ids)
    inputs = torch.where(random, words[drawn], inputs)
    labels = torch.where(chosen, ids, torch.full_like(ids, IGNORED))
    return replace(batch, input_ids=inputs, labels=labels)


def epoch_order(n: int, generator: torch.Generator) -> np.ndarray:
    """Return a uniformly random order of n examples, [n] int64."""
    return torch.randperm(n, generator=generator).numpy()
