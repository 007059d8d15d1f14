"""What an adversary of the forward view knows of the mechanism in force (Kerckhoffs)."""

import math

import torch
from torch import Tensor

from attacks.attack import Knowledge
from fedbert.split import EmbeddingTables
from privacy.defence import Defence
from privacy.empirical import FeatureDropout, Quantise
from privacy.laplace import Laplace
from privacy.matrix_gaussian import MatrixGaussian
from privacy.metric import Metric


def knowledge_of(defence: Defence, tables: EmbeddingTables | None, dropout: float) -> Knowledge:
    """Return what is known of A: E's tables, and the clip, noise and dropout on its output.

    With nearest words the rows are those of words again, without noise; in a one-shot release E
    runs without dropout.
    """
    mechanism = defence.smashed
    kinds = {Laplace: "laplace", Metric: "metric"}
    noise_std = 0.0 if defence.nearest_word else mechanism.noise_std
    rate = 0.0 if defence.one_shot else dropout
    if isinstance(mechanism, FeatureDropout):  # it drops and scales as E does: one mask, one rate
        rate = 1 - (1 - rate) * (1 - mechanism.rate)
    if isinstance(mechanism, Quantise):  # rounding errors, as if spread evenly over a step
        noise_std = 2 * mechanism.clip_norm / (2**mechanism.bits - 1) / math.sqrt(12)
    return Knowledge(
        embedding=tables,
        clip_norm=mechanism.clip_norm,
        clip_unit=mechanism.unit,
        noise_std=noise_std,
        dropout=rate,
        noise=kinds.get(type(mechanism), "gaussian"),
        basis=_basis(mechanism) if isinstance(mechanism, MatrixGaussian) else None,
    )


def _basis(mechanism: MatrixGaussian) -> Tensor | None:
    """Return the map [width, dimension] that undoes the covariance of features, or projects."""
    if mechanism.keep is None and mechanism.column_spread == 1.0:
        return None
    whitening = torch.linalg.inv(mechanism.column_factor).T
    projection = mechanism.projection
    return whitening if projection is None else projection @ whitening
