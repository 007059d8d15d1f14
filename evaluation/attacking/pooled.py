"""What the vectors of a released model give away of the text that it was trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from attacks.pooled.knowledge import PooledKnowledge, Texts
from evaluation.grid.catalogue import POOLED, make_attack
from evaluation.grid.spec import Cell
from evaluation.metrics.intervals import CONFIDENCE
from evaluation.metrics.text import exact_match, rouge, token_sets
from fedbert.data.batches import Batch
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from fedbert.split import SplitBert, answering
from reports.records import Estimate

Leak = dict[str, Any]
POOLINGS = ("mean", "cls")
JUDGED = 200  # private texts, at most
BATCH = 64
MOST_WORDS = 60  # of a guess that knows no vector


@dataclass(frozen=True)
class Service:
    """A released model as an embedding service. What it was asked once it remembers."""

    split: SplitBert
    pad: int
    separator: int | None
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def vectors(self, texts: Texts, pooling: str) -> np.ndarray:
        """Return the vectors [text, hidden] of texts (token ids [seq], specials included).

        "mean": the mean of the last hidden states of all tokens; "cls": that of the first token.
        """
        texts = [np.asarray(text, dtype=np.int64) for text in texts]
        new = {text.tobytes(): text for text in texts if text.tobytes() not in self._known}
        order = sorted(new.values(), key=len)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            self._known.update(zip((t.tobytes() for t in some), self._asked(some), strict=True))
        column = POOLINGS.index(pooling)
        width = self.split.whole.config.hidden_size
        rows = [self._known[text.tobytes()][column] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def _asked(self, texts: Texts) -> np.ndarray:
        """Return the vectors [text, pooling, hidden] of some texts."""
        longest = max(len(text) for text in texts)
        ids = np.full((len(texts), longest), self.pad)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        after = np.cumsum(ids == self.separator, axis=1) - (ids == self.separator) > 0
        two = self.split.whole.config.model_type == "bert"  # RoBERTa has one type
        types = (after & two & (mask == 1)).astype(np.int64)
        nothing = np.zeros(len(texts), dtype=np.int64)
        parts = (torch.from_numpy(part) for part in (ids, mask, types, nothing, nothing))
        batch = Batch(*parts).to(self.split.device)
        with answering(self.split):
            hidden = self.split.hidden(batch).float()
        weight = batch.attention_mask[:, :, None].float()
        mean = (hidden * weight).sum(1) / weight.sum(1)
        found: np.ndarray = torch.stack([mean, hidden[:, 0]], 1).cpu().numpy()
        return found


def pooled(
    cell: Cell, prepared: Prepared, split: SplitBert, sides: tuple[np.ndarray, np.ndarray]
) -> list[Leak]:
    """Return what every attack of the grid recovers from vectors of texts that were trained on.

    sides: the pool's positions of those trained on, and of those left out. The latter are the
    auxiliary text, less copies of a judged text.
    """
    if not cell.attacks.pooled:
        return []
    seed, special = cell.config.seed, prepared.vocabulary.special
    rng = numpy_rng(seed, "pooled")
    texts = [np.split(e.tokens, e.offsets[1:-1]) for e in map(prepared.pool.take, sides)]
    worded = [text for text in texts[0] if not np.isin(text, special).all()]
    private = [worded[i] for i in np.sort(rng.permutation(len(worded))[:JUDGED])]
    judged = {text.tobytes() for text in private}
    auxiliary = tuple(text for text in texts[1] if text.tobytes() not in judged)
    service = Service(split, prepared.vocabulary.pad, prepared.tokenizer.sep_token_id)
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
    service: Service,
    pooling: str,
) -> Iterator[Leak]:
    """Yield what every attack recovers from vectors of one kind."""
    embed = partial(service.vectors, pooling=pooling)
    knowledge = PooledKnowledge(embed, auxiliary, tuple(special))
    for name in cell.attacks.pooled:
        attack = make_attack(name, POOLED, "invert")
        head = {"view": attack.view, "attack": f"{attack.name} ({pooling})", "family": "inversion"}
        lacking = "needs a text that was trained on" if not private else attack.missing(knowledge)
        if lacking is not None:
            yield {**head, "not_measured": lacking}
            continue
        draws = generator(cell.config.seed, "attack", "pooled")  # the same texts of its own for all
        guessed = attack.invert(embed(private), knowledge, draws)
        rng = numpy_rng(cell.config.seed, "judge", head["attack"])
        chance = guessing(private, auxiliary, special)
        for metric, estimate in scores(private, guessed, special, rng).items():
            leak = {**head, "metric": metric, "estimate": estimate, "unit": "record"}
            floor = chance if metric == "token_f1" else None
            yield {**leak, "chance": floor}


def scores(
    true: Texts,
    guessed: Texts,
    special: Sequence[int],
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return what guessed texts (token ids [word] each) are worth, by metric, as means over texts.

    A guess that knows no order is judged on its order all the same. ROUGE-2 needs a text of two
    words or more, and is absent without any.
    """
    ours, theirs = [text[None] for text in true], [guess[None] for guess in guessed]
    found = token_sets(ours, theirs, special, rng, confidence)
    longest = max(int((~np.isin(text, special)).sum()) for text in true)
    for n in (1, 2, "L"):
        if n != 2 or longest >= 2:
            found[f"rouge{n}"] = rouge(ours, theirs, special, n, rng, confidence)
    found["exact_match"] = exact_match(ours, theirs, special, rng, confidence)
    return found


def guessing(true: Texts, auxiliary: Texts, special: Sequence[int]) -> float:
    """Return the mean token-set F1 of guessing the same frequent words of every text.

    How many is what serves the auxiliary texts best.
    """
    sets = [np.setdiff1d(text, special) for text in auxiliary]
    words, counts = np.unique(np.concatenate(sets), return_counts=True)
    frequent = words[np.argsort(-counts, kind="stable")][:MOST_WORDS]
    best = int(_frequent_f1(sets, frequent).argmax())
    return float(_frequent_f1([np.setdiff1d(text, special) for text in true], frequent)[best])


def _frequent_f1(sets: Texts, frequent: np.ndarray) -> np.ndarray:
    """Return the mean F1 of guessing the first 1, 2, ... frequent words [number]."""
    held = np.array([np.isin(frequent, each) for each in sets]).cumsum(1)  # [text, number]
    sizes = np.array([len(each) for each in sets])[:, None] + np.arange(1, len(frequent) + 1)
    mean: np.ndarray = (2 * held / sizes).mean(0)
    return mean
