"""DP-FTRL: DP-FedAvg under noise that is correlated over the rounds, without sampling."""

from dataclasses import dataclass
from functools import cached_property

from privacy.banded_factorisation import coefficients, sum_variance
from privacy.calibration import noise_multiplier_for
from privacy.client_updates import ClientUpdates
from privacy.events import GaussianEvent
from privacy.mechanism import Cost
from privacy.risk import Target


@dataclass(frozen=True)
class DPFTRL(ClientUpdates):
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

    bands: int
    rounds: int

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        _ = self.coefficients

    @classmethod
    def calibrated(
        cls,
        target: Target,
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
        multiplier = noise_multiplier_for(target, delta, participations)
        return cls(clip_norm, multiplier, bands, rounds)

    @cached_property
    def coefficients(self) -> tuple[float, ...]:
        """The coefficients `[band]` of C."""
        return coefficients(self.bands, self.rounds)

    def std_over(self, span: range) -> float:
        """Standard deviation of the noise that a span of rounds together adds to the sums."""
        variance = sum_variance(self.coefficients, self.rounds, span)
        return float(self.noise_std * variance**0.5)

    def cost(self) -> Cost | None:
        """One participation of one client, add-or-remove-one."""
        return Cost(GaussianEvent(self.noise_multiplier), "client", "add-or-remove-one")
