"""Released model of a one-message training: the public encoder, a projection, and a linear head."""

from typing import Any

import torch
from torch import Tensor, nn

from fedbert.data.batches import Batch
from fedbert.data.pairs import PairFrame
from fedbert.head import Head
from fedbert.one_message.comparison import compared
from fedbert.one_message.learner import LinearHead
from fedbert.one_message.projection import Projection
from fedbert.pooling import pooled
from fedbert.setting_types import Pooling
from fedbert.split import Body, Bottom, SplitBert


class MessageEncoder(nn.Module):
    """E with the projection behind it: what a record is before label, clip and noise.

    frame: of pairs that are compared, as `fedbert.one_message.vectors.Vectors` does.
    """

    centre: Tensor
    matrix: Tensor

    def __init__(
        self, bottom: Bottom, projection: Projection, pooling: Pooling, frame: PairFrame | None
    ) -> None:
        """Hold E and what was made of public text."""
        super().__init__()
        self.bottom, self.pooling, self.frame = bottom, pooling, frame
        self.config = bottom.config
        self.register_buffer("centre", torch.as_tensor(projection.centre))
        self.register_buffer("matrix", torch.as_tensor(projection.matrix))

    @property
    def embeddings(self) -> Any:
        """E's embeddings."""
        return self.bottom.embeddings

    def forward(self, batch: Batch) -> Tensor:
        """Return rows in the unit ball [batch, 1, direction] float32."""
        halves = (batch,) if self.frame is None else self.frame.halves_of(batch)
        asked = [pooled(self.bottom(h).float(), h.attention_mask, self.pooling) for h in halves]
        vectors = asked[0] if self.frame is None else compared(*asked)
        return unit_ball((vectors.double() - self.centre) @ self.matrix).float()[:, None, :]


def unit_ball(rows: Tensor) -> Tensor:
    """Return rows [..., value], those of norm above 1 at 1."""
    norms = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    inside: Tensor = rows / norms.clamp(min=1.0)
    return inside


class RowClassifier(nn.Module):
    """A linear map of the one row of Z: logits of classes, or a score."""

    def __init__(self, head: LinearHead) -> None:
        """Hold a head's values, in float32."""
        super().__init__()
        outputs, directions = head.weight.shape
        self.linear = nn.Linear(directions, outputs)
        with torch.no_grad():
            self.linear.weight.copy_(torch.as_tensor(head.weight))
            self.linear.bias.copy_(torch.as_tensor(head.bias))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits [batch, output] of Z [batch, 1, direction]."""
        logits: Tensor = self.linear(hidden[:, 0])
        return logits


class OneMessageModel(nn.Module):
    """The whole model: encoder and classifier, with the encoder's configuration."""

    def __init__(self, encoder: MessageEncoder, classifier: RowClassifier) -> None:
        """Hold both parts."""
        super().__init__()
        self.encoder, self.classifier = encoder, classifier
        self.config = encoder.config


def released(
    split: SplitBert,
    projection: Projection,
    pooling: Pooling,
    frame: PairFrame | None,
    head: LinearHead,
) -> SplitBert:
    """Return the model that a training by one message releases, in the form of all others.

    split: the public model, whose E it shares. T has no layers, Z is the row itself.
    """
    encoder = MessageEncoder(split.bottom, projection, pooling, frame)
    classifier = RowClassifier(head)
    whole = OneMessageModel(encoder, classifier)
    bottom: Any = encoder
    kind = split.head.kind
    body = Body([], split.whole.config)
    return SplitBert(
        whole, split.cut_layer, bottom, body, Head({"classifier": classifier}, kind), split.notes
    )
