"""Words of a client, by the rows of the word table that its steps moved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from attacks.attack import Lacks, check_noise, served, unfit_noise
from fedbert.errors import InputError, expect
from fedbert.messages import Array, ClientParts, ClientUpdate, Message, RowValues, dense

ROUNDING = 2e-6
"""Relative change of a row that float32 arithmetic explains: its error grows like the root of the
number of steps, 3e-8 each, so this holds for about a thousand steps."""

ONE_STEP = 2.5e-7
"""The same for a single step."""

GROWTH = 1e-5
"""Relative change of a second moment that rounding explains."""

BETAS = (0.9, 0.999)
"""What AdamW multiplies its moments by in every step."""

OUTLYING = 6.0
"""Robust standard deviations from the median at which a row of a tied table is out of line."""

COMMON, INLIERS, FITS = 24, 0.9, 3  # one common direction per so many columns; share; passes
NORMAL = 1.4826  # standard deviations of a normal variable per median absolute deviation
ROWS_AT_ONCE = 2048  # in float64: a table is large
LEAST_SPREAD = 0.1  # of the logarithms of residuals: below it, all are alike up to rounding


@dataclass(frozen=True)
class TableKnowledge:
    """What the adversary knows of the word table and of the noise on its update.

    word: transformers' name of the word table, as in ClientUpdate.tensors.
    tied: whether masked-LM's decoder is that table, so that every row gets a gradient.
    noise_std, noise: as in `attacks.attack.Knowledge`, on each value of what the adversary sees.
    steps: how many steps are between what the adversary compares; None: up to a thousand.
    false_positives: the number of words falsely named to expect in the whole table under noise,
        and a bound on the probability to name any: Bonferroni.

    Raises:
        InputError: for settings that cannot be.
    """

    word: str | None = None
    tied: bool = False
    noise_std: float = 0.0
    steps: int | None = None
    false_positives: float = 0.01
    noise: str = "gaussian"

    def __post_init__(self) -> None:
        """Check every setting."""
        check_noise(self.noise, self.noise_std)
        least, value = "false_positives > 0", self.false_positives
        expect(0 < value < float("inf"), least, "false_positives", value)


@dataclass(frozen=True)
class _Seen:
    """A table before and after, and the moments beside it where they were handed on."""

    before: Array
    after: Array
    old: dict[str, Array]
    new: dict[str, Array]


@dataclass(frozen=True)
class EmbeddingRows:
    """The words whose row of E's word table moved by more than weight decay explains.

    Threat model: view "aggregator": who averages, and holds each client's ClientUpdate beside the
    ClientParts that the client started from. View "peer": another client, who compares the
    ClientParts that it received at one time and at the next, and so learns the words of all who
    trained in between, itself among them; where moments are handed on, the first ClientParts is
    enough.

    | table | method | what holds |
    |---|---|---|
    | untied | what is left after weight decay's common factor | exact, see below |
    | untied, moments handed on | rows whose second moment grew | exact |
    | untied, Gaussian noise | energy of what is left, chi-square | false positives as asked for |
    | tied | out of the common directions, or against them | heuristic |
    | tied, moments handed on | the same of the first moment, a sum of gradients | heuristic |
    | tied, Gaussian noise | energy out of the common directions | heuristic |

    Exact means: every word that had a gradient, and no other. Masked-LM gives none to a sequence
    in which nothing was masked, and none, in an untied table, to a word that shows only as a
    label; it names the mask token and the random words that it drew. The padding word never has
    a gradient. AdamW moves a row on by its first moment in steps in which its word does not occur:
    where clients keep their moments over rounds, words of earlier rounds are named too, but not
    where moments are handed on. Under noise, at least half of the rows have to be untouched:
    weight decay's factor is the rows' median.

    With a tied decoder every row moves by its word's probability along H's features, and the
    words that occurred are told by what sticks out of the directions which nine tenths of the rows
    share, or, for labels, by moving against them. AdamW's update is nearly the gradient's sign,
    which blurs that. On MiniLM (vocabulary 30522, hidden 384), of the words with a gradient, with
    the threshold OUTLYING: from the update 0.3 to 0.6 are found, from the first moment 0.99 to
    all, with at most 3 in 1000 of those named wrong. No error rate is claimed for other models.

    Reference: Melis, Song, De Cristofaro, Shmatikov (2019), "Exploiting unintended feature leakage
    in collaborative learning", section 4.1.
    """

    name: str = "embedding rows"
    view: str = "aggregator"

    def __post_init__(self) -> None:
        """Check the view."""
        expect(self.view in ("aggregator", "peer"), "aggregator or peer", "view", self.view)

    def missing(self, knowledge: TableKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        needs = unfit_noise(knowledge.noise, ("gaussian",))
        if knowledge.word is None:
            needs.insert(0, ("word", "`word`: the name of the word table"))
        return Lacks.of(needs)

    def tokens(self, messages: Sequence[Message], knowledge: TableKnowledge) -> list[np.ndarray]:
        """Return the sorted word ids [word] int64, per ClientUpdate, or per pair of ClientParts.

        messages: in the order in which they crossed. As aggregator: one answer per ClientUpdate;
            as peer: one per ClientParts, against the one before it to the same client; of the
            first, only where it has moments.

        Raises:
            InputError: if `missing` says that something is lacking, or a ClientUpdate comes
                without its ClientParts or without the word table (frozen tables tell nothing).
        """
        table = served(knowledge.word, self.missing(knowledge), self.name)
        pairs = _updates if self.view == "aggregator" else _receipts
        return [_words(seen, knowledge) for seen in pairs(messages, table)]


def as_peer() -> EmbeddingRows:
    """Return the attack as another client runs it, under a name of its own."""
    return EmbeddingRows("embedding rows, received", "peer")


def _updates(messages: Sequence[Message], word: str) -> Iterator[_Seen]:
    """Yield the table before and after each ClientUpdate."""
    starts = {(m.client, m.round): m for m in messages if isinstance(m, ClientParts)}
    for message in messages:
        if not isinstance(message, ClientUpdate):
            continue
        start = starts.get((message.client, message.round))
        if start is None:
            got = f"client={message.client} round={message.round}"
            raise InputError(f"expected the ClientParts of each ClientUpdate, got none for {got}")
        after = dense(_named(message.tensors, word))
        old, new = _moments(start.moments, word), _moments(message.moments, word)
        yield _Seen(_named(start.tensors, word), after, old, new)


def _receipts(messages: Sequence[Message], word: str) -> Iterator[_Seen]:
    """Yield the table before and after each ClientParts, as far as its receiver can tell."""
    last: dict[int, ClientParts] = {}
    for message in messages:
        if not isinstance(message, ClientParts):
            continue
        after, new = _named(message.tensors, word), _moments(message.moments, word)
        start = last.get(message.client)
        if start is not None:
            old = _moments(start.moments, word)
            yield _Seen(_named(start.tensors, word), after, old, new)
        elif new:
            yield _Seen(after, after, {}, new)
        last[message.client] = message


def _named(tensors: Mapping[str, Array | RowValues], word: str) -> Array:
    """Return the dense word table of a message.

    Raises:
        InputError: if it is not there.
    """
    if word not in tensors:
        raise InputError(f"expected the word table in the message, got none named word={word!r}")
    return dense(tensors[word])


def _moments(moments: Mapping[str, Array], word: str) -> dict[str, Array]:
    """Return the word table's moments by their own name, such as "exp_avg"."""
    return {n.rsplit("/", 1)[1]: v for n, v in moments.items() if n.rsplit("/", 1)[0] == word}


