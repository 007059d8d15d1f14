"""Look-up where the noise is not isotropic Gaussian: other distributions, known directions."""

import torch
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.parts.possible_rows import PossibleRows

SHORTLIST = 2048
ROWS_AT_ONCE = 16


def search(
    rows: Tensor, position: Tensor, candidates: PossibleRows, knowledge: Knowledge
) -> tuple[Tensor, Tensor]:
    """Return word and type [token] of the most likely candidate of each row [token, hidden].

    Candidates are clipped as the mechanism clips them and compared after `knowledge.basis`, in L2;
    under Laplace noise in L1 among the `SHORTLIST` nearest in L2, where the most likely one is
    unless the noise hides all. Under metric noise, exp(-eta |z|), the nearest is the most likely.
    """
    word = torch.zeros(len(rows), dtype=torch.int64)
    kind = torch.zeros_like(word)
    vocab = len(candidates.words)
    for here in torch.unique(position).tolist():
        some = (position == here).nonzero()[:, 0]
        known = torch.cat([_sent(candidates, here, k, knowledge) for k in candidates.kinds])
        seen = rows[some]
        if knowledge.basis is not None:
            basis = knowledge.basis.float()
            known, seen = known @ basis, seen @ basis
        best = _closest(seen, known, 1 if knowledge.noise == "laplace" else 2)
        word[some], kind[some] = best % vocab, best // vocab
    return word, kind


def _sent(c: PossibleRows, position: int, kind_row: Tensor, knowledge: Knowledge) -> Tensor:
    """Return the rows of all words at one position and of one type, clipped [vocab, hidden]."""
    q = c.positions[position] + kind_row
    rows = (c.words + q) * c.inverse_std(q[None])[0, :, None] * c.gamma + c.beta
    if knowledge.clip_norm is None:
        return rows
    order = 1 if knowledge.noise == "laplace" else 2
    norms = torch.linalg.vector_norm(rows, ord=order, dim=1, keepdim=True)
    clipped: Tensor = rows * (knowledge.clip_norm / norms).clamp(max=1.0)
    return clipped


def _closest(seen: Tensor, known: Tensor, order: int) -> Tensor:
    """Return the index of the known row closest to each seen row [token]; of equals the first."""
    apart = known.square().sum(1) - 2 * seen @ known.T  # [token, candidate]
    if order == 2:
        return apart.argmin(1)
    best = []
    few = min(SHORTLIST, len(known))
    for some, distances in zip(seen.split(ROWS_AT_ONCE), apart.split(ROWS_AT_ONCE), strict=True):
        near = distances.topk(few, largest=False).indices.sort(1).values
        l1 = (known[near] - some[:, None]).abs().sum(2)
        best.append(near.gather(1, l1.argmin(1, keepdim=True))[:, 0])
    return torch.cat(best)
