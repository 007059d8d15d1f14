"""Judge of attacks on the smashed data: scores beside chance and bounds, and flags."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attacks.attack import Knowledge
from evaluation.attacking.bounds import Ceiling, Floor, ceiling, floor, largest_shares, most_heard
from evaluation.attacking.samples import sampled
from evaluation.metrics.inversion import Score, Text, judge_text
from evaluation.metrics.token_classes import classify
from fedbert.data.batches import IGNORED, Batch
from fedbert.messages import SmashedData
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from privacy.defence import Defence
from reports.metrics import ABOVE_CEILING, BELOW_FLOOR

STATES = 3  # of the tables that the floor is simulated with: first, last, between
Group = tuple[Sequence[SmashedData], Sequence[Batch], Callable[..., Knowledge]]
"""Messages, the batches behind them, and what makes the knowledge that an attacker has of them."""


@dataclass(frozen=True)
class ForwardJudge:
    """What is needed to judge any attack on some smashed data.

    true, counted: [batch, seq] of each message; ceilings: for attacks that use all rows, and for
    those that decide each token alone.
    """

    seed: int
    messages: tuple[SmashedData, ...]
    batches: tuple[Batch, ...]
    true: tuple[np.ndarray, ...]
    counted: tuple[np.ndarray, ...]
    text: Text
    vocabulary: tuple[str, ...]
    ceilings: tuple[Ceiling, Ceiling]
    floor: Floor

    @staticmethod
    def of(
        seed: int,
        prepared: Prepared,
        defence: Defence,
        groups: Sequence[Group],
        dropout: float,
        auxiliary: Sequence[np.ndarray] | None,
    ) -> "ForwardJudge":
        """Return the judge of messages in groups, each handed to an attack in one call.

        dropout: E's rate; auxiliary: text of the same kind (None: words drawn evenly stand in).
        """
        messages = tuple(message for group, _, _ in groups for message in group)
        batches = tuple(batch for _, group, _ in groups for batch in group)
        special = prepared.vocabulary.special
        counted = tuple(countable(batch, special) for batch in batches)
        heard = 1
        if not defence.one_shot:  # else the noise of the first message stands in all
            named = [
                [(m.client, b.index.numpy()) for m, b in zip(each, own, strict=True)]
                for each, own, _ in groups
            ]
            heard = most_heard(named)
        attention = [message.attention_mask for message in messages]
        shares = largest_shares(prepared.pool)
        cut = prepared.split.cut_layer
        bounds = [
            ceiling(defence, cut, attention, counted, shares, heard, alone)
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
            ceilings=(bounds[0], bounds[1]),
            floor=floor(defence, known, auxiliary, special, dropout, rng, noise),
        )

    def leaks(
        self, head: dict[str, Any], guessed: Sequence[np.ndarray], alone: bool, adaptive: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield a record entry for every metric of an attack's answer, the token accuracy first.

        head: view, attack and family; alone: the attack decides every token by its own row;
        adaptive: it knows the mechanism, and is flagged where it stays below the floor.
        """
        attack = head["attack"]

        def rng(metric: str) -> np.random.Generator:
            return numpy_rng(self.seed, "judge", attack, metric)

        for score in judge_text(self.true, guessed, self.counted, self.text, rng):
            if score.estimate is None:
                yield {**head, "metric": score.metric, "not_measured": score.why}
                continue
            leak = {
                **head,
                "metric": score.metric,
                "estimate": score.estimate,
                "unit": score.unit,
                "chance": score.chance,
            }
            if score.metric == "token_accuracy":
                leak |= limits(score, self.floor, self.ceilings[alone], adaptive)
            yield leak

    def samples(self, guesses: dict[str, Sequence[np.ndarray]]) -> list[dict[str, Any]]:
        """Return a few sentences with what became of them; guesses: by attack, of each message."""
        names = [
            [(message.client, i) for i in batch.index.tolist()]
            for message, batch in zip(self.messages, self.batches, strict=True)
        ]
        return sampled(self.true, self.counted, names, guesses, self.vocabulary)


def limits(score: Score, least: Floor, most: Ceiling, adaptive: bool = True) -> dict[str, Any]:
    """Return floor and ceiling of a score, each a value or None, on what they rest, and the flags.

    A flag goes up where the interval lies wholly beyond the limit. An attack that is kept from
    knowing the mechanism, for comparison, is not held to the floor.
    """
    flags = []
    found = score.estimate
    if found is not None and most.value is not None and found.low > most.value:
        flags.append(ABOVE_CEILING)
    low = least.estimate
    if adaptive and found is not None and low is not None and found.high < low.low:
        flags.append(BELOW_FLOOR)
    return {
        "ceiling": most.value,
        "ceiling_basis": most.basis,
        "prior": most.prior,
        "floor": least.estimate,
        "floor_basis": least.basis,
        "flags": flags,
    }


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
