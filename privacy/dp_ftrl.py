"""DP-FTRL: DP-FedAvg under noise that is correlated over the rounds, without sampling."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from privacy.banded_factorisation import coefficients, sum_variance
from privacy.calibration import noise_multiplier_for
from privacy.checks import positive
from privacy.events import GaussianEvent
from privacy.mechanism import Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian


@dataclass(frozen=True)
class DPFTRL:
    """Clips whole updates and noises their sum, a round's noise taking off some of the last ones'.

    Round i adds noise_std * (C^-1 Z)_i to the sum of the clipped updates, Z drawn afresh for every
    round and value, C as in `privacy.banded_factorisation`: `bands` wide, for `rounds` rounds. All
    rounds together are one Gaussian mechanism; a client who takes part k times moves what is
    noised by at most sqrt(k) clips, as k releases of `noise_multiplier` would.

    Guarantee: add-or-remove-one client, over all rounds, for whoever sees the noised sums, one,
    some or all. A removed client contributes zero in each of its rounds. It holds as `DPFedAvg`
    does, whose conditions stand here too, and if

    - who takes part in which round is public and fixed beforehand: no sampling is counted;
    - no client takes part twice within `bands` rounds, which `refuse` and the ledger look at;
    - a client's rounds are counted, each one its release, those done again by a restart included;
    - noise that is past is told nobody: no checkpoint and no export has it (`CorrelatedNoise`).

    With one band the noise of each round is drawn by itself: DP-FedAvg, where a client's own rounds
    count and not all of them. `add_noise` adds such noise; rounds are correlated by whoever
    aggregates, with `CorrelatedNoise`.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `bands` or `rounds` below 1, or more bands than rounds | `ValueError` |
    | an update with NaN or infinity | `ValueError` that names how many values |
    | an update of zeros (a client that did not train) | unchanged |

    Reference: Kairouz, McMahan, Song, Thakkar, Thakurta, Xu (2021), "Practical and private (deep)
    learning without sampling or shuffling"; for the noise see `privacy.banded_factorisation`.
    """

    clip_norm: float
    noise_multiplier: float
    bands: int
    rounds: int

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        positive("noise_multiplier", self.noise_multiplier)
        _ = self.coefficients

    @classmethod
    def calibrated(
        cls,
        target_epsilon: float,
        delta: float,
        clip_norm: float,
        bands: int,
        rounds: int,
        participations: int,
    ) -> "DPFTRL":
        """The mechanism with the least noise that meets the target.

        participations: the most rounds that one client takes part in.

        >>> once = DPFTRL.calibrated(8.0, 1e-5, 1.0, bands=2, rounds=4, participations=1)
        >>> round(once.noise_std, 6)
        0.600229

        Raises:
            ValueError: as in the table, or for a target, delta or participations out of range.
        """
        multiplier = noise_multiplier_for(target_epsilon, delta, participations)
        return cls(clip_norm, multiplier, bands, rounds)

    @cached_property
    def coefficients(self) -> tuple[float, ...]:
        """The coefficients `[band]` of C."""
        return coefficients(self.bands, self.rounds)

    @property
    def unit(self) -> Unit:
        """A client: one row is one client's whole update."""
        return "client"

    @property
    def noise_std(self) -> float:
        """Standard deviation of Z on each value of the sum: no round's own noise has less."""
        return self.noise_multiplier * self.clip_norm

    def clip(self, records: Tensor) -> Tensor:
        """The updates `[client, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The sum of the clipped updates, of any shape, plus noise of a round by itself."""
        return add_gaussian(records, self.noise_std, draws)

    def std_over(self, span: range) -> float:
        """Standard deviation of the noise that a span of rounds together adds to the sums."""
        variance = sum_variance(self.coefficients, self.rounds, span)
        return float(self.noise_std * variance**0.5)

    def noise_model(self) -> NoiseModel:
        """Gaussian noise of `noise_std` on every value of the sum, as `add_noise` adds it."""
        return NoiseModel("gaussian", self.noise_std)

    def cost(self) -> Cost | None:
        """One participation of one client, add-or-remove-one."""
        return Cost(GaussianEvent(self.noise_multiplier), "client", "add-or-remove-one")
