"""The look-up under other noise than isotropic Gaussian: exact, and better than in ignorance."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from evaluation.adversary.knowledge import knowledge_of
from fedbert.data.batches import collate
from fedbert.messages import SmashedData
from fedbert.protect import protect
from privacy.defence import Defence
from privacy.empirical import FeatureDropout, Quantise
from privacy.laplace import Laplace
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import Mechanism
from privacy.metric import Metric
from tests.fedbert import tiny
from tests.privacy.drawn import draws

SPLIT = tiny.split_model()
SPLIT.whole.eval()
BATCH = collate(tiny.encoded("two", 60), range(60), tiny.PAD)
REAL = BATCH.attention_mask.bool().numpy()


def clean() -> Tensor:
    with torch.no_grad():
        return SPLIT.bottom(BATCH)


def sent(mechanism: Mechanism, seed: int = 0) -> SmashedData:
    with torch.no_grad():
        a, _ = protect(mechanism, clean(), BATCH.attention_mask, draws(seed))
    return SmashedData(0, 0, 0, a.numpy(), BATCH.attention_mask.numpy())


def rate(mechanism: Mechanism, knowledge: Knowledge | None = None, seed: int = 0) -> float:
    known = knowledge or knowledge_of(
        Defence("d", smashed=mechanism), SPLIT.embedding_tables(), dropout=0.0
    )
    (guess,) = NearestToken().reconstruct([sent(mechanism, seed)], known, torch.Generator())
    return float((guess == BATCH.input_ids.numpy())[REAL].mean())


def every_row() -> Tensor:
    """All rows that E can make [position, type, word, hidden], by running it."""
    e = SPLIT.bottom.embeddings
    with torch.no_grad():
        words = e.word_embeddings.weight[None, None]
        places = e.position_embeddings.weight[: BATCH.input_ids.shape[1], None, None]
        kinds = e.token_type_embeddings.weight[None, :, None]
        return e.LayerNorm(words + places + kinds)


def test_laplace_noise_is_met_with_its_own_likelihood() -> None:
    """Against a direct search over all candidates, clipped in L1, by L1 distance."""
    mechanism = Laplace(clip_norm=10.0, epsilon=20.0)
    message = sent(mechanism)
    rows = every_row()
    rows = rows * (10.0 / rows.abs().sum(-1, keepdim=True)).clamp(max=1.0)
    known = knowledge_of(Defence("d", smashed=mechanism), SPLIT.embedding_tables(), 0.0)
    (guess,) = NearestToken().reconstruct([message], known, torch.Generator())
    for b, t in zip(*np.nonzero(REAL), strict=True):
        apart = (rows[t] - torch.from_numpy(message.activations[b, t])).abs().sum(-1)
        assert guess[b, t] == int(apart.flatten().argmin()) % tiny.VOCAB


def test_knowing_the_noise_beats_taking_it_for_gaussian() -> None:
    """Over 5 x 480 tokens; for Laplace and for a projection, with the same messages."""
    laplace = Laplace(clip_norm=12.0, epsilon=14.0)
    naive = Knowledge(SPLIT.embedding_tables(), noise_std=laplace.noise_std)
    informed = np.mean([rate(laplace, seed=seed) for seed in range(5)])
    assert informed > np.mean([rate(laplace, naive, seed) for seed in range(5)]) + 0.02
    matrix = MatrixGaussian(40.0, 0.01, tiny.HIDDEN, 12, column_spread=20.0, basis_seed=1)
    naive = Knowledge(SPLIT.embedding_tables(), noise_std=matrix.noise_std)
    informed = np.mean([rate(matrix, seed=seed) for seed in range(5)])
    assert informed > np.mean([rate(matrix, naive, seed) for seed in range(5)]) + 0.1


@pytest.mark.parametrize(
    "mechanism",
    [
        Laplace(clip_norm=50.0, epsilon=1e5),
        MatrixGaussian(200.0, 1e-5, width=tiny.HIDDEN, length=12, column_spread=3.0),
        MatrixGaussian(200.0, 1e-5, width=tiny.HIDDEN, length=12, keep=12),
        Metric(eta=1e4, width=tiny.HIDDEN),
        Quantise(bits=8, clip_norm=10.0),
        FeatureDropout(rate=0.2),
    ],
    ids=lambda mechanism: type(mechanism).__name__,
)
def test_next_to_no_noise_gives_everything_away(mechanism: Mechanism) -> None:
    assert rate(mechanism) > 0.97


@pytest.mark.parametrize(
    "mechanism",
    [
        Laplace(clip_norm=1.0, epsilon=0.1),
        MatrixGaussian(1.0, 100.0, width=tiny.HIDDEN, length=12, column_spread=3.0, keep=8),
        Metric(eta=0.01, width=tiny.HIDDEN),
    ],
    ids=lambda mechanism: type(mechanism).__name__,
)
def test_under_heavy_noise_only_chance_remains(mechanism: Mechanism) -> None:
    """The frequent words of these texts are 1 in 45; 0.12 lies 9 standard errors above."""
    assert rate(mechanism) < 0.12
