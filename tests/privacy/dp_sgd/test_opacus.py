"""Opacus 1.6 beside our engine: a second oracle where it is right, a record of where it is not."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from fedbert.data.batches import Batch, collate
from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.engine import Recorder
from tests.fedbert import tiny
from tests.privacy.dp_sgd import oracle

CLIP = 0.01
opacus = pytest.importorskip("opacus")


def model_and_batch(pad: int = tiny.PAD) -> tuple[Any, Batch]:
    whole = tiny.whole_model(pad=pad)
    whole.train()
    return whole, collate(tiny.encoded("two", 8), range(8), pad)


def inputs(batch: Batch, expanded: bool = True) -> dict[str, Tensor]:
    """What transformers is called with; `expanded`: a position id for every token."""
    given = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "token_type_ids": batch.token_type_ids,
    }
    if expanded:
        positions = torch.arange(batch.input_ids.shape[1])
        given["position_ids"] = positions.expand(batch.input_ids.shape).contiguous()
    return given


def loss_of(whole: Any, batch: Batch) -> Tensor:
    logits = whole(**inputs(batch)).logits
    return torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum")


def wrapped(whole: Any) -> Any:
    from opacus import GradSampleModule

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GradSampleModule(whole, batch_first=True, loss_reduction="sum")


def test_hooks_used_with_care_agree_with_the_engine() -> None:
    whole, batch = model_and_batch()
    theirs = wrapped(tiny.twin(whole))
    loss_of(theirs, batch).backward()
    expected = {
        name.removeprefix("_module."): p.grad_sample for name, p in theirs.named_parameters()
    }
    squared = sum(g.double().flatten(1).square().sum(1) for g in expected.values())
    recorder = Recorder(whole, dict(whole.named_parameters()))
    with recorder.record():
        loss_of(whole, batch).backward()
    ours = recorder.squared_norms(len(batch))
    oracle.bounds(ours, squared, 1e-4, 5e-3)
    factors = clip_factors(ours, CLIP)
    for name, total in recorder.clipped_sum(factors).items():
        each = factors.view(-1, *[1] * (expected[name].dim() - 1))
        clipped = (each * expected[name]).sum(0).float()
        torch.testing.assert_close(total, clipped, rtol=1e-3, atol=1e-7)


def test_hooks_fail_on_transformers_own_position_ids() -> None:
    """One row of position ids serves the whole batch, so their gradients have a batch of one."""
    whole, batch = model_and_batch()
    theirs = wrapped(whole)
    out = theirs(**inputs(batch, expanded=False), labels=batch.labels)
    with pytest.raises(Exception, match=r"."):
        out.loss.backward()
        torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in theirs.parameters()])


def test_ghost_mode_clips_nothing_when_the_model_computes_the_loss() -> None:
    """The silent failure: an update far above the bound, and an epsilon all the same."""
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    whole, batch = model_and_batch()
    optimizer = torch.optim.SGD(whole.parameters(), lr=1.0)
    loader = DataLoader(TensorDataset(batch.input_ids), batch_size=len(batch))
    engine = PrivacyEngine(accountant="rdp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        private, optimizer, _criterion, _ = engine.make_private(
            module=whole,
            optimizer=optimizer,
            criterion=torch.nn.CrossEntropyLoss(),
            data_loader=loader,
            noise_multiplier=0.05,
            max_grad_norm=CLIP,
            grad_sample_mode="ghost",
            poisson_sampling=False,
        )
    before = [p.detach().clone() for p in private.parameters()]
    private(**inputs(batch), labels=batch.labels).loss.backward()
    optimizer.step()
    moved = torch.stack([(p - b).norm() for p, b in zip(private.parameters(), before, strict=True)])
    assert float(moved.norm()) > 5 * CLIP  # the mean of clipped gradients is at most CLIP
    assert engine.accountant.get_epsilon(1e-5) > 0  # and yet it claims


def test_the_engine_stops_where_ghost_mode_goes_on() -> None:
    """A backward that nobody clips leaves gradients behind: that is an error, not an epsilon."""
    whole, batch = model_and_batch()
    recorder = Recorder(whole, dict(whole.named_parameters()))
    whole(**inputs(batch), labels=batch.labels).loss.backward()
    with pytest.raises(RuntimeError, match=r"expected no \.grad"), recorder.record():
        loss_of(whole, batch).backward()
