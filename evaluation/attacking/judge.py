"""Judge of attacks on the smashed data: scores beside chance and bounds, and flags."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attacks.attack import Knowledge
from evaluation.attacking.bounds import (
    ReconstructionBound,
    ReferenceAttack,
    largest_shares,
    most_repeats,
    reconstruction_bound,
    reference_attack,
)
from evaluation.attacking.loop import Head
from evaluation.attacking.personal import PoolSpans, marked
from evaluation.attacking.samples import sampled
from evaluation.metrics.inversion import Text, judge_text
from evaluation.metrics.spans import Marked, judge_spans
from evaluation.metrics.token_classes import classify
from fedbert.data.batches import IGNORED, Batch
from fedbert.messages import SmashedData
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from privacy.defence import Defence
from reports.leak import Leak, LeakageEntry
from reports.metrics import ABOVE_BOUND, BELOW_REFERENCE

STATES = 3  # of the tables that the reference attack is simulated with: first, last, between
Group = tuple[Sequence[SmashedData], Sequence[Batch], Callable[..., Knowledge]]
"""Messages, the batches behind them, and what makes the knowledge that an attacker has of them."""


@dataclass(frozen=True)
class ForwardJudge:
    """What is needed to judge any attack on some smashed data.

    true, counted: [batch, seq] of each message; bounds: for attacks that use all rows, and for
    those that decide each token alone. unknown: the token of words that the tokenizer lacks.
    """

    seed: int
    messages: tuple[SmashedData, ...]
    batches: tuple[Batch, ...]
    true: tuple[np.ndarray, ...]
    counted: tuple[np.ndarray, ...]
    text: Text
    vocabulary: tuple[str, ...]
    unknown: int | None
    bounds: tuple[ReconstructionBound, ReconstructionBound]
    reference: ReferenceAttack
    spans: Marked | None = None

    @staticmethod
    def of(
        seed: int,
        prepared: Prepared,
        defence: Defence,
        groups: Sequence[Group],
        dropout: float,
        auxiliary: Sequence[np.ndarray] | None,
        spans: PoolSpans | None = None,
    ) -> "ForwardJudge":
        """Return the judge of messages in groups, each handed to an attack in one call.

        dropout: E's rate; auxiliary: text of the same kind (None: words drawn evenly stand in);
        spans: of the pool, where it is of made-up records.
        """
        messages = tuple(message for group, _, _ in groups for message in group)
        batches = tuple(batch for _, group, _ in groups for batch in group)
        special = prepared.vocabulary.special
        counted = tuple(countable(batch, special) for batch in batches)
        repeats = 1
        if not defence.one_shot:  # else the noise of the first message stands in all
            named = [
                [(m.client, b.index.numpy()) for m, b in zip(each, own, strict=True)]
                for each, own, _ in groups
            ]
            repeats = most_repeats(named)
        attention = [message.attention_mask for message in messages]
        shares = largest_shares(prepared.pool)
        cut = prepared.split.cut_layer
        bounds = [
            reconstruction_bound(defence, cut, attention, counted, shares, repeats, alone)
            for alone in (False, True)
        ]
        names = tuple(prepared.tokenizer.convert_ids_to_tokens(range(prepared.vocabulary.size)))
        words = prepared.pool.tokens[~np.isin(prepared.pool.tokens, special)]
        often = np.bincount(words, minlength=prepared.vocabulary.size)
        rng = numpy_rng(seed, "floor")
        if auxiliary is None:
            auxiliary = _public(attention, prepared.vocabulary.size, special, rng)
        step = max(1, (len(groups) - 1) // (STATES - 1))
        known = (make() for _, _, make in groups[::step])  # one at a time: tables are large
        noise = generator(seed, "floor noise")
        return ForwardJudge(
            seed=seed,
            messages=messages,
            batches=batches,
            true=tuple(batch.input_ids.numpy() for batch in batches),
            counted=counted,
            text=Text(tuple(special), classify(names, special, often), often),
            vocabulary=names,
            unknown=prepared.tokenizer.unk_token_id,
            bounds=(bounds[0], bounds[1]),
            reference=reference_attack(defence, known, auxiliary, special, dropout, rng, noise),
            spans=None if spans is None else marked(spans, prepared, messages, batches),
        )

    def leaks(
        self, head: Head, guessed: Sequence[np.ndarray], alone: bool, adaptive: bool
    ) -> Iterator[LeakageEntry]:
        """Yield a record entry for every metric of an attack's answer, the token accuracy first.

        alone: the attack decides every token by its own row; adaptive: it knows the mechanism, and
        is flagged where it stays below the reference attack.
        """

        def rng(metric: str) -> np.random.Generator:
            return numpy_rng(self.seed, "judge", head.attack, metric)

        for score in judge_text(self.true, guessed, self.counted, self.text, rng):
            leak = head.scored(score)
            if isinstance(leak, Leak) and score.metric == "token_accuracy":
                leak = within_limits(leak, self.reference, self.bounds[alone], adaptive)
            yield leak
        if self.spans is not None:
            for score in judge_spans(self.true, guessed, self.spans, rng):
                yield head.scored(score)

    def samples(self, guesses: dict[str, Sequence[np.ndarray]]) -> list[dict[str, Any]]:
        """Return a few sentences with what became of them; guesses: by attack, of each message."""
        names = [
            [(message.client, i) for i in batch.index.tolist()]
            for message, batch in zip(self.messages, self.batches, strict=True)
        ]
        return sampled(self.true, self.counted, names, guesses, self.vocabulary, self.unknown)


def within_limits(
    leak: Leak, reference: ReferenceAttack, bound: ReconstructionBound, adaptive: bool = True
) -> Leak:
    """Return a leak with the reference attack and the bound beside it, and the flags.

    A flag goes up where the interval lies wholly beyond the limit. An attack that is kept from
    knowing the mechanism, for comparison, is not held to the reference attack.
    """
    flags = []
    if bound.value is not None and leak.estimate.low > bound.value:
        flags.append(ABOVE_BOUND)
    expected = reference.estimate
    if adaptive and expected is not None and leak.estimate.high < expected.low:
        flags.append(BELOW_REFERENCE)
    return replace(
        leak,
        reference_attack=expected,
        reference_basis=reference.basis,
        reconstruction_bound=bound.value,
        bound_basis=bound.basis,
        prior=bound.prior,
        flags=tuple(flags),
    )


def countable(batch: Batch, special: Sequence[int]) -> np.ndarray:
    """Return the positions [batch, seq] of somebody's text: no special, no padding, and none where
    masked-LM may have put a random word.
    """
    ids = batch.input_ids.numpy()
    mine = batch.attention_mask.numpy().astype(bool) & ~np.isin(ids, list(special))
    return mine & (batch.labels.numpy() == IGNORED) if batch.labels.dim() == 2 else mine


def _public(
    attention: Sequence[np.ndarray], size: int, special: Sequence[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return texts as long as the attacked ones, of words that are drawn evenly."""
    words = np.setdiff1d(np.arange(size), list(special))
    lengths = [int(row.sum()) for mask in attention for row in mask != 0]
    return [rng.choice(words, size=length) for length in lengths if length]
