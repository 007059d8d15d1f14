"""Membership attacks against slow formulas that are obviously right."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attacks.membership import rmia
from attacks.membership.clients import by_client
from attacks.membership.entropy import Entropy, ModifiedEntropy
from attacks.membership.lira import OfflineLira, OnlineLira
from attacks.membership.loss_threshold import LossThreshold
from attacks.membership.quantile_regression import pinball_fit
from attacks.membership.reference_ratio import ReferenceRatio
from attacks.membership.rmia import Rmia
from attacks.membership.updates import last_gradients, last_layer
from attacks.signals import Answers, Signals
from evaluation.metrics.membership import auc, tpr_at_fpr
from tests.attacks import worlds
from tests.attacks.membership_worlds import drawn, matched

SURE = 1 - 1e-4

ANY = np.random.default_rng(0)  # no attack here draws


@pytest.mark.parametrize("own", [True, False])
def test_lira_is_the_ratio_of_two_fitted_densities(own: bool) -> None:
    answers = drawn(2.0, n=30, shadows=12).signals.candidates
    online, offline = OnlineLira(own), OfflineLira(own)
    found = online.score(Signals(answers), ANY), offline.score(Signals(answers), ANY)
    p, shadows = np.exp(-answers.losses), np.exp(-answers.shadow_losses)
    target, others = np.log(p / (1 - p)), np.log(shadows / (1 - shadows))
    sides = [
        [others[answers.shadow_members[:, i] == bit, i] for i in range(30)] for bit in (True, False)
    ]  # [side][candidate]
    spreads = []
    for side in sides:
        squares = sum(((each - each.mean()) ** 2).sum() for each in side)
        shared = np.sqrt(squares / sum(len(each) - 1 for each in side))
        spreads.append([each.std(ddof=1) if own else shared for each in side])
    for i in range(30):
        inside, outside = (stats.norm(sides[s][i].mean(), spreads[s][i]) for s in range(2))
        ratio = inside.logpdf(target[i]) - outside.logpdf(target[i])
        assert found[0][i] == pytest.approx(ratio, rel=1e-8)
        assert stats.norm.cdf(found[1][i]) == pytest.approx(outside.cdf(target[i]), rel=1e-8)


def test_few_shadows_share_a_variance_and_many_do_not() -> None:
    few, many = (drawn(2.0, n=20, shadows=count).signals for count in (8, 200))
    for kind in (OnlineLira, OfflineLira):
        np.testing.assert_array_equal(kind().score(few, ANY), kind(False).score(few, ANY))
        np.testing.assert_array_equal(kind().score(many, ANY), kind(True).score(many, ANY))


@pytest.mark.parametrize(
    "attack",
    [
        Rmia(references=1),
        Rmia(references=2),
        Rmia(),
        rmia.online(),
        Rmia(gamma=1.0, offset=1.0, temperature=1.0),
    ],
)
def test_rmia_is_the_share_that_the_candidate_dominates(attack: Rmia) -> None:
    signals = drawn(2.0, n=40, shadows=8).signals
    assert signals.population is not None

    def ratio(answers: Answers, i: int) -> float:
        p, own = np.exp(-answers.shadow_losses[:, i]), np.exp(-answers.losses[i])
        if answers.logs is not None:
            cold = 1 / attack.temperature
            p, own = (x**cold / (x**cold + (1 - x) ** cold) for x in (p, own))
        free = p[~answers.shadow_members[:, i]][: attack.references]
        outside = free.mean()
        if attack.online:
            average = (outside + p[answers.shadow_members[:, i]].mean()) / 2
        else:
            average = ((1 + attack.offset) * outside + 1 - attack.offset) / 2
        return float(own / average)

    n = len(signals.population.losses)
    ratios = [ratio(signals.candidates, i) for i in range(40)]
    dominated = [
        sum(own / ratio(signals.population, z) >= attack.gamma for z in range(n)) for own in ratios
    ]
    scores = attack.score(signals, ANY)
    np.testing.assert_array_equal(np.floor(scores * n + 1e-9), dominated)
    assert (np.argsort(scores) == np.argsort(ratios)).all()  # ties go by the ratio


def test_masked_lm_likelihoods_are_not_scaled_towards_one() -> None:
    signals = drawn(2.0, n=40, shadows=8).signals
    bare = replace(signals.candidates, logs=None, labels=None)
    np.testing.assert_allclose(Rmia().log_ratios(bare), Rmia(offset=1.0).log_ratios(bare))
    plain = Rmia(offset=1.0, temperature=1.0).log_ratios(signals.candidates)
    np.testing.assert_allclose(Rmia().log_ratios(bare), plain)


def test_difficulty_hides_members_from_the_loss_and_not_from_its_calibration() -> None:
    """Both intervals are at 1 - 1e-4; the members' shares at 1 % FPR must not touch."""
    world = drawn(3.0, n=12000, shadows=16)
    shares = {}
    for attack in (LossThreshold(), ReferenceRatio(), OnlineLira(), OfflineLira(), Rmia()):
        scores = attack.score(world.signals, ANY)
        sides = scores[world.members], scores[~world.members]
        shares[attack.name] = (tpr_at_fpr(*sides, 0.01, SURE), auc(*sides, SURE))
    plain = shares.pop("loss threshold")
    for name, (found, area) in shares.items():
        assert found.low > plain[0].high, name
        assert name == "reference ratio" or area.low > plain[1].high, name


