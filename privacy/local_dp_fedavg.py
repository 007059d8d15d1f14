"""DP-FedAvg, local: every client clips and noises its own update before it leaves."""

from dataclasses import dataclass

from privacy.calibration import noise_multiplier_for
from privacy.client_updates import ClientUpdates
from privacy.events import GaussianEvent
from privacy.mechanism import Cost
from privacy.risk import Target


@dataclass(frozen=True)
class LocalDPFedAvg(ClientUpdates):
    """Clips a client's whole update to `clip_norm` and noises every value of it, at the client.

    Guarantee: replace-one client, per round, for whoever sees the noised update or anything made
    of it: the aggregator, other clients, the released model. Two clipped updates lie up to
    2 * clip_norm apart, so noise_std = noise_multiplier * 2 * clip_norm. It holds if one row is
    the client's whole update, noised in every value, and nothing else leaves the client: no
    number of its examples either, so that all clients weigh the same.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | an update with NaN or infinity | `ValueError` that names how many values |
    | an update of zeros (a client that did not train) | noised like any other |

    Reference: the Gaussian mechanism (Balle and Wang 2018) on the updates of McMahan et al. (2018).
    """

    @classmethod
    def calibrated(
        cls, target: Target, delta: float, clip_norm: float, rounds: int
    ) -> "LocalDPFedAvg":
        """The mechanism with the least noise for which `rounds` rounds meet the target.

        >>> round(LocalDPFedAvg.calibrated(8.0, 1e-5, clip_norm=1.0, rounds=1).noise_std, 6)
        1.200458

        Raises:
            ValueError: an epsilon or clip_norm not positive and finite, delta not strictly
                between 0 and 1, or rounds below 1.
        """
        multiplier = noise_multiplier_for(target, delta, rounds)
        return cls(clip_norm=clip_norm, noise_multiplier=multiplier)

    @property
    def place(self) -> str:
        """The party that applies it: the client."""
        return "client"

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value of an update."""
        return self.noise_multiplier * 2.0 * self.clip_norm

    def cost(self) -> Cost | None:
        """One Gaussian release of a client's update, replace-one."""
        return Cost(GaussianEvent(self.noise_multiplier), "client", "replace-one")
