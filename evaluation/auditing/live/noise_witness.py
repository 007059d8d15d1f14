"""Witnesses of a training's noise, in the operator's own process: released less what went in.

That difference is the noise itself, which `evaluation.metrics.noise_test` holds against the claim:
the strongest check there is of an implementation, and no adversary's view, since none knows the
sums before the noise. Nothing of the noise is kept beyond the last releases, in memory alone.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from evaluation.auditing.canaries.fresh_coins import COARSE
from evaluation.auditing.canaries.planted_clients import noise_in_clips
from evaluation.metrics.noise_e_values import bare_limit
from evaluation.metrics.noise_test import SKETCH, NoisePart
from fedbert.messages import Array
from fedbert.round import SERVER
from fedbert.server import Server
from privacy.banded_factorisation import column_norms
from privacy.client_updates import ClientUpdates
from privacy.defence import Defence, over_rounds
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD

logger = logging.getLogger(__name__)

Tell = Callable[[Mapping[str, NoisePart]], None]
"""Takes the noise of one release, by parameter."""


@cache
def _passed_over(name: str) -> None:
    """Say once that a parameter's noise is not looked at."""
    told = "the noise of %s is not looked at: values are rounded more coarsely than it could show"
    logger.warning(told, name)


class FreshNoise:
    """Witness of noise that each release draws by itself; std: of it, as claimed."""

    def __init__(self, tell: Tell, std: Callable[[], float]) -> None:
        """Tell of every release."""
        self.tell, self.std = tell, std
        self._parts: dict[str, NoisePart] = {}

    def heard(self, name: str, clean: Array, released: Array, rounding: float) -> None:
        """Take in one parameter's noise [value]."""
        std = self.std()
        if rounding > COARSE * std:
            _passed_over(name)
            return
        noise = (released.astype(np.float64) - clean) / std
        self._parts[name] = NoisePart.of(noise, rounding / std)

    def ended(self) -> None:
        """Tell of the release."""
        parts, self._parts = self._parts, {}
        if parts:
            self.tell(parts)


class RoundsNoise:
    """Witness of DP-FTRL's noise, C^-1 Z: it takes the last rounds' share off and looks at Z.

    Only the first values of a parameter are followed over rounds; on all of them it looks for
    values without noise. whole: no noise was added before the first round that it hears of, so that
    nothing is missing; else it waits until it has heard of as many rounds as there are bands.
    """

    def __init__(self, tell: Tell, mechanism: DPFTRL, std: float, whole: bool) -> None:
        """Tell of every round; std: the claim's, of the fresh noise."""
        self.tell, self.std, self.whole = tell, std, whole
        self.weights, self.round = mechanism.coefficients, 0
        self.norms = column_norms(mechanism.coefficients, mechanism.rounds)
        self._rows: dict[str, deque[np.ndarray]] = {}
        self._parts: dict[str, NoisePart] = {}

    def heard(self, name: str, clean: Array, released: Array, rounding: float) -> None:
        """Take in one parameter's noise in a round [value]."""
        scale = self.std * float(self.norms[self.round])
        if rounding > COARSE * scale:
            _passed_over(name)
            return
        rows = (released.astype(np.float64) - clean) / scale
        first, *others = self.weights
        past = self._rows.setdefault(name, deque(maxlen=len(others)))
        fresh = first * rows[:SKETCH]
        for weight, row in zip(others, past, strict=False):
            fresh = fresh + weight * row
        known = self.whole or len(past) == len(others)
        past.appendleft(rows[:SKETCH].copy())
        limit = bare_limit(rows.size, rounding * first / scale)
        bare = int((np.abs(rows) * first <= limit).sum())  # most likely of noise without a mean
        fresh = fresh if known else np.zeros(0)
        sized = float(fresh @ fresh), len(fresh)
        self._parts[name] = NoisePart(*sized, bare, rows.size, limit, fresh)

    def ended(self) -> None:
        """Tell of the round."""
        parts, self._parts = self._parts, {}
        if parts:
            self.tell(parts)


class NoiseWatch:
    """Puts witnesses where a defence noises sums, as parties come; watches a fleet.

    claimed: the noise multiplier of the claim. fresh: what a launch adds knows nothing of earlier
    noise (secret noise), where a training goes on.
    """

    def __init__(self, tell: Tell, defence: Defence, claimed: float, fresh: bool) -> None:
        """Hold what all witnesses tell."""
        self.tell, self.defence, self.claimed, self.fresh = tell, defence, claimed, fresh
        self._server: Server | None = None
        self._witness: FreshNoise | RoundsNoise | None = None

    def met(self, name: str, party: Any) -> None:
        """Let a party's noise be heard."""
        training = self.defence.training
        if name == SERVER:
            self._server = party
        elif training is not None:
            private = getattr(party.private, "inner", party.private)
            private.witness = self._step(training, private.share.expected)

    def before(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Stand by the sum of a round."""
        if (name, method) != (SERVER, "open_round") or self._server is None:
            return
        if self.defence.training is None:
            self._witness = self._witness or self._of_rounds(self._server, int(arguments[0]))
            if isinstance(self._witness, RoundsNoise):
                self._witness.round = int(arguments[0])
            self._server.witness = self._witness

    def after(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Stand by the server's own steps of DP-SGD, whose copy of T has just come."""
        training = self.defence.training
        if name != SERVER or self._server is None or training is None:
            return
        private = getattr(self._server.copies, "private", None)
        if method in ("open_group", "open_turn") and private is not None:
            private.witness = self._step(training, private.share.expected)

    def _step(self, mechanism: DPSGD, expected: float) -> FreshNoise:
        std = self.claimed * mechanism.clip_norm / expected
        return FreshNoise(self.tell, lambda: std)

    def _of_rounds(self, server: Server, round_: int) -> FreshNoise | RoundsNoise:
        correlated = over_rounds(self.defence.update)
        if correlated is not None:
            std = self.claimed * correlated.clip_norm
            return RoundsNoise(self.tell, correlated, std, self.fresh or round_ == 0)
        return FreshNoise(self.tell, lambda: self._of_updates(server))

    def _of_updates(self, server: Server) -> float:
        """Return the claim's standard deviation on a round's sum: in clips of that round."""
        mechanism = server.mechanism
        clip = mechanism.clip_norm if isinstance(mechanism, ClientUpdates) else None
        return noise_in_clips(mechanism, self.defence.update, self.claimed) * (clip or 0.0)
