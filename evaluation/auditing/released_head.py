"""Released head of a training by one message, held against its public text and its own data.

Whoever has the data can make the head without noise, and draw heads with the noise that the
manifest records. A head nearer to the one without noise than any of them was made with less of it.
Near is told by directions alone: how common a class seems stretches what the head says of it, and
noise on that share would drown all else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from evaluation.adversary.simulated_noise import source_from
from evaluation.auditing.subject import Subject
from fedbert.one_message.codes import Codes, codes_of
from fedbert.one_message.facts import layout_of
from fedbert.one_message.layout import Layout
from fedbert.one_message.learner import LinearHead, Moments, class_means, rising
from fedbert.one_message.projection import Projection
from fedbert.one_message.run import PublicPart, public_part
from fedbert.one_message.training import kept_of
from fedbert.precision import settled
from fedbert.prepare import Prepared
from fedbert.seeding import generator
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource
from reports.card.content import CONSISTENT, NOT_MEASURED, TOO_WEAK, VIOLATES, Check

DRAWS = 12_000  # of heads: one beyond all of them comes by chance once in so many
CHECKED = 200  # of heads with a tenth of the noise, to see whether that would show
PAIRS = 20_000  # of messages, at least, from whose differences the noise of a mean is told
SAME = 1e-4  # relative: of two machines' projections
NARROW = 0.1  # the same of two kinds of processors in bf16


def head_checks(subject: Subject) -> Iterator[Check]:
    """Yield whether projection and head are those that public text and recorded noise make."""
    own, defence = subject.own, subject.defence
    if not subject.one_message:
        return
    why = subject.no_public or subject.unknown
    if why or own is None or defence is None:
        yield Check("release: projection and head", NOT_MEASURED, why or "a foreign mechanism")
        return
    config, kept = subject.config, None
    if subject.checkpoint is not None:
        config, kept = subject.checkpoint.config, subject.checkpoint.state.plain
    config, _ = settled(config, own.split.whole.config, kept)
    part = public_part(config, own)
    found = _projection(subject, part.projection, config.training.precision)
    yield found
    if found.verdict == CONSISTENT and defence.smashed.cost() is not None:
        codes = codes_of(subject.task)
        yield _noise(subject, _Maker(own, defence, part, layout_of(config), codes))


def _projection(subject: Subject, public: Projection, precision: str) -> Check:
    """Return whether the released projection is that of the public text."""
    bottom = subject.split.bottom
    released = [np.asarray(each, dtype=np.float64) for each in (bottom.centre, bottom.matrix)]
    apart = max(
        _apart(released[0], public.centre),
        _apart(released[1] @ released[1].T, public.matrix @ public.matrix.T),
    )
    told = f"it lies {apart:.2g} (relative) from the one that the public text makes"
    verdict = CONSISTENT if apart < SAME else VIOLATES
    if verdict == VIOLATES and precision == "bf16" and apart < NARROW:
        verdict = TOO_WEAK
        told += "; bf16 on a processor of another kind may move it by as much"
    return Check("release: projection of the public text", verdict, told)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _noise(subject: Subject, maker: "_Maker") -> Check:
    """Return whether the released head lies as far out as the recorded noise puts heads."""
    linear: Any = subject.split.head.steps["classifier"]
    weight, bias = (each.detach().double().numpy() for each in linear.parameters())
    clean = maker.directions(maker.moments())
    near = _nearness(maker.of(LinearHead(weight, bias))[None], clean)[0]
    source = source_from(generator(subject.config.seed, "audit heads"))
    drawn = _nearness(maker.drawn(source, DRAWS), clean)
    tenth = _nearness(maker.drawn(source.under("tenth"), CHECKED, 0.1), clean)
    beyond = int((drawn >= near).sum())
    p = (1 + beyond) / (1 + len(drawn))
    name, told = "release: noise in the head", f"{beyond} of {len(drawn)} heads drawn with the"
    told += f" recorded noise lie nearer to the head without noise than this one (p = {p:.2g})"
    if beyond == 0:
        return Check(name, VIOLATES, f"{told}: it was made with less noise")
    if np.median(tenth) <= drawn.max():
        return Check(name, TOO_WEAK, f"{told}; a tenth of the noise would not show")
    return Check(name, CONSISTENT, f"{told}; a tenth of the noise would show")


def _nearness(heads: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return how near heads [head, output, direction] point to the clean one [head]: minus the
    logarithm of the squared sine of the angle, summed over outputs.
    """
    lengths = np.linalg.norm(heads, axis=2) * np.linalg.norm(clean, axis=1)
    cosine = (heads * clean).sum(2) / np.maximum(lengths, 1e-300)
    found: np.ndarray = -np.log(np.maximum(1.0 - cosine * np.abs(cosine), 1e-12)).sum(1)
    return found


