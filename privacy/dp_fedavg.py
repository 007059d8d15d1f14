"""DP-FedAvg, central: whole client updates are clipped and their sum is noised once."""

from dataclasses import dataclass

from privacy.calibration import noise_multiplier_for
from privacy.client_updates import ClientUpdates
from privacy.events import GaussianEvent
from privacy.mechanism import Cost
from privacy.risk import Target


@dataclass(frozen=True)
class DPFedAvg(ClientUpdates):
    """Clips each client's whole update to `clip_norm` and noises the sum of the clipped updates.

    Guarantee: add-or-remove-one client, per round, for whoever sees only the noised sums. A
    removed client contributes zero, so the sensitivity of the sum is `clip_norm` and
    noise_std = noise_multiplier * clip_norm. It holds if

    - one row is one client's whole update: every trained parameter of E, T and H in one vector,
      each client clipped once, before anything is summed;
    - the clients weigh the same (not by their examples) and the sum is divided by a number fixed
      beforehand, not by the number of clients that answered;
    - noise is added once to the sum (the sum may be laid out in any shape), on every value,
      whether an update touched it or not;
    - whatever a client keeps or hands on besides (optimiser state, gradients) stays with it.

    The aggregator sees each update before the noise: it has no guarantee. Sampling of clients is
    not used to claim a smaller epsilon.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | an update with NaN or infinity | `ValueError` that names how many values |
    | an update of zeros (a client that did not train) | unchanged |

    Reference: McMahan, Ramage, Talwar, Zhang (2018), "Learning differentially private recurrent
    language models", with the fixed-denominator estimator.
    """

    @classmethod
    def calibrated(cls, target: Target, delta: float, clip_norm: float, rounds: int) -> "DPFedAvg":
        """The mechanism with the least noise for which `rounds` rounds meet the target.

        >>> round(DPFedAvg.calibrated(8.0, 1e-5, clip_norm=1.0, rounds=1).noise_std, 6)
        0.600229

        Raises:
            ValueError: an epsilon or clip_norm not positive and finite, delta not strictly
                between 0 and 1, or rounds below 1.
        """
        multiplier = noise_multiplier_for(target, delta, rounds)
        return cls(clip_norm=clip_norm, noise_multiplier=multiplier)

    def cost(self) -> Cost | None:
        """One Gaussian release of the sum, add-or-remove-one client."""
        return Cost(GaussianEvent(self.noise_multiplier), "client", "add-or-remove-one")