def _words(seen: _Seen, knowledge: TableKnowledge) -> np.ndarray:
    """Return the words [word] that a change of the table shows."""
    if "exp_avg_sq" in seen.new and not knowledge.tied:
        grown = seen.new["exp_avg_sq"] > _faded(seen, "exp_avg_sq", 1) * (1 + GROWTH)
        return np.flatnonzero(grown.any(1))
    if "exp_avg" in seen.new and knowledge.tied:
        gradient = seen.new["exp_avg"] - _faded(seen, "exp_avg", 0)
        return np.flatnonzero(_out_of_line(gradient))
    factor = _factor(seen)
    if knowledge.tied:
        moved = np.concatenate([after - factor * before for before, after in _blocks(seen)])
        noisy = knowledge.noise_std > 0
        return np.flatnonzero(_above_noise(moved, knowledge) if noisy else _out_of_line(moved))
    rows = len(seen.before)
    far = [_far(old, new - factor * old, knowledge, rows) for old, new in _blocks(seen)]
    return np.flatnonzero(np.concatenate(far))


def _blocks(seen: _Seen) -> Iterator[tuple[Array, Array]]:
    """Yield the table before and after [row, hidden], some rows at a time, in float64."""
    for start in range(0, max(1, len(seen.before)), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        yield seen.before[some].astype(np.float64), seen.after[some].astype(np.float64)


def _faded(seen: _Seen, name: str, which: int) -> Array:
    """Return what is left of an old moment [vocab, hidden] after the steps in between."""
    if name not in seen.old:
        return np.zeros_like(seen.new[name], dtype=np.float64)
    steps = float(seen.new["step"]) - float(seen.old["step"])
    return np.asarray(seen.old[name].astype(np.float64) * BETAS[which] ** steps)


def _factor(seen: _Seen) -> float:
    """Return what weight decay multiplied the untouched rows by.

    They are those that stayed parallel to themselves; without any, as under noise, all are taken.
    """
    found = zip(*(_factors(*block) for block in _blocks(seen)), strict=True)
    factors, parallel = (np.concatenate(parts) for parts in found)
    if len(factors) == 0:
        return 1.0
    return float(np.median(factors[parallel] if parallel.any() else factors))


def _factors(before: Array, after: Array) -> tuple[Array, Array]:
    """Return what rows were multiplied by, as far as it goes, and whether they stayed parallel."""
    squares = np.square(before).sum(1)
    some = squares > 0
    factors = (after[some] * before[some]).sum(1) / squares[some]
    left = np.linalg.norm(after[some] - factors[:, None] * before[some], axis=1)
    return factors, left <= ROUNDING * np.sqrt(squares[some])


def _far(before: Array, moved: Array, knowledge: TableKnowledge, rows: int) -> Array:
    """Return which of some rows of an untied table moved further than rounding, or noise, goes.

    rows: how many there are in the whole table.
    """
    if knowledge.noise_std > 0:
        return np.asarray(np.square(moved).sum(1) > _noise_limit(knowledge, rows, moved.shape[1]))
    rounding = ROUNDING if knowledge.steps is None else ONE_STEP * knowledge.steps**0.5
    lengths = np.linalg.norm(before, axis=1)
    return np.asarray(np.linalg.norm(moved, axis=1) > min(rounding, ROUNDING) * lengths)


def _noise_limit(knowledge: TableKnowledge, rows: int, freedom: int) -> float:
    """Return the energy that Gaussian noise on a row does not exceed."""
    rate = min(1.0, knowledge.false_positives / max(rows, 1))
    return float(chi2.isf(rate, freedom) * knowledge.noise_std**2)


def _above_noise(moved: Array, knowledge: TableKnowledge) -> Array:
    """Return which rows [vocab] of a tied table have more energy than Gaussian noise explains."""
    common = _common(moved)
    moved = moved - (moved @ common) @ common.T
    limit = _noise_limit(knowledge, len(moved), moved.shape[1] - common.shape[1])
    return np.asarray(np.square(moved).sum(1) > limit)


def _out_of_line(rows: Array) -> Array:
    """Return which rows [vocab] leave the directions that most share, or go against them."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    units = rows / np.maximum(lengths, 1e-300)
    against = units @ np.median(units, axis=0) < 0
    common = _common(units)
    left = np.square(units - (units @ common) @ common.T).sum(1)
    logs = np.log(np.maximum(left, np.finfo(np.float32).eps ** 2))
    middle = np.median(logs)
    spread = max(NORMAL * float(np.median(np.abs(logs - middle))), LEAST_SPREAD)
    return np.asarray(against | (logs - middle > OUTLYING * spread))


def _common(rows: Array) -> Array:
    """Return orthonormal directions [hidden, direction] near which most of the rows lie.

    Principal directions of the share INLIERS of rows that fit the last ones best.
    """
    count = max(1, rows.shape[1] // COMMON)
    lengths = np.square(rows).sum(1)
    common: Array = np.median(rows, axis=0)[:, None]
    common = common / max(float(np.linalg.norm(common)), 1e-300)
    for _ in range(FITS):
        left = lengths - np.square(rows @ common).sum(1)
        inliers = rows[np.argsort(left, kind="stable")[: max(1, int(INLIERS * len(rows)))]]
        common = np.linalg.eigh(inliers.T @ inliers)[1][:, -count:]
    return common
