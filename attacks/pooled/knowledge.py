"""Knowledge of whoever sees pooled vectors of private text, and the protocol of attacks on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Lacks, check_noise, served, unfit_noise
from fedbert.errors import expect

Texts = Sequence[np.ndarray]
LEAST = 40
"""Auxiliary texts below which nothing can be learnt and checked."""
BORDER = -1
"""Stands between the two texts of a pair while its parts are put together anew."""


@dataclass(frozen=True)
class PooledKnowledge:
    """The threat model as a value: what the adversary knows besides the vectors.

    Threat model: anyone who holds the released model, and so turns text of its own into vectors; it
    sees the vectors of private text, and knows the mechanism that they went through (Kerckhoffs).

    embed: returns the vectors [text, hidden] that the model makes of texts (token ids [seq] each,
        special tokens included), before clip and noise; None: the adversary lacks the model.
    auxiliary: such texts of the same kind as the private ones, none of them private.
    special: the ids that are nobody's text.
    clip_norm, noise_std: each vector is clipped to this L2 norm, then gets noise of this root mean
        square on every coordinate. noise: its distribution, as in `attacks.attack.Knowledge`.
    between: where each text is a pair, the special ids that stand between its two.

    Raises:
        InputError: for a mechanism that cannot be.
    """

    embed: Callable[[Texts], np.ndarray] | None = None
    auxiliary: tuple[np.ndarray, ...] | None = None
    special: tuple[int, ...] = ()
    clip_norm: float | None = None
    noise_std: float = 0.0
    noise: str = "gaussian"
    between: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the mechanism."""
        bounded = self.clip_norm is None or self.clip_norm > 0
        expect(bounded, "clip_norm > 0 or None", "clip_norm", self.clip_norm)
        check_noise(self.noise, self.noise_std)

    def missing(self) -> Lacks | None:
        """Return what is lacking for any attack on pooled vectors, or None."""
        lacking = []
        if self.embed is None:
            words = "`embed`: the released model, to make vectors of text of its own"
            lacking.append(("embed", words))
        if self.auxiliary is None:
            lacking.append(("auxiliary", "`auxiliary`: text like the private one"))
        elif len(self.auxiliary) < LEAST:
            words = f"`auxiliary`: at least {LEAST} texts, not {len(self.auxiliary)}"
            lacking.append(("auxiliary", words))
        return Lacks.of([*lacking, *unfit_noise(self.noise, ("gaussian",))])

    def clipped(self, vectors: np.ndarray) -> Tensor:
        """Return vectors [text, hidden] after the mechanism's clip, float32."""
        rows = torch.from_numpy(np.asarray(vectors, dtype=np.float32))
        if self.clip_norm is None:
            return rows
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1e-12)
        clipped: Tensor = rows * (self.clip_norm / norms).clamp(max=1)
        return clipped

    def body(self, text: np.ndarray) -> np.ndarray:
        """Return a text's ids [word] without special ones."""
        return text[~np.isin(text, self.special)]

    def bordered(self, text: np.ndarray) -> np.ndarray:
        """Return a text's body, of a pair with BORDER between its two texts."""
        if not self.between:
            return self.body(text)
        at = np.flatnonzero(text == self.between[0])[0]
        return np.concatenate([self.body(text[:at]), [BORDER], self.body(text[at:])])

    def framed(self, body: np.ndarray) -> np.ndarray:
        """Return a body between the special ids with which the auxiliary texts begin and end.

        Of pairs the second text begins at the body's first BORDER, or half-way where it has none.
        """
        first = self.auxiliary[0] if self.auxiliary else np.zeros(0, dtype=np.int64)
        if self.between:
            at = np.flatnonzero(body == BORDER)[:1]
            cut = at if len(at) else [len(body) - len(body) // 2]
            parts = [part[part != BORDER] for part in np.split(body, cut)]
            return np.concatenate([first[:1], parts[0], self.between, parts[1], first[-1:]])
        inside = np.flatnonzero(~np.isin(first, self.special))
        start, end = (inside[0], inside[-1] + 1) if len(inside) else (len(first), len(first))
        return np.concatenate([first[:start], body, first[end:]])


class PooledAttack(Protocol):
    """Guesses the words of texts from one vector each. It never holds the truth."""

    @property
    def name(self) -> str:
        """The attack's name in reports."""

    @property
    def view(self) -> str:
        """Whose view the vectors come from: "release"."""

    def missing(self, knowledge: PooledKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""

    def invert(
        self, vectors: np.ndarray, knowledge: PooledKnowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the guessed token ids [word] int64 of each vector [sequence, hidden].

        Special ids are not guessed; attacks that do not know the order name each word once.

        Raises:
            InputError: if `missing` says that something is lacking, or the vectors are not such as
                `embed` makes.
        """


def required(knowledge: PooledKnowledge, vectors: np.ndarray, name: str) -> tuple[Texts, Tensor]:
    """Return the auxiliary texts and their clipped vectors [text, hidden].

    Raises:
        InputError: as `PooledAttack.invert`.
    """
    lacks = knowledge.missing()
    embed, texts = served(knowledge.embed, lacks, name), served(knowledge.auxiliary, lacks, name)
    clean = knowledge.clipped(embed(texts))
    fits = vectors.ndim == 2 and vectors.shape[1] == clean.shape[1]
    expect(fits, f"vectors [sequence, {clean.shape[1]}]", "shape", vectors.shape)
    expect(bool(np.isfinite(vectors).all()), "finite vectors", "vectors", "with NaN or infinity")
    return texts, clean
