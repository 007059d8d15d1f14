"""Labels from the gradient that a client returns for Z.

Also what the attacks on the backward view share: what is known of H, and one step's messages.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Lacks, check_noise, served, unfit_noise
from fedbert.errors import InputError, expect
from fedbert.head import Head
from fedbert.messages import HiddenGradient, HiddenStates, Message, SmashedData

KINDS = ("classification", "regression")


@dataclass(frozen=True)
class HeadKnowledge:
    """What the aggregator knows of H, and of what was done to G_Z.

    head: H with the parameters that the client's step used. The aggregator knows them exactly for
        a client's first step of a round; later steps use an H that the client has moved on.
    noise_std: the root mean square of the noise on each value of every position of G_Z.
    clip_norm: the bound on the L2 norm of each `clip_unit` ("token" or "sequence") of G_Z.
    mean_over: what the loss was a mean over: "batch" (its masked positions, or its examples), or
        "sequence" where the client sent each example's own gradient, as DP-SGD does.
    mask_rate: the probability with which masked-LM chose each position.
    noise: the noise's distribution, as in `attacks.attack.Knowledge`.

    Raises:
        InputError: for settings that cannot be.
    """

    head: Head | None = None
    noise_std: float = 0.0
    clip_norm: float | None = None
    clip_unit: str = "sequence"
    mean_over: str = "batch"
    mask_rate: float = 0.15
    noise: str = "gaussian"

    def __post_init__(self) -> None:
        """Check every setting."""
        check_noise(self.noise, self.noise_std)
        bounded = self.clip_norm is None or self.clip_norm > 0
        expect(bounded, "clip_norm > 0 or None", "clip_norm", self.clip_norm)
        units, means = ("token", "sequence"), ("batch", "sequence")
        expect(self.clip_unit in units, "token or sequence", "clip_unit", self.clip_unit)
        expect(self.mean_over in means, "batch or sequence", "mean_over", self.mean_over)
        expect(0 < self.mask_rate < 1, "0 < mask_rate < 1", "mask_rate", self.mask_rate)


@dataclass(frozen=True)
class Step:
    """One step's messages: gradient and hidden [batch, seq, hidden], real [batch, seq] bool."""

    gradient: Tensor
    hidden: Tensor
    real: Tensor


def lacking(knowledge: HeadKnowledge, kinds: Sequence[str]) -> Lacks | None:
    """Return what is lacking if H is unknown or of none of these kinds, or G_Z's noise is."""
    if knowledge.head is None:
        return Lacks(("head",), "needs `head`: H as it was sent to the client")
    if knowledge.head.kind not in kinds:
        words = f"needs a `head` of kind {' or '.join(kinds)}, not {knowledge.head.kind}"
        return Lacks(("head",), words)
    return Lacks.of(unfit_noise(knowledge.noise, ("gaussian",)))


def known_head(knowledge: HeadKnowledge, kinds: Sequence[str], name: str) -> Head:
    """Return H.

    Raises:
        InputError: if it is unknown or is of none of these kinds.
    """
    return served(knowledge.head, lacking(knowledge, kinds), name)


def steps_of(messages: Sequence[Message]) -> list[Step]:
    """Return the step behind each HiddenGradient, in their order.

    Messages belong together by client, round and step. Where the step's SmashedData is among
    them, its attention mask says which positions are real; else all are taken to be.

    Raises:
        InputError: for a HiddenGradient without the HiddenStates of its step and of its shape.
    """
    states, masks = {}, {}
    for message in messages:
        if isinstance(message, HiddenStates):
            states[message.client, message.round, message.step] = message.hidden
        elif isinstance(message, SmashedData):
            masks[message.client, message.round, message.step] = message.attention_mask
    found = []
    for message in messages:
        if not isinstance(message, HiddenGradient):
            continue
        key = (message.client, message.round, message.step)
        gradient, hidden = message.gradient, states.get(key)
        if hidden is None or hidden.shape != gradient.shape:
            got = None if hidden is None else hidden.shape
            raise InputError(
                f"expected HiddenStates {gradient.shape} of the step, got hidden={got}"
            )
        real = masks.get(key, np.ones(gradient.shape[:2])) != 0
        found.append(Step(torch.tensor(gradient), torch.tensor(hidden), torch.from_numpy(real)))
    return found