def test_reference_ratio_averages_models_that_did_not_see_the_candidate() -> None:
    answers = drawn(1.0, n=20, shadows=6).signals.candidates
    for count in (None, 1, 2):
        found = ReferenceRatio(count).score(Signals(answers), ANY)
        for i in range(20):
            free = answers.shadow_losses[~answers.shadow_members[:, i], i][:count]
            assert found[i] == pytest.approx(free.mean() - answers.losses[i])


def test_entropies_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4) * 0.3, 50)
    p = (p + 1e-9) / (p + 1e-9).sum(1, keepdims=True)
    labels = rng.integers(0, 4, 50)
    losses = -np.log(p[np.arange(50), labels])
    signals = Signals(Answers(losses, np.log(p), labels))
    np.testing.assert_allclose(Entropy().score(signals, ANY), -stats.entropy(p, axis=1), rtol=1e-9)
    modified = [
        -(1 - row[y]) * np.log(row[y])
        - sum(row[c] * np.log(1 - row[c]) for c in range(4) if c != y)
        for row, y in zip(p, labels, strict=True)
    ]
    np.testing.assert_allclose(
        ModifiedEntropy().score(signals, ANY), -np.array(modified), rtol=1e-6
    )
    sure = Signals(Answers(np.zeros(1), np.array([[0.0, -800.0]]), np.array([0])))
    assert ModifiedEntropy().score(sure, ANY)[0] == pytest.approx(0.0)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.9]))
def test_quantile_regression_minimises_the_pinball_loss(seed: int, quantile: float) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack((rng.normal(size=(40, 3)), np.ones(40)))
    values = design @ rng.normal(size=4) + rng.standard_t(3, 40)

    def loss(weights: np.ndarray) -> float:
        rest = values - design @ weights
        return float(np.maximum(quantile * rest, (quantile - 1) * rest).sum())

    found = pinball_fit(design, values, quantile)
    for _ in range(50):
        assert loss(found) <= loss(found + rng.normal(size=4) * rng.choice([1e-3, 0.1])) + 1e-9
    above = int((values > design @ found + 1e-9).sum())  # the constant column balances the sides
    below = int((values < design @ found - 1e-9).sum())
    assert above <= (1 - quantile) * 40 + 1e-9 and below <= quantile * 40 + 1e-9


def test_gradients_of_the_last_layer_are_those_of_autograd() -> None:
    split = worlds.model()
    examples = worlds.batch(split, 6, 9, seed=1)
    layer = last_layer(split)
    assert layer is split.whole.classifier
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=layer.weight.shape), rng.normal(size=layer.bias.shape)
    cosines, differences = last_gradients(split, [examples]).against(weight, bias)
    update = np.concatenate((weight.ravel(), bias))
    each = []
    for loss in split.losses(examples):
        own = torch.autograd.grad(loss, [layer.weight, layer.bias], retain_graph=True)
        each.append(np.concatenate([g.numpy().ravel() for g in own]).astype(np.float64))
    lengths = [np.linalg.norm(g) for g in each]
    estimate = -update * np.sqrt(np.mean(np.square(lengths))) / np.linalg.norm(update)
    for i, gradient in enumerate(each):
        cosine = -gradient @ update / lengths[i] / np.linalg.norm(update)
        assert cosines[i] == pytest.approx(cosine, rel=1e-4)
        gap = estimate @ estimate - (estimate - gradient) @ (estimate - gradient)
        assert differences[i] == pytest.approx(gap, rel=1e-4)


def test_matching_cannot_fail_without_noise_and_fades_with_it() -> None:
    areas = []
    for noise in (0.0, 1.0, 3.0, 30.0):
        world = matched(noise)
        scores = world.signals.nearness
        assert scores is not None
        areas.append(auc(scores[world.members], scores[~world.members], SURE))
    assert areas[0].value == 1.0
    assert all(a.high >= b.low for a, b in pairwise(areas))
    assert areas[0].low > areas[-1].high
    for unit in ("token", "sequence"):
        clipped = matched(0.05, clip_norm=2.0, unit=unit)
        scores = clipped.signals.nearness
        assert scores is not None
        assert auc(scores[clipped.members], scores[~clipped.members]).value > 0.99


def test_a_client_scores_the_mean_of_its_examples() -> None:
    rng = np.random.default_rng(0)
    scores, owners = rng.normal(size=50), rng.integers(3, 9, 50)
    expected = [scores[owners == client].mean() for client in range(3, 9)]
    np.testing.assert_allclose(by_client(scores, owners), expected)
