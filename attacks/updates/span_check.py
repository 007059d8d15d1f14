"""Span check: which tokens and whole sequences lie in the span of a gradient; exact, or silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Lacks, served
from attacks.updates.assembly import Options, chained, language_of, padded, settled
from attacks.updates.whole_update import (
    NotApplicable,
    Step,
    UpdateKnowledge,
    exact_values,
    floor_of,
    layers_of,
    missing_step,
    model_at,
    steps_of,
)
from fedbert.data.batches import Batch
from fedbert.messages import Message
from fedbert.split import SplitBert, position_offset

WORDS_AT_ONCE = 4096
"""Candidate words per product: bounds the memory."""

CLOSE = (1e-6, 0.1)
"""Bounds on the relative distance from the span at which a row counts as in it: in between, three
times what rounding may turn the span's weakest direction by."""


@dataclass(frozen=True)
class SpanCheck:
    """Tokens whose rows lie in the span of the first layer's gradient, strung to sequences.

    Threat model: the aggregator under `fedavg`, who holds one SGD step of the whole model. The
    gradient of a Linear's weight is dL/dY^T X: its rows are sums of the layer's inputs. So a token
    was at a position of the batch if and only if E's row of it lies in that span, for as long as
    the tokens are fewer than the hidden values. For one sequence that is the answer. Of several,
    the second layer's gradient holds the sequences' rows behind the first: a whole candidate
    sequence is run through and tried, one word changed at a time.

    | case | answer |
    |---|---|
    | float64, tokens fewer than hidden values | every token, and no other |
    | float32 | the same, while the gradient's weakest direction stands out of the rounding of the
        values that are sent; a small step hides it, and the answer is NotApplicable |
    | tokens >= hidden values | NotApplicable: every row lies in the span |
    | noise, AdamW, dropout, several steps | `missing` says so: the span is not that of E's rows |

    In the last layer of a classifier on the first token that one alone asks: there, its row is
    tried. Where the head reads the mean, every token asks.

    Reference: Petrov, Dimitrov, Baader, Mueller, Vechev (2024), "DAGER: Exact gradient inversion
    for large language models", sections 4 and 5.
    """

    name: str = "span check"
    view: str = "aggregator"

    def missing(self, knowledge: UpdateKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        if knowledge.model is None:
            return Lacks(("model",), "needs `model`: the model as sent out")
        if not knowledge.whole or not layers_of(knowledge.model):
            words = "needs the whole model's update, with an encoder layer (strategy fedavg)"
            return Lacks(("whole",), words)
        if knowledge.dropout > 0:
            return Lacks(("dropout",), "not applicable: dropout makes other rows of E's")
        noisy = exact_values(knowledge, "not applicable: noise on the update fills the span")
        return noisy or missing_step(knowledge, adaptive=False, steps=False)

    def reconstruct(
        self, messages: Sequence[Message], knowledge: UpdateKnowledge, generator: torch.Generator
    ) -> list[np.ndarray | NotApplicable]:
        """Return the token ids [batch, seq] int64 of each ClientUpdate, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """
        model = served(knowledge.model, self.missing(knowledge), self.name)
        steps = steps_of(messages, knowledge)
        return [_sequences(step, knowledge, model, generator) for step in steps]


@dataclass(frozen=True)
class Span:
    """An orthonormal basis [hidden, rank], and the relative distance that counts as in it."""

    basis: Tensor
    close: float

    def distance(self, rows: Tensor) -> Tensor:
        """Return how far rows [..., hidden] lie from it, over their lengths [...]."""
        left = rows - (rows @ self.basis) @ self.basis.T
        share: Tensor = torch.linalg.vector_norm(left, dim=-1) / torch.linalg.vector_norm(
            rows, dim=-1
        )
        return share


def span_of(step: Step, split: SplitBert, layer: int, parts: Sequence[str]) -> Span | NotApplicable:
    """Return the span of an encoder layer's inputs that had a gradient.

    parts: of "query", "key" and "value", whose inputs all are the layer's.
    """
    own = layers_of(split)[layer].attention.self
    name_of = {id(p): n for n, p in split.whole.named_parameters()}
    names = [name_of[id(getattr(own, part).weight)] for part in parts]
    rows = np.concatenate([step.taken[name] for name in names])  # [part * hidden, hidden]
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    floor = floor_of(rows, max(step.rounding[name] for name in names), float(values[0]))
    rank = int((values > floor).sum())
    if rank == 0:
        return NotApplicable("rounding hides the gradient: the step is too small")
    if rank == rows.shape[1]:
        return NotApplicable("as many tokens as hidden values: every row lies in the span")
    close = float(np.clip(3 * floor / values[rank - 1], *CLOSE))
    return Span(torch.tensor(right[:rank].T.copy()), close)


def token_options(
    step: Step, split: SplitBert, span: Span, knowledge: UpdateKnowledge
) -> tuple[Options, np.ndarray] | NotApplicable:
    """Return which words lie in the span at each position, and the type of each [position, word].

    Positions follow each other until one has none. Words whose rows did not move are passed over.
    """
    e: Any = split.bottom.embeddings
    table = e.word_embeddings.weight.detach()
    words = np.arange(len(table))
    if knowledge.word is not None and not knowledge.tied:
        words = np.flatnonzero(step.moved[knowledge.word].any(1))
    offset = position_offset(split.whole.config)
    found = []
    for position in range(len(e.position_embeddings.weight) - offset):
        at_position = (
            e.position_embeddings.weight[position + offset] + e.token_type_embeddings.weight
        )
        apart = _distances(table, words, at_position.detach(), e.LayerNorm, span)  # [type, word]
        if not bool((apart < 1).any()):
            break
        found.append(apart)
    whole = len(found) > 0
    if knowledge.position is not None:
        whole = whole and len(found) == int(step.moved[knowledge.position].any(1).sum())
    if not whole or not bool((found[-1][:, words == knowledge.stop] < 1).any()):
        return NotApplicable("rounding hides a part of the gradient: the step is too small")
    every = torch.stack(found)  # [position, type, word]
    apart, kinds = every.min(1)
    hit = (apart < 1).any(0).numpy()
    return Options(words[hit], apart.numpy()[:, hit]), kinds.numpy()[:, hit]


def _distances(table: Tensor, words: np.ndarray, extra: Tensor, norm: Any, span: Span) -> Tensor:
    """Return the distance of every word's row at a position, over `close` [type, word]."""
    parts = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        chosen = torch.from_numpy(words[start : start + WORDS_AT_ONCE])
        rows = norm(table[chosen][None] + extra[:, None]).detach()  # [type, word, hidden]
        parts.append(span.distance(rows) / span.close)
    return torch.cat(parts, dim=1)


def _sequences(
    step: Step, knowledge: UpdateKnowledge, model: SplitBert, generator: torch.Generator
) -> np.ndarray | NotApplicable:
    """Return one update's sequences."""
    split = model_at(step, model)
    span = span_of(step, split, 0, ("query", "key", "value"))
    if isinstance(span, NotApplicable):
        return span
    seen = token_options(step, split, span, knowledge)
    if isinstance(seen, NotApplicable):
        return seen
    options, kinds = seen
    guesses = chained(options, knowledge, language_of(knowledge, split.whole.config.vocab_size))
    if knowledge.batch_size == 1 or len(layers_of(split)) < 2:
        return padded(guesses)
    return padded(_settled(guesses, options, kinds, step, split, knowledge, generator))


def _settled(
    guesses: list[np.ndarray],
    options: Options,
    kinds: np.ndarray,
    step: Step,
    split: SplitBert,
    knowledge: UpdateKnowledge,
    generator: torch.Generator,
) -> list[np.ndarray]:
    """Return the guesses after a search for whole sequences that the second layer bears out."""
    last = len(layers_of(split)) == 2 and not split.body.mean
    parts = ("query",) if last else ("query", "key", "value")
    second = span_of(step, split, 1, parts)
    if isinstance(second, NotApplicable):
        return guesses
    column_of = {int(word): i for i, word in enumerate(options.words)}

    def score(sequences: list[np.ndarray]) -> np.ndarray:
        """Return the root mean square distance of each sequence's rows, over `close`."""
        ids = np.stack(sequences)
        columns = np.array([[column_of[int(w)] for w in row] for row in ids])
        types = np.take_along_axis(kinds[: ids.shape[1]], columns.T, axis=1).T
        rows = _behind_first(split, ids, types)  # [sequence, seq, hidden]
        if last and split.head.kind == "mlm":
            asked = torch.from_numpy(ids == knowledge.mask)
        else:
            asked = torch.ones(ids.shape, dtype=torch.bool)
            asked[:, int(last) :] = not last
        apart = (second.distance(rows) / second.close).square() * asked
        return (apart.sum(1) / asked.sum(1).clamp(min=1)).sqrt().numpy()

    return settled(guesses, options, score, 1.0, generator)


def _behind_first(split: SplitBert, ids: np.ndarray, types: np.ndarray) -> Tensor:
    """Return what the second layer reads of sequences of one length [sequence, seq, hidden]."""
    whole = torch.from_numpy(ids)
    batch = Batch(
        whole, torch.ones_like(whole), torch.from_numpy(types), whole[:, 0], whole[:, 0] * 0
    )
    first = layers_of(split)[0]
    with torch.no_grad():
        e: Any = type(split.bottom)(split.bottom.embeddings, [first], split.whole.config)
        rows: Tensor = e(batch)
    return rows
