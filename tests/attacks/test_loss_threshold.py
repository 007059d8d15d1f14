from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks.attack import Knowledge
from attacks.membership.loss_threshold import LossThreshold
from fedbert.config import InputError
from tests.attacks import worlds

ATTACK = LossThreshold()


def test_scores_are_minus_the_losses_whatever_the_batches() -> None:
    split = worlds.model()
    batches = [worlds.batch(split, count, 9, seed=count) for count in (4, 1, 7)]
    scores = ATTACK.score(iter(batches), Knowledge(model=split))
    expected = []
    for each in batches:
        for i in range(len(each.labels)):
            logits = split.whole(
                input_ids=each.input_ids[i : i + 1],
                attention_mask=each.attention_mask[i : i + 1],
                token_type_ids=each.token_type_ids[i : i + 1],
            ).logits.detach()
            expected.append(-float(F.cross_entropy(logits, each.labels[i : i + 1])))
    assert scores.shape == (12,)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_dropout_is_off_and_every_mode_is_restored() -> None:
    split = worlds.model(hidden_dropout_prob=0.5)
    examples = worlds.batch(split, 6, 9, seed=1)
    calm = ATTACK.score([examples], Knowledge(model=split))
    split.whole.train()
    split.body.eval()
    before = {name: module.training for name, module in split.whole.named_modules()}
    assert set(before.values()) == {True, False}
    again = ATTACK.score([examples], Knowledge(model=split))
    np.testing.assert_array_equal(calm, again)
    assert before == {name: module.training for name, module in split.whole.named_modules()}
    assert all(p.grad is None for p in split.whole.parameters())


def test_modes_are_restored_after_a_failure() -> None:
    split = worlds.model()
    split.whole.train()
    examples = worlds.batch(split, 2, 9, seed=1)
    broken = replace(examples, input_ids=examples.input_ids + 10_000)
    with pytest.raises(IndexError):
        ATTACK.score([broken], Knowledge(model=split))
    assert split.whole.training


def test_a_model_that_diverged_is_refused() -> None:
    split = worlds.model()
    with torch.no_grad():
        split.whole.classifier.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="non_finite=3 of 3"):
        ATTACK.score([worlds.batch(split, 3, 9, seed=1)], Knowledge(model=split))


def test_no_candidates_no_scores() -> None:
    assert ATTACK.score([], Knowledge(model=worlds.model())).shape == (0,)
