"""What can be said of an example without the target: numbers for a quantile regression."""

import numpy as np
import torch

from evaluation.run.utility import batches
from fedbert.prepare import Prepared
from fedbert.split import answering

DIRECTIONS = 16


def features_of(prepared: Prepared, examples: np.ndarray, seed: int) -> np.ndarray:
    """Return features [example, 1 + DIRECTIONS] of examples of the pool, each of unit spread.

    The length, and the principal directions of what the model that training started from makes of
    the text: the mean of its hidden states.
    """
    model, means = prepared.split, []
    with answering(model):
        for batch in batches(prepared, prepared.pool, examples, seed, "features"):
            mask = batch.attention_mask[..., None].double()
            hidden = model.hidden(batch).double()
            means.append(((hidden * mask).sum(1) / mask.sum(1)).numpy())
    rows = np.concatenate(means)
    centred = rows - rows.mean(0)
    _, _, directions = torch.linalg.svd(torch.from_numpy(centred), full_matrices=False)
    projected = centred @ directions[:DIRECTIONS].numpy().T
    both = np.column_stack((prepared.pool.lengths[examples].astype(np.float64), projected))
    scaled: np.ndarray = (both - both.mean(0)) / np.maximum(both.std(0), 1e-9)
    return scaled
