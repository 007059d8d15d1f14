"""Reference attack and bound: the best attack reaches the bound, only broken noise passes it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from evaluation.attacking.bounds import (
    ReconstructionBound,
    ReferenceAttack,
    largest_shares,
    most_repeats,
    reconstruction_bound,
    reference_attack,
)
from evaluation.attacking.judge import ForwardJudge, within_limits
from evaluation.attacking.loop import Head
from fedbert.data.batches import Batch, Encoded
from fedbert.data.client_data import Vocabulary
from fedbert.messages import SmashedData, to_array
from fedbert.protect import protect
from fedbert.seeding import generator, numpy_rng
from fedbert.split import EmbeddingTables
from fedbert.tasks import TASKS
from privacy.defence import Defence
from privacy.empirical import Quantise
from privacy.gaussian import Gaussian
from privacy.laplace import Laplace
from privacy.mechanism import ClipOnly, Identity, Mechanism
from privacy.metric import Metric
from reports.estimate import Estimate
from reports.leak import Leak
from reports.metrics import ABOVE_BOUND, BELOW_REFERENCE
from tests.privacy import mistakes
from tests.privacy.drawn import draws as drawn

WORDS, WIDTH, LENGTH = 8, 16, 6
SPECIAL = (0, 1, 2)  # padding, start, end
CLIP = 1.0
HEAD = Head("forward", "x", "inversion")


def encoded(rows: np.ndarray) -> Encoded:
    """Texts of one length."""
    offsets = np.arange(len(rows) + 1) * rows.shape[1]
    zeros = np.zeros(len(rows), dtype=np.int64)
    return Encoded(
        TASKS["sst2"], rows.ravel(), np.zeros(rows.size, np.int64), offsets, zeros, zeros
    )


def tables() -> EmbeddingTables:
    """A table whose words lie far apart and whose places and types change nothing."""
    draws = generator(3, "tables")
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=draws))[0]
    word = basis[: WORDS + len(SPECIAL)]
    return EmbeddingTables(
        word=word,
        position=torch.zeros(32, WIDTH),
        token_type=torch.zeros(1, WIDTH),
        norm_weight=torch.ones(WIDTH),
        norm_bias=torch.zeros(WIDTH),
        norm_eps=1e-12,
        position_offset=0,
    )


def texts(count: int, seed: int, length: int = LENGTH) -> np.ndarray:
    """Sentences [count, length + 2] of words drawn evenly, start and end around them."""
    inner = numpy_rng(seed, "texts").integers(len(SPECIAL), WORDS + len(SPECIAL), (count, length))
    return np.pad(inner, ((0, 0), (1, 1)), constant_values=((1, 1), (1, 2)))


def world(mechanism: Mechanism, count: int = 300) -> tuple[ForwardJudge, SmashedData, Knowledge]:
    """A judge of one message under a mechanism, the message, and what an attacker knows."""
    ids = texts(count, 1)
    defence = Defence("d", smashed=mechanism)
    known = tables()
    normed = torch.nn.functional.layer_norm(known.word, (WIDTH,))
    mask = np.ones_like(ids)
    rows = normed[torch.from_numpy(ids)].float()
    sent, _ = protect(mechanism, rows, torch.from_numpy(mask), drawn(5))
    message = SmashedData(0, 0, 0, to_array(sent), mask)
    knowledge = Knowledge(
        embedding=known, clip_norm=mechanism.clip_norm, noise_std=mechanism.noise_std
    )
    words = torch.from_numpy(ids)
    batch = Batch(words, words * 0 + 1, words * 0, torch.zeros(count), torch.arange(count))
    names = [f"w{'x' * i}" for i in range(WORDS + len(SPECIAL))]
    prepared: Any = SimpleNamespace(
        vocabulary=Vocabulary(len(names), 0, 0, SPECIAL),
        tokenizer=SimpleNamespace(
            unk_token_id=None, convert_ids_to_tokens=lambda ids: [names[i] for i in ids]
        ),
        pool=encoded(np.concatenate([ids, texts(3000, 2)])),
        split=SimpleNamespace(cut_layer=0),
    )
    auxiliary = list(texts(200, 3))
    groups = [([message], [batch], lambda: knowledge)]
    return ForwardJudge.of(7, prepared, defence, groups, 0.0, auxiliary), message, knowledge


def leak_of(mechanism: Mechanism, guess: str = "nearest", adaptive: bool = True) -> Leak:
    """The token accuracy under a mechanism."""
    judge, message, knowledge = world(mechanism)
    guessed = NearestToken().reconstruct([message], knowledge, generator(1, "attack"))
    if guess == "unaware":  # as if nothing but padding had been read in half of the places
        guessed = [np.where(np.arange(LENGTH + 2) % 2, 3, guessed[0])]
    leak = next(judge.leaks(HEAD, guessed, alone=True, adaptive=adaptive))
    assert isinstance(leak, Leak)
    return leak


def test_a_sound_mechanism_keeps_between_reference_attack_and_bound() -> None:
    leak = leak_of(Gaussian(CLIP, 0.5))
    bound, reference = leak.reconstruction_bound, leak.reference_attack
    assert leak.flags == () and bound is not None and bound < 0.75
    assert reference is not None and reference.low <= leak.estimate.value <= reference.high
    assert 1 / WORDS < leak.estimate.value < bound
    assert leak.prior == pytest.approx(1 / WORDS, abs=0.02)


def test_a_third_of_the_noise_breaks_the_bound() -> None:
    leak = leak_of(mistakes.PartOfTheNoise(CLIP, 0.5))
    assert leak.reconstruction_bound is not None
    assert leak.estimate.value > 0.8 > leak.reconstruction_bound
    assert leak.flags == (ABOVE_BOUND,)


def test_an_attack_below_the_look_up_is_weak() -> None:
    assert leak_of(Gaussian(CLIP, 0.3), "unaware").flags == (BELOW_REFERENCE,)
    assert leak_of(Identity(), "unaware").flags == (BELOW_REFERENCE,)
    assert leak_of(Identity(), "unaware", adaptive=False).flags == ()


def test_flags_need_the_whole_interval() -> None:
    leak = HEAD.leak("token_accuracy", Estimate(0.5, 0.4, 0.6, n=9), "token", 0.1)
    unknown, high = ReferenceAttack(None, "-"), Estimate(0.7, 0.59, 0.8, n=9)
    over = within_limits(leak, unknown, ReconstructionBound(0.41, 0.1, "-"))
    none = ReconstructionBound(None, None, "none")
    under = within_limits(leak, ReferenceAttack(high, "-"), none)
    assert over.flags == () and under.flags == () and under.reference_attack == high
    broken = within_limits(leak, unknown, ReconstructionBound(0.39, 0.1, "-"))
    assert broken.flags == (ABOVE_BOUND,)


def mask(rows: int, length: int) -> list[np.ndarray]:
    return [np.ones((rows, length), dtype=np.int64)]


def given(
    mechanism: Mechanism, alone: bool, length: int = 4, repeats: int = 1
) -> ReconstructionBound:
    """The bound for texts of one length, two words at each place, equally frequent."""
    shares = {(length, place): 0.5 for place in range(length)}
    every = mask(3, length)
    return reconstruction_bound(
        Defence("d", smashed=mechanism), 0, every, every, shares, repeats, alone
    )


@pytest.mark.parametrize("length", [1, 4, 16])
def test_sentences_of_one_word_repeated_reach_the_bound_for_all_rows(length: int) -> None:
    """The strongest use of language there is: either word fills the sentence. All rows together
    are then one row of length times the energy, and the likelier word is right with Phi(mu/2)."""
    multiplier, trials = 0.9, 40_000
    draws = numpy_rng(11, "repeated", length)
    truth = draws.integers(0, 2, trials) * 2 - 1  # the two rows are +C and -C: 2 C apart
    noise = draws.standard_normal((trials, length)) * multiplier * 2 * CLIP
    right = float(((truth[:, None] * CLIP + noise).sum(1) * truth > 0).mean())
    allowed = given(Gaussian(CLIP, multiplier), alone=False, length=length).value
    assert allowed == pytest.approx(norm.cdf(length**0.5 / multiplier / 2), abs=1e-9)
    assert allowed is not None
    assert abs(right - allowed) < 4 * (0.25 / trials) ** 0.5  # 6e-5 false alarms
    alone = given(Gaussian(CLIP, multiplier), alone=True, length=length).value
    assert alone is not None and (right > alone + 0.02) is (length > 1)


def test_a_sequence_as_unit_needs_no_more_for_its_rows() -> None:
    sound = Gaussian(CLIP, 0.9, unit="sequence")
    assert given(sound, alone=False) == given(sound, alone=True)
    assert given(sound, alone=False).value == pytest.approx(norm.cdf(1 / 0.9 / 2))
    assert given(sound, False, repeats=4).value == pytest.approx(norm.cdf(2 / 0.9 / 2))


def test_pure_epsilon_adds_up_over_rows_and_messages() -> None:
    def odds(found: ReconstructionBound) -> float:
        assert found.value is not None
        return found.value / (1 - found.value)

    assert odds(given(Laplace(CLIP, 0.1), alone=True)) == pytest.approx(np.exp(0.1))
    assert odds(given(Laplace(CLIP, 0.1), alone=False)) == pytest.approx(np.exp(0.4))
    assert odds(given(Laplace(CLIP, 0.1), False, repeats=3)) == pytest.approx(np.exp(1.2))


@pytest.mark.parametrize(
    ("mechanism", "cut", "words"),
    [(Identity(), 0, "no guarantee"), (ClipOnly(1.0), 0, "no guarantee"),
     (Quantise(2, 1.0), 0, "no guarantee"), (Metric(1.0, 4), 0, "metric privacy"),
     (Gaussian(1.0, 1.0), 2, "behind encoder layers")],
)  # fmt: skip
def test_without_a_guarantee_there_is_no_bound_and_it_says_so(
    mechanism: Mechanism, cut: int, words: str
) -> None:
    every = mask(2, 3)
    found = reconstruction_bound(Defence("d", smashed=mechanism), cut, every, every, {}, 1, False)
    assert found.value is None and words in found.basis


def test_lengths_that_nobody_saw_allow_everything() -> None:
    every = mask(2, 3)
    found = reconstruction_bound(
        Defence("d", smashed=Gaussian(1.0, 9.0)), 0, every, every, {}, 1, True
    )
    assert found.value == found.prior == 1.0


def test_the_largest_shares_by_counting() -> None:
    pool = encoded(np.array([[1, 5, 2], [1, 5, 2], [1, 6, 2], [1, 7, 2]]))
    assert largest_shares(pool) == {(3, 0): 1.0, (3, 1): 0.5, (3, 2): 1.0}


def test_a_text_heard_twice_in_one_call_counts_twice() -> None:
    one, two = np.array([4, 5]), np.array([5, 6])
    assert most_repeats([[(0, one), (0, two)], [(0, two)]]) == 2
    assert most_repeats([[(0, one), (1, one)], []]) == 1


def test_the_reference_attack_covers_what_nearest_token_recovers_with_dropout() -> None:
    known = tables()
    draws = generator(2, "noise")
    found = reference_attack(
        Defence("d"), [Knowledge(embedding=known, dropout=0.2)], list(texts(100, 4)), SPECIAL, 0.2,
        numpy_rng(1, "floor"), draws,
    )  # fmt: skip
    assert found.estimate is not None and found.estimate.value > 0.9
    strange = Knowledge(embedding=known, noise="unknown", noise_std=1.0)
    untold = reference_attack(
        Defence("d"), [strange], list(texts(9, 4)), SPECIAL, 0.0, numpy_rng(1), draws
    )
    assert untold.estimate is None and "how its noise is distributed" in untold.basis
    none = reference_attack(Defence("d"), [Knowledge()], [], SPECIAL, 0.0, numpy_rng(1, "f"), draws)
    assert none.estimate is None and "encoder layers" in none.basis
