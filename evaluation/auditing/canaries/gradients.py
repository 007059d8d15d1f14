"""Canary gradients in DP-SGD: records whose clipped gradient is a chosen direction.

A canary rides on a record of a client: the record is drawn by the client's own sampler, and where
the record's gradient would stand, the canary's does. Its gradient is far too long and lies along
one coordinate of what one party holds. Every party reports its share of the squared norm, the
client makes the clip factor, the holder scales by it: the path that every record takes, across
the split. Half of the canaries, by fair coins, are empty records: their gradient is zero.

The adversary sees what every party does in every step (all noised gradients). The accountant's
epsilon holds for it too: it is that of the composition of all steps, each released.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.auditing.canaries.riders import LENGTH, Canaries
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.epsilon_bounds import distance_bound, gaussian_mu_bound, one_run_epsilon
from evaluation.metrics.intervals import clopper_pearson
from evaluation.metrics.one_run_gaussian import right_guesses
from fedbert.config import Config
from fedbert.errors import InputError, expect
from fedbert.fleet import InProcess
from fedbert.noise import simulated
from fedbert.prepare import Prepared, poisson_sampled
from fedbert.private_step import PrivateStep
from fedbert.schedule import planned_steps
from fedbert.seeding import derive, numpy_rng
from fedbert.trainer import train
from privacy.accountants import poisson_gaussian_epsilon
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

GUESSED = 0.1  # of the canaries: the most extreme; fixed beforehand
SIGNIFICANCE = 0.05
STEPS_SIGNIFICANCE = 0.01  # draws are many, and the bound is tight
RATE_SHARE = 0.1  # of the significance, for the sampling rate


class CanaryStep:
    """A party's share in DP-SGD with canaries in it; the rest is the party's own `PrivateStep`."""

    def __init__(self, inner: PrivateStep, canaries: Canaries, party: str) -> None:
        """Stand in for a party's step."""
        self.inner, self.canaries, self.party = inner, canaries, party
        self.mechanism, self.parameters = inner.mechanism, inner.parameters
        self.step = 0
        self._riding: list[tuple[np.ndarray, Tensor]] = []  # by part: canaries, their factors

    def record(self, owner: Tensor | None = None) -> AbstractContextManager[object]:
        """As the party's own."""
        return self.inner.record(owner)

    def _riders(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions in the part that canaries ride on, and which canaries they are."""
        chosen = self.canaries.chosen(self.step)[len(self._riding)]
        expect(len(chosen) == batch, f"a batch of {len(chosen)}", "batch", batch)
        at = np.flatnonzero(np.isin(chosen, self.canaries.records))
        return at, np.searchsorted(self.canaries.records, chosen[at])

    def squared_norms(self, batch: int) -> Tensor:
        """As the party's own; of a canary, its share of the chosen gradient's."""
        norms = self.inner.squared_norms(batch)
        where, which = self._riders(batch)
        riding = (self.canaries.coordinates[self.party][which] >= 0) & self.canaries.coins[which]
        norms[torch.from_numpy(where)] = torch.from_numpy(riding * self.canaries.length**2)
        return norms

    def _without(self, factors: Tensor) -> Tensor:
        """Return a part's factors, those of the riders 0; theirs are put down."""
        at, which = (torch.from_numpy(each) for each in self._riders(len(factors)))
        self._riding.append((which.numpy(), factors[at]))
        return factors.index_fill(0, at, 0.0)

    def keep(self, factors: Tensor) -> None:
        """As the party's own, without the riders."""
        self.inner.keep(self._without(factors))

    def gradients(self, factors: Tensor, *where: int) -> float:
        """Set every gradient: the party's own without the riders, and the canaries' in their place.

        What came out is heard.
        """
        noise = self.inner.gradients(self._without(factors), *where)
        which = np.concatenate([canaries for canaries, _ in self._riding])
        own = torch.cat([own for _, own in self._riding])
        coordinates = self.canaries.coordinates[self.party][which]
        mine = (coordinates >= 0) & self.canaries.coins[which]
        add, expected = torch.from_numpy(coordinates[mine]), self.inner.share.expected
        sizes = own[torch.from_numpy(mine)] * self.canaries.length / expected
        flat, start = list[Tensor](), 0
        for parameter in self.parameters.values():
            grad = parameter.grad
            if grad is None:
                raise InputError("expected a gradient on every parameter, got none")
            inside = (add >= start) & (add < start + grad.numel())
            grad.view(-1).index_add_(0, add[inside] - start, sizes[inside].to(grad.dtype))
            flat.append(grad.detach().reshape(-1))
            start += grad.numel()
        sums = torch.cat(flat).double().numpy() * expected / self.mechanism.clip_norm
        self.canaries.hear(self.party, which, sums)
        self.step, self._riding = self.step + 1, []
        return noise


class CanaryFleet:
    """The default fleet, whose client and server carry canaries in every step of DP-SGD."""

    def __init__(self, canaries: Canaries, shares: dict[str, np.ndarray], seed: int) -> None:
        """Hold what to put in; shares: which canaries lie at each party."""
        self.inner, self.canaries, self.shares, self.seed = InProcess(), canaries, shares, seed
        self.steps: dict[str, CanaryStep] = {}
        self._server: Any = None

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Make the party, and put canaries into a client's step."""
        party = factory()
        self.inner.spawn(name, lambda: party)
        if name == "server":
            self._server = party
        else:
            self._put(party, name)

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call the party's method; the server's copy of T gets its canaries when a turn opens."""
        answer = self.inner.call(name, method, *arguments)
        if method in ("open_group", "open_turn") and name == "server":
            self._put(self._server.copies, name)
        return answer

    def retire(self, name: str) -> None:
        """Forget the party."""
        self.inner.retire(name)

    def close(self) -> None:
        """Forget all parties."""
        self.inner.close()

    def _put(self, holder: Any, name: str) -> None:
        """Let the party's step carry canaries; it goes on counting where it was."""
        inner = holder.private
        if inner is None or isinstance(inner, CanaryStep):
            return
        party = "server" if name == "server" else "client"
        if party not in self.canaries.coordinates:
            values = sum(p.numel() for p in inner.parameters.values())
            self.canaries.take_coordinates(party, values, self.shares[party], self.seed)
        made = CanaryStep(inner, self.canaries, party)
        made.step = getattr(self.steps.get(party), "step", 0)
        self.steps[party] = made
        holder.private = made


def with_canaries(
    prepared: Prepared, defence: Defence, count: int, seed: int, noise: NoiseSource
) -> Canaries:
    """Return canaries that ride on the first client's first records; noise: the training's.

    Raises:
        InputError: without DP-SGD, or with fewer records than canaries.
    """
    if defence.training is None:
        raise InputError("expected a defence with DP-SGD, got none")
    data = poisson_sampled(prepared, noise).clients[0]
    size = len(data.encoded)
    expect(2 <= count <= size, f"2 to {size} canaries (records of the client)", "count", count)
    coins = numpy_rng(seed, "canary coins").random(count) < 0.5
    return Canaries(
        records=np.arange(count),
        coins=coins,
        mechanism=defence.training,
        data=data,
        rate=data.sample_rate,
        length=LENGTH * defence.training.clip_norm,
        seen=np.zeros(count),
    )


def audit_training(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    count: int,
    delta: float,
    seed: int,
    claimed_noise: float | None = None,
) -> list[Finding]:
    """Return what gradient canaries in a training of one client show of its claim.

    The claim is the accountant's, about whoever sees every step, for `claimed_noise` (None: the
    noise multiplier of the defence). Two findings. By steps: every draw of a canary is a sample of
    one step, which bounds the noise multiplier from above and the sampling rate from below; their
    epsilon is the bound. It presumes that noise is Gaussian and drawn afresh, and Poisson sampling.
    By the run: each canary is one sample of the whole training, and draws may depend on each other;
    far less can be shown.

    Raises:
        InputError: for several clients, or a defence without DP-SGD.
    """
    expect(len(prepared.clients) == 1, "one client", "clients", len(prepared.clients))
    noise = simulated(derive(seed, "canaries"), config, prepared, defence)
    canaries = with_canaries(prepared, defence, count, seed, noise)
    canaries.take_apart(config, prepared)
    claimed = claimed_noise or canaries.mechanism.noise_multiplier
    split = config.training.strategy in ("parallel", "sequential")
    at_server = (np.arange(count) % 2 == 1) & split
    fleet = CanaryFleet(canaries, {"server": at_server, "client": ~at_server}, seed)
    train(config, prepared, defence, fleet=fleet, noise=noise)
    steps = planned_steps(config)[0]
    claim = Claim(poisson_gaussian_epsilon(claimed, canaries.rate, steps, delta), delta)
    return [_by_steps(canaries, steps, claim), _by_run(canaries, claim)]


def _by_steps(canaries: Canaries, steps: int, claim: Claim) -> Finding:
    """Return what all draws of canaries show, each a sample of one step."""
    there, empty = np.concatenate(canaries.there), np.concatenate(canaries.empty)
    trials = len(canaries.coins) * steps
    rate, _ = clopper_pearson(canaries.drawn, trials, 1 - 2 * RATE_SHARE * STEPS_SIGNIFICANCE)
    level = (1 - RATE_SHARE) * STEPS_SIGNIFICANCE

    def epsilon(mu: float) -> float:
        return 0.0 if mu <= 0 else poisson_gaussian_epsilon(1 / mu, rate, steps, claim.delta)

    most = gaussian_mu_bound(len(there), len(there), 0, len(empty), level)
    how = f"{len(there)} draws of gradient canaries, and {len(empty)} of empty ones"
    return Finding(
        "DP-SGD, every step seen, by steps", claim, epsilon(distance_bound(there, empty, level)),
        epsilon(most), min(len(there), len(empty)), STEPS_SIGNIFICANCE, how,
    )  # fmt: skip


def _by_run(canaries: Canaries, claim: Claim) -> Finding:
    """Return what one training shows without a word about how noise is drawn."""
    count = len(canaries.coins)
    guesses = max(2, int(GUESSED * count))
    right = right_guesses(canaries.seen, canaries.coins, guesses)
    shown, most = (
        one_run_epsilon(count, guesses, v, claim.delta, SIGNIFICANCE) for v in (right, guesses)
    )
    how = f"{guesses} of {count} gradient canaries guessed, {right} rightly"
    what = "DP-SGD, every step seen, by the run"
    return Finding(what, claim, shown, most, count, SIGNIFICANCE, how)
