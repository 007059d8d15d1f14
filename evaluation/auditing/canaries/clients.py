"""Audit of a federation by canary clients in one training of it: what the averages show of them.

Half of the canaries, by fair coins, send nothing: a removed client is one whose contribution is
zero. The adversary sees the values of every round, as any client does. The bounds are those of
`one_run`.
"""

from evaluation.auditing.canaries.fleet import WatchedFleet
from evaluation.auditing.canaries.planted_clients import PlantedClients, Turns, summed
from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound, one_run_gaussian_epsilon
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.one_run_gaussian import right_guesses
from fedbert.config import Config
from fedbert.errors import expect
from fedbert.noise import simulated
from fedbert.prepare import Prepared
from fedbert.schedule import participations
from fedbert.seeding import derive, numpy_rng
from fedbert.trainer import train
from privacy.accountants import gaussian_epsilon
from privacy.defence import Defence, over_rounds

GUESSED = 0.2
SIGNIFICANCE = 0.05


def audit_federation(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    count: int,
    delta: float,
    seed: int,
    claimed_noise: float | None = None,
) -> list[Finding]:
    """Return what canary clients in a federated training show of its claim about clients.

    The claim is that of all rounds under `claimed_noise` (None: the noise multiplier of the
    defence); of DP-FTRL that of a client's own rounds. Two findings: with a threshold fixed
    beforehand, each canary a sample of its own, which presumes that the noise of every value is
    drawn by itself; and by the run, which does not.

    Raises:
        InputError: for a defence that does not noise the sum of whole updates.
    """
    mechanism = summed(defence.update)
    expect(count >= 10, "count >= 10", "count", count)
    coins = numpy_rng(seed, "canary clients").random(count) < 0.5
    planted = PlantedClients(coins, seed, Turns.of(mechanism, config))
    noise = simulated(derive(seed, "canary clients"), config, prepared, defence)
    train(config, prepared, defence, fleet=WatchedFleet(planted), noise=noise)
    rounds = config.training.rounds
    if over_rounds(mechanism) is not None:
        rounds = participations(config)[0] or rounds
    claimed = claimed_noise or mechanism.noise_multiplier
    claim = Claim(gaussian_epsilon(claimed, rounds, delta), delta, gaussian=True)
    return [_fixed(planted, claim, type(mechanism).__name__), by_run(planted, claim)]


def _fixed(planted: PlantedClients, claim: Claim, name: str) -> Finding:
    """Return what a threshold half way shows."""
    coins, threshold = planted.coins, planted.energy / 2
    hits, alarms = (int((planted.scores[side] >= threshold).sum()) for side in (coins, ~coins))
    there, absent = int(coins.sum()), int((~coins).sum())
    shown, most = (
        gaussian_epsilon_bound(right, there, wrong, absent, claim.delta, SIGNIFICANCE)
        for right, wrong in ((hits, alarms), (there, 0))
    )
    how = f"{there} canary clients there, {absent} not; threshold half way"
    what = f"{name}, every round seen, by clients"
    return Finding(what, claim, shown, most, min(there, absent), SIGNIFICANCE, how)


def by_run(planted: PlantedClients, claim: Claim, significance: float = SIGNIFICANCE) -> Finding:
    """Return what one training shows so far without a word about how noise is drawn."""
    count = len(planted.coins)
    guesses = max(2, int(GUESSED * count))
    right = right_guesses(planted.scores, planted.coins, guesses)
    shown, most = (
        one_run_gaussian_epsilon(count, guesses, v, claim.delta, significance)
        for v in (right, guesses)
    )
    how = f"{guesses} of {count} canary clients guessed, {right} rightly"
    what = "client updates, every round seen, by the run"
    return Finding(what, claim, shown, most, count, significance, how)
