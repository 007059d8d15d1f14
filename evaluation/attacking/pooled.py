"""Pooled vectors of a released model: what they give away of the text it was trained on."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from attacks.pooled.knowledge import PooledKnowledge, Texts
from evaluation.adversary.embedding_service import POOLINGS, EmbeddingService
from evaluation.attacking.loop import Head
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import POOLED
from evaluation.grid.spec import Cell
from evaluation.metrics.text import frequent_words_chance, scores
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
    worded = [text for text in texts[0] if not np.isin(text, special).all()]
    private = [worded[i] for i in np.sort(rng.permutation(len(worded))[:JUDGED])]
    judged = {text.tobytes() for text in private}
    auxiliary = tuple(text for text in texts[1] if text.tobytes() not in judged)
    service = EmbeddingService(split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id)
    return [
        leak
        for pooling in POOLINGS
        for leak in _pooled(cell, private, auxiliary, special, service, pooling)
    ]


def _pooled(
    cell: Cell,
    private: Texts,
    auxiliary: tuple[np.ndarray, ...],
    special: Sequence[int],
    service: EmbeddingService,
    pooling: str,
) -> Iterator[LeakageEntry]:
    """Yield what every attack recovers from vectors of one kind."""
    embed = partial(service.vectors, pooling=pooling)
    knowledge = PooledKnowledge(embed, auxiliary, tuple(special))
    for name in cell.attacks.pooled:
        attack = make_attack(name, POOLED, "invert")
        head = Head(attack.view, f"{attack.name} ({pooling})", "inversion")
        if not private:
            yield head.not_measured("needs a text that was trained on")
            continue
        lacks = attack.missing(knowledge)
        if lacks is not None:
            yield head.not_measured(lacks.words)
            continue
        draws = generator(cell.config.seed, "attack", "pooled")  # the same texts of its own for all
        guessed = attack.invert(embed(private), knowledge, draws)
        rng = numpy_rng(cell.config.seed, "judge", head.attack)
        chance = frequent_words_chance(private, auxiliary, special)
        for metric, estimate in scores(private, guessed, special, rng).items():
            known = chance if metric == "token_f1" else None
            yield head.leak(metric, estimate, "record", known)