@dataclass(frozen=True)
class _Maker:
    """Makes heads of a training's own data under fresh noise."""

    own: Prepared
    defence: Defence
    part: PublicPart
    layout: Layout
    codes: Codes

    def of(self, head: LinearHead) -> np.ndarray:
        """Return where the outputs of a head point, in units in which noise spreads evenly.

        Of classes against their mean: what all logits share changes no answer.
        """
        found: np.ndarray = head.weight @ self.part.projection.covariance
        return found if self.codes.corners is None else found - found.mean(0)

    def directions(self, moments: Moments) -> np.ndarray:
        """Return the same of the head that moments say [output, direction]."""
        if self.codes.corners is not None:
            means = class_means(moments, self.codes.corners)
            apart: np.ndarray = means - means.mean(0)
            return apart
        told = moments.product - np.outer(moments.code, moments.row)
        covariance, known = self.part.projection.covariance, self.part.projection.likeness
        if known is None:
            return told
        slope = rising(np.linalg.solve(covariance, told.T).T, covariance, known)
        turned: np.ndarray = slope @ covariance
        return turned

    def moments(self) -> Moments:
        """Return the moments without noise."""
        rows, labels = self.records
        return self._named(self._flat(rows, self.codes.of(labels)).mean(0))

    def drawn(self, source: NoiseSource, count: int, scale: float = 1.0) -> np.ndarray:
        """Return the directions of heads with the recorded noise, that of messages scaled."""
        rows, labels = self.records
        mean, draws = self._flat(rows, self.codes.of(labels)).mean(0), source.draws("means")
        if self.layout.labels == "within":
            still = torch.zeros(count, len(mean), dtype=torch.float64)
            moved = scale * self.defence.smashed.add_noise(still, draws).numpy() / len(rows) ** 0.5
        else:
            spread, axes = np.linalg.eigh(self._covariance(rows, labels, source, scale))
            normal = draws.gaussian((count, len(mean))).numpy()
            moved = (normal * np.sqrt(np.maximum(spread, 0.0))) @ axes.T
        return np.stack([self.directions(self._named(mean + each)) for each in moved])

    @cached_property
    def records(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the unit ball [record, direction] and labels of all that was sent."""
        held = [data.encoded for data in self.own.clients]
        vectors = np.concatenate([self.part.vectors.of(each) for each in held])
        rows = self.part.projection.inside(vectors)
        return rows, np.concatenate([each.labels for each in held])

    def _covariance(
        self, rows: np.ndarray, labels: np.ndarray, source: NoiseSource, scale: float
    ) -> np.ndarray:
        """Return that of the noise in the mean of messages with answered labels beside them.

        scale: of the messages' noise; labels are answered as recorded.
        """
        kept, times = kept_of(self.defence), max(1, PAIRS // len(rows))
        total: Any = 0.0
        for number in range(times):
            pair = []
            for side in (0, 1):
                own = source.under("pair", number, side)
                noised = self.defence.smashed.add_noise(torch.from_numpy(rows), own.draws("rows"))
                sent = rows + scale * (noised.numpy() - rows)
                told = labels
                if self.defence.labels is not None:
                    told = self.defence.labels.randomise(labels, own.draws("labels"))
                pair.append(self._flat(sent, self.codes.of(told) / kept))
            apart = pair[0] - pair[1]
            total = total + apart.T @ apart
        found: np.ndarray = total / (2 * times * len(rows) ** 2)
        return found

    def _flat(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return what is averaged over records [record, value]."""
        if self.layout.labels == "within":
            return self.layout.messages(rows, codes)
        product = (codes[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
        return np.concatenate([codes, rows, product], axis=1)

    def _named(self, mean: np.ndarray) -> Moments:
        """Return the moments that such an average says [value]."""
        if self.layout.labels == "within":
            return self.layout.moments(mean)
        codes, directions = self.layout.codes, self.layout.directions
        code, row, product = np.split(mean, [codes, codes + directions])
        return Moments(code, row, product.reshape(codes, directions))
