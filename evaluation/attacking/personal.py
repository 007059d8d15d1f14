"""Spans of made-up personal records: where they are among the tokens of pool and messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.spans import KINDS, Marked
from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.data.personal import PERSONAL, SPANS, Span
from fedbert.data.sources import tables_of
from fedbert.messages import SmashedData
from fedbert.prepare import Prepared
from fedbert.seeding import derive


@dataclass(frozen=True)
class PoolSpans:
    """The spans of every example of a pool.

    marks: of each example [seq], k at the tokens of its k-th span, 0 elsewhere; spans: of each.
    often: by kind, how often a token stands in such spans [vocab].
    """

    marks: tuple[np.ndarray, ...]
    spans: tuple[Sequence[Span], ...]
    often: dict[str, np.ndarray]


def spans_of(config: Config, prepared: Prepared) -> PoolSpans | None:
    """Return the spans of a pool of made-up records, made anew from the seed; None of other data.

    A span that the cut at `max_length` left incomplete has no marks, nor one with an unknown word.

    Raises:
        RuntimeError: where the pool is not what the generator makes.
    """
    data = config.data
    if data.source != PERSONAL:
        return None
    seed = derive(config.seed, "pool")
    made = tables_of(prepared.task, data.source, data.pool_size, data.evaluation, seed)
    columns = made["train"][0].columns
    (name,) = prepared.task.columns
    pool, marks, spans = prepared.pool, [], []
    unknown = prepared.tokenizer.unk_token_id
    unknown = -1 if unknown is None else unknown
    for example, row in enumerate(pool.documents):
        told = prepared.tokenizer(
            columns[name][row], truncation=True, max_length=data.max_length,
            return_offsets_mapping=True,
        )  # fmt: skip
        ids = pool.tokens[pool.offsets[example] : pool.offsets[example + 1]]
        if not np.array_equal(ids, told["input_ids"]):
            raise RuntimeError(f"expected record {row} of {PERSONAL}, got another text")
        spans.append(columns[SPANS][row])
        own = _marks(np.array(told["offset_mapping"]), spans[-1])
        strange = np.unique(own[(ids == unknown) & (own > 0)])  # no token of theirs says anything
        marks.append(np.where(np.isin(own, strange), 0, own))
    often = {kind: np.zeros(prepared.vocabulary.size, dtype=np.int64) for kind in KINDS}
    for example, own in enumerate(spans):
        ids = pool.tokens[pool.offsets[example] : pool.offsets[example + 1]]
        for k, span in enumerate(own, start=1):
            np.add.at(often[span.kind], ids[marks[example] == k], 1)
    return PoolSpans(tuple(marks), tuple(spans), often)


def _marks(offsets: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """Return k at the tokens [seq] of the k-th span; offsets [seq, 2]: their characters."""
    found = np.zeros(len(offsets), dtype=np.int64)
    real = offsets[:, 0] < offsets[:, 1]
    for k, span in enumerate(spans, start=1):
        inside = real & (offsets[:, 0] >= span.start) & (offsets[:, 1] <= span.end)
        if inside.any() and offsets[inside, 1].max() == span.end:
            found[inside] = k
    return found


def marked(
    pool: PoolSpans,
    prepared: Prepared,
    messages: Sequence[SmashedData],
    batches: Sequence[Batch],
) -> Marked:
    """Return where the spans are in messages, of which the batches are the truth."""
    places = [
        prepared.clients[message.client].in_pool[batch.index.numpy()]
        for message, batch in zip(messages, batches, strict=True)
    ]
    return at_positions(pool, places, [int(batch.input_ids.shape[1]) for batch in batches])


def at_positions(
    pool: PoolSpans, places: Sequence[np.ndarray], widths: Sequence[int] | None = None
) -> Marked:
    """Return where the spans are in messages of examples at these positions of the pool.

    places: of each message [batch]; widths: how long each is padded; None: as its longest.
    """
    marks, kinds, chances = [], list[list[list[str]]](), list[list[list[float]]]()
    for number, where in enumerate(places):
        longest = max(len(pool.marks[position]) for position in where)
        width = longest if widths is None else widths[number]
        found = np.zeros((len(where), width), dtype=np.int64)
        for row, position in enumerate(where):
            own = pool.marks[position]
            found[row, : len(own)] = own
        marks.append(found)
        kinds.append([[span.kind for span in pool.spans[position]] for position in where])
        chances.append([[span.chance for span in pool.spans[position]] for position in where])
    return Marked(tuple(marks), tuple(kinds), tuple(chances), pool.often)
