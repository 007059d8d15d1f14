"""Message matching in the forward view: was this candidate's A among the messages?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge, Lacks, served, unfit_noise
from attacks.inversion.parts.possible_rows import PossibleRows
from attacks.signals import Signals
from fedbert.data.batches import Batch
from fedbert.messages import SmashedData
from fedbert.split import EmbeddingTables

LEAST = 1e-3  # of the noise's standard deviation: what float32 rows differ by, and then some


@dataclass(frozen=True)
class MessageMatching:
    """Scores by the likelihood ratio of the candidate behind one of the messages, against another
    text: one of the other candidates of its length, or one unlike them all.

    Without noise the rows are equal or not, and the attack cannot fail. Under Gaussian noise this
    is the distinguishing game that the guarantee of the forward view speaks of.

    Threat model: the honest-but-curious server, which knows E and the mechanism, and holds
    candidate examples; labels are not needed.
    """

    name: str = "message matching"
    view: str = "forward"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        words = "needs `nearness`: messages, and E's tables"
        return Lacks(("nearness",), words) if signals.nearness is None else None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the log-likelihood ratio [candidate] of the best match."""
        return served(signals.nearness, self.missing(signals), self.name)


def lacking(knowledge: Knowledge) -> Lacks | None:
    """Return why no likelihood of a match is at hand, or None if one is."""
    if knowledge.embedding is None:
        return Lacks(("embedding",), "needs `embedding`: the tables of E at cut layer 0")
    if knowledge.basis is not None:
        return Lacks(("basis",), "needs noise that is the same in all directions, or none")
    return Lacks.of(unfit_noise(knowledge.noise, ("gaussian",)))


def nearness(
    messages: Sequence[SmashedData], knowledge: Knowledge, candidates: Iterable[Batch]
) -> np.ndarray:
    """Return the log-likelihood ratio [candidate] of each candidate's best match among messages.

    Dropout in E is taken as more noise of its own variance.

    Raises:
        InputError: if `lacking` says that something is.
    """
    tables = served(knowledge.embedding, lacking(knowledge), "message matching")
    rows = [row for batch in candidates for row in _rows(tables, knowledge, batch)]
    sent = [
        torch.tensor(a[mask.astype(bool)]).double()
        for message in messages
        for a, mask in zip(message.activations, message.attention_mask, strict=True)
    ]
    scores = np.full(len(rows), -np.inf)
    tokens = torch.cat(rows)  # [token, hidden]
    middle, spread = tokens.mean(0), float(tokens.var(0).mean())
    for length in {len(row) for row in rows}:
        mine = [i for i, row in enumerate(rows) if len(row) == length]
        theirs = [each for each in sent if len(each) == length]
        if theirs:
            expected = torch.stack([rows[i] for i in mine]).flatten(1)  # [candidate, value]
            received = torch.stack(theirs).flatten(1)
            broad = middle.repeat(length), spread
            scores[mine] = _ratios(expected, received, knowledge, broad)
    lowest = np.min(scores[np.isfinite(scores)], initial=0.0)
    return np.where(np.isfinite(scores), scores, lowest - 1)  # no message is as long


def _rows(tables: EmbeddingTables, knowledge: Knowledge, batch: Batch) -> list[Tensor]:
    """Return the rows [seq, hidden] that E makes of each example, clipped as in the messages."""
    table, found = PossibleRows.of(tables), []
    for ids, kinds, mask in zip(
        batch.input_ids, batch.token_type_ids, batch.attention_mask, strict=True
    ):
        n = int(mask.sum())
        positions = torch.arange(n) + tables.position_offset
        rows = table.rows(ids[:n], positions, kinds[:n])
        if knowledge.clip_norm is not None:
            norms = (
                torch.linalg.vector_norm(rows, dim=1, keepdim=True)
                if knowledge.clip_unit == "token"
                else torch.linalg.vector_norm(rows)
            )
            rows = rows * (knowledge.clip_norm / norms).clamp(max=1)
        found.append(rows)
    return found


def _ratios(
    expected: Tensor, sent: Tensor, knowledge: Knowledge, broad: tuple[Tensor, float]
) -> np.ndarray:
    """Return the best log-likelihood ratio [candidate], of expected [candidate, value] rows.

    broad: mean [value] and variance of texts unlike the candidates.
    """
    dropped = knowledge.dropout / (1 - knowledge.dropout) * float(expected.square().mean())
    variance = max(knowledge.noise_std**2 + dropped, LEAST**2)
    logs = _log_density(torch.cdist(expected, sent).square(), variance, expected.shape[1])
    far = (sent - broad[0]).square().sum(1)  # [message]
    others = _log_density(far, variance + broad[1], expected.shape[1]).expand_as(logs)
    n = len(logs)
    if n > 1:  # half for the other candidates: their sum less each one's own share
        total = torch.logsumexp(logs, 0)
        rest = total + torch.log(-torch.expm1((logs - total).clamp(max=-1e-12))) - np.log(n - 1)
        others = torch.logaddexp(others, rest) - np.log(2)
    best: np.ndarray = (logs - others).max(1).values.numpy()
    return best


def _log_density(squares: Tensor, variance: float, values: int) -> Tensor:
    """Return the log-density, less a constant, of so many values at these squared distances."""
    return -0.5 * (squares / variance + values * float(np.log(variance)))