@dataclass(frozen=True)
class LabelFromGradient:
    """The label whose gradient, sent back through H, lies nearest to the one received.

    Threat model: the honest-but-curious server of split learning, which made Z, receives G_Z, and
    as aggregator knows H. Noise on A does not touch this view.

    | what happened to G_Z | answer |
    |---|---|
    | nothing | exact for classes; exact for a score, up to float32 rounding |
    | a clip | exact for classes; a score is known only to be at least so far off on one side |
    | Gaussian noise, after a clip or none | exact maximum likelihood (a score: without a clip) |
    | dropout in H | compared with what H would send without it: not exact, see below |

    Dropout of H hides little, since the classes' gradients differ in direction: on tiny models,
    with two and three classes, 0.997 to 1 of the labels are found at rate 0.1 and 0.95 to 1 at
    rate 0.3; averaging over sampled masks was no better. A score's deviation from the prediction
    is then known only roughly (correlation with the truth 0.91 to 0.99 at 0.1).

    Reference: Zhao, Mopuri, Bilen (2020), "iDLG: Improved deep leakage from gradients", for the
    label in the sign of a gradient; Li et al. (2022), "Label leakage and protection in two-party
    split learning", for split learning.
    """

    name: str = "label from gradient"
    view: str = "backward"

    def missing(self, knowledge: HeadKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return lacking(knowledge, KINDS)

    def labels(
        self, messages: Sequence[Message], knowledge: HeadKnowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the labels [batch] behind each HiddenGradient: int64 classes, float32 scores.

        messages: HiddenGradient and HiddenStates in any order (see `steps_of`).

        Raises:
            InputError: if `missing` says that something is lacking, or a step has no HiddenStates.
        """
        head = copy.deepcopy(known_head(knowledge, KINDS, self.name)).double().cpu().eval()
        solve = _score if head.kind == "regression" else _classes
        return [solve(step, head, knowledge) for step in steps_of(messages)]


def _classes(step: Step, head: Head, knowledge: HeadKnowledge) -> np.ndarray:
    """Return the most likely classes [batch]."""
    seen = step.gradient[:, 0].double()  # [batch, hidden]
    apart = (_gradients(step, head, knowledge) - seen[:, None]).square().sum(2)
    return apart.argmin(1).numpy()


def _gradients(step: Step, head: Head, knowledge: HeadKnowledge) -> Tensor:
    """Return what G_Z at token 0 would be for every class [batch, class, hidden].

    With J the Jacobian of the logits it is J^T (p - onehot), over the number of examples.
    """
    logits, slopes = _slopes(step, head)  # [batch, class], [batch, class, hidden]
    mean = torch.einsum("bc,bch->bh", logits.softmax(1), slopes)
    found = (mean[:, None] - slopes) / _count(step, knowledge)
    return _clip(found, knowledge.clip_norm)


def _slopes(step: Step, head: Head) -> tuple[Tensor, Tensor]:
    """Return H's outputs [batch, output] and their slopes at token 0 [batch, output, hidden]."""
    z = step.hidden[:, :1].double().requires_grad_()  # H reads nothing else
    with torch.enable_grad():
        outputs: Any = head(z)
        each = [
            torch.autograd.grad(outputs[:, k].sum(), z, retain_graph=True)[0][:, 0]
            for k in range(outputs.shape[1])
        ]
    return outputs.detach(), torch.stack(each, dim=1)


def _count(step: Step, knowledge: HeadKnowledge) -> int:
    """Return what the sum of the examples' losses was divided by."""
    return max(len(step.gradient), 1) if knowledge.mean_over == "batch" else 1


def _clip(rows: Tensor, bound: float | None) -> Tensor:
    """Return rows [..., hidden] scaled down to the bound; G_Z is zero beyond token 0."""
    if bound is None:
        return rows
    norms = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    clipped: Tensor = rows * (bound / norms.clamp(min=1e-30)).clamp(max=1.0)
    return clipped


def _score(step: Step, head: Head, knowledge: HeadKnowledge) -> np.ndarray:
    """Return the most likely scores [batch]: G_Z is J^T 2 (prediction - score) over the count."""
    seen = step.gradient[:, 0].double()
    outputs, slopes = _slopes(step, head)
    slope = slopes[:, 0]
    along = (seen * slope).sum(1) / slope.square().sum(1).clamp(min=1e-300)
    return (outputs[:, 0] - along * _count(step, knowledge) / 2).float().numpy()
