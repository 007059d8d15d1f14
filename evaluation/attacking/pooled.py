"""Pooled vectors of a released model: what they give away of the text it was trained on."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from attacks.attack import Lacks
from attacks.pooled.knowledge import PooledKnowledge, Texts
from evaluation.adversary.embedding_service import EmbeddingService, poolings_of
from evaluation.attacking.loop import Named, entries, named
from evaluation.attacking.personal import at_positions, spans_of
from evaluation.grid.spec import Cell
from evaluation.metrics.spans import Marked, judge_texts_spans
from evaluation.metrics.text import frequent_words_chance, scores
from fedbert.one_message.comparison import between_texts
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from fedbert.split import SplitBert
from reports.leak import LeakageEntry

JUDGED = 200  # private texts, at most


def pooled(
    cell: Cell, prepared: Prepared, split: SplitBert, parts: tuple[np.ndarray, np.ndarray]
) -> list[LeakageEntry]:
    """Return what every attack of the grid recovers from vectors of texts that were trained on.

    parts: the pool's positions of those trained on, and of those left out. The latter are the
    auxiliary text, less copies of a judged text.
    """
    if not cell.attacks.pooled:
        return []
    seed, special = cell.config.seed, prepared.vocabulary.special
    rng = numpy_rng(seed, "pooled")
    texts = [np.split(e.tokens, e.offsets[1:-1]) for e in map(prepared.pool.take, parts)]
    worded = [i for i, text in enumerate(texts[0]) if not np.isin(text, special).all()]
    chosen = [worded[i] for i in np.sort(rng.permutation(len(worded))[:JUDGED])]
    private = [texts[0][i] for i in chosen]
    known = spans_of(cell.config, prepared)
    spans = None if known is None else at_positions(known, [parts[0][[i]] for i in chosen])
    judged = {text.tobytes() for text in private}
    auxiliary = tuple(text for text in texts[1] if text.tobytes() not in judged)
    service = EmbeddingService(split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id)
    between = between_texts(cell.config, prepared.tokenizer)
    found: list[LeakageEntry] = []
    for pooling in poolings_of(cell.config):
        attacks = named(cell.attacks.pooled, "pooled", of=pooling)
        embed = partial(service.vectors, pooling=pooling)
        knowledge = PooledKnowledge(embed, auxiliary, tuple(special), between=between)
        ask = partial(_ask, embed, private, knowledge, seed)
        judge = partial(judge_texts, private, knowledge, seed, spans=spans)
        found += entries(attacks, ask, judge)
    return found


def _ask(
    embed: Callable[[Texts], np.ndarray],
    private: Texts,
    knowledge: PooledKnowledge,
    seed: int,
    each: Named,
) -> Sequence[np.ndarray] | Lacks | str:
    """Return the texts that an attack reads off the private texts' vectors, or why it does not."""
    if not private:
        return "needs a text that was trained on"
    lacks: Lacks | None = each.attack.missing(knowledge)
    if lacks is not None:
        return lacks
    draws = generator(seed, "attack", "pooled")  # the same texts of its own for all
    found: Sequence[np.ndarray] = each.attack.invert(embed(private), knowledge, draws)
    return found


def judge_texts(
    private: Texts,
    knowledge: PooledKnowledge,
    seed: int,
    each: Named,
    guessed: Sequence[np.ndarray],
    spans: Marked | None = None,
) -> Iterator[LeakageEntry]:
    """Yield what an attack's texts are worth; spans: of private texts that are made up."""
    rng = numpy_rng(seed, "judge", each.head.attack)
    special = knowledge.special
    chance = frequent_words_chance(private, knowledge.auxiliary or (), special)
    for metric, estimate in scores(private, guessed, special, rng).items():
        known = chance if metric == "token_f1" else None
        yield each.head.leak(metric, estimate, "record", known)
    if spans is not None:
        for score in judge_texts_spans(private, guessed, spans, lambda _: rng):
            yield each.head.scored(score)
