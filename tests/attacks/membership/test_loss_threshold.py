"""A model's answers on examples, and the loss attack, which is nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks.membership.loss_threshold import LossThreshold
from attacks.signals import Answers, Signals, answers_of, logit_scaled
from fedbert.errors import InputError
from tests.attacks import worlds

ANY = np.random.default_rng(0)  # no attack here draws


def test_scores_are_minus_the_losses_whatever_the_batches() -> None:
    split = worlds.model()
    batches = [worlds.batch(split, count, 9, seed=count) for count in (4, 1, 7)]
    answers = answers_of(split, iter(batches))
    expected, logs = [], []
    for each in batches:
        for i in range(len(each.labels)):
            logits = split.whole(
                input_ids=each.input_ids[i : i + 1],
                attention_mask=each.attention_mask[i : i + 1],
                token_type_ids=each.token_type_ids[i : i + 1],
            ).logits.detach()
            expected.append(float(F.cross_entropy(logits, each.labels[i : i + 1])))
            logs.append(torch.log_softmax(logits[0], 0).numpy())
    assert LossThreshold().score(Signals(answers), ANY).shape == (12,)
    np.testing.assert_allclose(-LossThreshold().score(Signals(answers), ANY), expected, rtol=1e-5)
    assert answers.logs is not None and answers.labels is not None
    np.testing.assert_allclose(answers.logs, logs, rtol=1e-4)
    np.testing.assert_array_equal(answers.labels, np.concatenate([b.labels for b in batches]))


@pytest.mark.parametrize("margin", [-50.0, -3.0, 0.0, 3.0, 30.0, 33.0])
def test_confidence_keeps_what_a_rounded_probability_would_lose(margin: float) -> None:
    """With two classes the logit-scaled confidence is the margin itself."""
    split = worlds.model()
    with torch.no_grad():
        split.whole.classifier.weight.zero_()
        split.whole.classifier.bias.copy_(torch.tensor([0.0, margin]))
    examples = worlds.batch(split, 3, 9, seed=1)
    examples = replace(examples, labels=torch.ones(3, dtype=torch.int64))
    found = answers_of(split, [examples]).confidences
    np.testing.assert_allclose(found, margin, rtol=1e-6, atol=1e-6)


def test_confidence_of_extreme_losses_is_finite_and_falls() -> None:
    found = logit_scaled(np.array([0.0, 1e-300, 1e-9, 1.0, 699.0, 701.0, 1e6]))
    assert np.isfinite(found).all() and (np.diff(found) <= 0).all() and found[-1] == -1e6


def test_dropout_is_off_and_every_mode_is_restored() -> None:
    split = worlds.model(hidden_dropout_prob=0.5)
    examples = worlds.batch(split, 6, 9, seed=1)
    calm = answers_of(split, [examples]).losses
    split.whole.train()
    split.body.eval()
    before = {name: module.training for name, module in split.whole.named_modules()}
    assert set(before.values()) == {True, False}
    np.testing.assert_array_equal(calm, answers_of(split, [examples]).losses)
    assert before == {name: module.training for name, module in split.whole.named_modules()}
    assert all(p.grad is None for p in split.whole.parameters())


def test_modes_are_restored_after_a_failure() -> None:
    split = worlds.model()
    split.whole.train()
    examples = worlds.batch(split, 2, 9, seed=1)
    broken = replace(examples, input_ids=examples.input_ids + 10_000)
    with pytest.raises(IndexError):
        answers_of(split, [broken])
    assert split.whole.training


def test_a_model_that_diverged_is_refused() -> None:
    split = worlds.model()
    with torch.no_grad():
        split.whole.classifier.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="non_finite=3 of 3"):
        answers_of(split, [worlds.batch(split, 3, 9, seed=1)])


def test_answers_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="2 rows"):
        Answers(np.ones(2), logs=np.zeros((3, 2)))
    with pytest.raises(InputError, match="a bit for every shadow"):
        Answers(
            np.ones(2), shadow_losses=np.ones((4, 2)), shadow_members=np.zeros((3, 2), dtype=bool)
        )
    with pytest.raises(InputError, match="shadow losses of 2"):
        Answers(
            np.ones(2), shadow_losses=np.ones((4, 3)), shadow_members=np.zeros((4, 3), dtype=bool)
        )
