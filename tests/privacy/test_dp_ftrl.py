"""DP-FTRL: a round's noise from those before, its law and streams, its claims and their limits."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from privacy.accountants import gaussian_epsilon
from privacy.accounting import ledger
from privacy.banded_factorisation import noise_rows
from privacy.correlated_noise import CorrelatedNoise
from privacy.defence import Defence, refuse
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.facts import TrainingFacts
from privacy.guarantee import Guarantee, NoGuarantee
from privacy.randomness.source import NoiseSource
from tests.privacy.drawn import draws
from tests.privacy.statistics import correlated, gaussian_scale

ROUNDS, BANDS, VALUES = 7, 3, 4000
OURS = DPFTRL(0.5, 1.5, BANDS, ROUNDS)
FACTS = TrainingFacts("fedavg", rounds=ROUNDS, delta=1e-5, participations=3, separation=3)


def source() -> NoiseSource:
    return NoiseSource(bytes(16), "repeatable")


def drawn(noise: CorrelatedNoise, key: NoiseSource, rounds: range) -> torch.Tensor:
    """The noise [round, value] of rounds that follow each other."""
    made = [noise.of(number, key.draws("update", number)) for number in rounds]
    return torch.stack([each.part(0, len(each.values)) for each in made])


def whole(key: NoiseSource, mechanism: DPFTRL = OURS, values: int = VALUES) -> torch.Tensor:
    return drawn(CorrelatedNoise(mechanism, values), key, range(mechanism.rounds))


def test_a_round_has_its_row_of_the_matrix() -> None:
    key = source()
    z = torch.stack([key.draws("update", number).gaussian((VALUES,)) for number in range(ROUNDS)])
    expected = torch.from_numpy(noise_rows(OURS.coefficients, ROUNDS)) @ z * (1.5 * 0.5)
    torch.testing.assert_close(whole(source()), expected, rtol=0, atol=1e-12)


def test_its_covariance_is_that_of_the_matrix_and_of_none_else() -> None:
    """C takes it back to independent values, two-sided; each false alarm has probability 1e-5."""
    noise, back = whole(source()), np.linalg.inv(noise_rows(OURS.coefficients, ROUNDS))
    z = torch.from_numpy(back) @ noise
    for std, fits in ((0.75, True), (0.75 * 0.97, False), (0.75 * 1.03, False)):
        assert gaussian_scale(z, std) is fits
    pairs = [(i, j) for i in range(ROUNDS) for j in range(i)]
    assert not any(correlated(z[i], z[j]) for i, j in pairs)
    assert all(correlated(noise[i], noise[i - 1]) for i in range(1, ROUNDS)), "taken off again"
    wrong = torch.from_numpy(np.linalg.inv(noise_rows((0.8, 0.6), ROUNDS))) @ noise
    assert any(correlated(wrong[i], wrong[j]) for i, j in pairs)
    stated = CorrelatedNoise(OURS, 1)
    for number, row in enumerate(noise):
        assert gaussian_scale(row, stated.of(number, draws(number)).std)
    for span in (range(1), range(2, 5), range(ROUNDS)):
        assert gaussian_scale(noise[span.start : span.stop].sum(0), OURS.std_over(span))


def test_the_sums_carry_less_noise_than_independent_rounds() -> None:
    apart = DPFTRL(0.5, 1.5, 1, ROUNDS)
    assert apart.std_over(range(ROUNDS)) == pytest.approx(0.75 * ROUNDS**0.5)
    assert OURS.std_over(range(ROUNDS)) < 0.8 * apart.std_over(range(ROUNDS))


def test_noise_that_is_drawn_again_is_the_same_and_goes_on_the_same() -> None:
    expected, again = whole(source()), CorrelatedNoise(OURS, VALUES)
    key = source()
    again.replay(4, lambda number: key.draws("update", number))
    assert torch.equal(drawn(again, key, range(4, ROUNDS)), expected[4:])
    once = DPFTRL(0.5, 1.5, 1, ROUNDS)
    alone, key = CorrelatedNoise(once, VALUES), source()
    alone.replay(4, lambda number: key.draws("update", number))
    assert torch.equal(drawn(alone, key, range(4, ROUNDS)), whole(source(), once)[4:])


def test_noise_that_begins_anew_knows_nothing_of_what_was() -> None:
    """Its rows are those of the rest of C, inverted; earlier rounds have no part in it."""
    old = whole(source())
    fresh, key = CorrelatedNoise(OURS, VALUES), NoiseSource(bytes(15) + b"x", "repeatable")
    drawn(fresh, source(), range(2))
    fresh.begin(2)
    rest = drawn(fresh, key, range(2, ROUNDS))
    back = np.linalg.inv(noise_rows(OURS.coefficients, ROUNDS))[2:, 2:]
    z = torch.from_numpy(back) @ rest
    assert gaussian_scale(z, 0.75)
    assert not any(correlated(z[i], z[j]) for i in range(len(z)) for j in range(i))
    assert not any(correlated(old[i], rest[j]) for i in range(2) for j in range(len(rest)))
    stated = CorrelatedNoise(OURS, VALUES)
    stated.begin(2)
    assert gaussian_scale(rest[0], stated.of(2, draws(0)).std)


def test_rounds_come_in_their_order_and_streams_once() -> None:
    noise, key = CorrelatedNoise(OURS, 5), source()
    first = noise.of(0, key.draws("update", 0))
    for wrong in (0, 2):
        with pytest.raises(ValueError, match=f"round 1 next, of 0 to 6, got round={wrong}"):
            noise.of(wrong, draws())
    with pytest.raises(ValueError, match="label that is new"):
        key.draws("update", 0)
    noise.begin(ROUNDS)
    with pytest.raises(ValueError, match="got round=7"):
        noise.of(ROUNDS, draws())
    first.part(0, 5).add_(1.0)  # a copy: what is kept for later rounds stays as it was
    assert torch.equal(whole(source(), values=5)[0], first.part(0, 5))


def test_the_rows_that_are_kept_are_as_many_as_there_are_bands_but_for_one() -> None:
    noise, key = CorrelatedNoise(OURS, 5), source()
    drawn(noise, key, range(5))
    assert len(noise._past) == BANDS - 1


# --- what is claimed ------------------------------------------------------------------------------


def claims(facts: TrainingFacts, mechanism: DPFTRL = OURS) -> list[Guarantee]:
    entries = ledger(Defence("d", update=mechanism), facts).values()
    return [entry for entry in entries if isinstance(entry, Guarantee)]


def test_a_client_pays_for_the_rounds_that_it_takes_part_in() -> None:
    found = claims(FACTS)
    assert [claim.view for claim in found] == ["peer", "release"]
    for claim in found:
        assert (claim.releases, claim.unit, claim.relation) == (3, "client", "add-or-remove-one")
        assert claim.epsilon == pytest.approx(gaussian_epsilon(1.5, 3, 1e-5))
        assert claim.epsilon == pytest.approx(gaussian_epsilon(1.5 / 3**0.5, 1, 1e-5))
        said = claim.sentence()
        assert "takes part more than 3 times, or again within 3 rounds" in said
        assert "public and fixed beforehand, and no sampling is counted" in said
    entry = ledger(Defence("d", update=OURS), FACTS)["aggregator"]
    assert isinstance(entry, NoGuarantee) and "before any noise" in entry.reason


def test_with_one_band_and_everybody_in_every_round_it_is_dp_fedavg() -> None:
    facts = replace(FACTS, participations=ROUNDS, separation=1)
    one = claims(facts, DPFTRL(0.5, 1.5, 1, ROUNDS))
    other = ledger(Defence("d", update=DPFedAvg(0.5, 1.5)), facts)["release"]
    assert isinstance(other, Guarantee) and one[1].epsilon == other.epsilon
    assert "again within" not in one[1].sentence()


def test_the_claim_of_the_rounds_so_far_counts_what_was_done_so_far() -> None:
    part = claims(replace(FACTS, rounds=2, participations=1))
    assert part[0].releases == 1 and part[0].epsilon < claims(FACTS)[0].epsilon
    again = claims(replace(FACTS, rounds=9, participations=4, restarts=1))
    assert again[0].epsilon == pytest.approx(gaussian_epsilon(1.5, 4, 1e-5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"separation": 2}, "has bands=3, and a client may take part again after 2 rounds"),
        ({"separation": 1}, 'after one round: at most so many bands, or fewer.*"cyclic"'),
        ({"participations": None}, "nobody told"),
        ({"rounds": 8}, "has noise for 7 rounds, and there are 8"),
    ],
)
def test_a_schedule_that_does_not_keep_the_promise_is_refused_and_has_no_claim(
    change: dict[str, int | None], words: str
) -> None:
    facts = replace(FACTS, **change)  # type: ignore[arg-type]
    told = refuse(Defence("d", update=OURS), facts)
    assert told is not None and "\n" not in told
    assert re.search(words, told)
    assert not claims(facts)
    for view in ("peer", "release"):
        entry = ledger(Defence("d", update=OURS), facts)[view]  # type: ignore[index]
        assert isinstance(entry, NoGuarantee) and told.removeprefix("d ") in entry.reason


def test_nobody_who_takes_part_once_is_too_close() -> None:
    facts = replace(FACTS, participations=1, separation=None)
    assert refuse(Defence("d", update=OURS), facts) is None and len(claims(facts)) == 2
    assert "takes part more than once, or again" in claims(facts)[0].sentence()


def test_the_least_noise_for_a_target_goes_by_participations() -> None:
    made = DPFTRL.calibrated(2.0, 1e-5, 0.3, BANDS, ROUNDS, participations=3)
    assert claims(FACTS, made)[0].epsilon == pytest.approx(2.0)
    assert made.noise_multiplier == DPFedAvg.calibrated(2.0, 1e-5, 0.3, rounds=3).noise_multiplier


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clip_norm": 0.0}, "clip_norm > 0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier > 0"),
        ({"bands": 0}, "bands >= 1"),
        ({"bands": 8}, r"bands <= rounds \(7\)"),
        ({"rounds": 0}, "rounds >= 1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(OURS, **settings)
