"""What the attacks' tests share: tiny models, random examples, and a client written out plainly."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from fedbert.data.batches import Batch
from fedbert.messages import SmashedData, to_array
from fedbert.split import SplitBert, cut

PAD = {"bert": 0, "roberta": 1}
FIRST_WORD = 5


def model(
    architecture: str = "bert", moved: bool = True, seed: int = 3, **settings: Any
) -> SplitBert:
    """Return a random model cut at the embeddings; `moved`: LayerNorm is not the identity."""
    config_class, whole_class = {
        "bert": (BertConfig, BertForSequenceClassification),
        "roberta": (RobertaConfig, RobertaForSequenceClassification),
    }[architecture]
    defaults = {
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 24,
        "type_vocab_size": 2,
        "pad_token_id": PAD[architecture],
        "hidden_dropout_prob": 0.0,
        "num_labels": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = whole_class(config_class(**(defaults | settings)))
        norm = whole.base_model.embeddings.LayerNorm
        if moved:
            with torch.no_grad():
                norm.weight.add_(torch.randn_like(norm.weight) * 0.3)
                norm.bias.add_(torch.randn_like(norm.bias) * 0.3)
    return cut(whole.eval(), 0)


def batch(split: SplitBert, count: int, seq: int, seed: int, ragged: bool = True) -> Batch:
    """Return uniformly random examples of random types, padded on the right."""
    rng = torch.Generator().manual_seed(seed)
    config = split.whole.config
    lengths = torch.randint(2 if ragged else seq, seq + 1, (count,), generator=rng)
    mask = (torch.arange(seq) < lengths[:, None]).long()
    words = torch.randint(FIRST_WORD, config.vocab_size, (count, seq), generator=rng)
    kinds = torch.randint(0, config.type_vocab_size, (count, seq), generator=rng)
    labels = torch.randint(0, 2, (count,), generator=rng)
    ids = torch.where(mask == 1, words, config.pad_token_id)
    return Batch(ids, mask, kinds * mask, labels, torch.arange(count))


def smashed(
    split: SplitBert,
    examples: Batch,
    dropout: float = 0.0,
    clip_norm: float = float("inf"),
    noise_std: float = 0.0,
    unit: str = "token",
) -> SmashedData:
    """Return what a client sends: E, dropout, clip, noise, each written out."""
    rng = torch.Generator().manual_seed(11)
    with torch.no_grad():
        rows = split.bottom(examples)  # [batch, seq, hidden]
    if dropout:
        rows = rows * (torch.rand(rows.shape, generator=rng) >= dropout) / (1 - dropout)
    axes: Any = -1 if unit == "token" else (1, 2)
    rows = rows * (clip_norm / torch.linalg.vector_norm(rows, dim=axes, keepdim=True)).clamp(max=1)
    rows = rows + noise_std * torch.randn(rows.shape, generator=rng)
    return SmashedData(0, 0, 0, to_array(rows), to_array(examples.attention_mask))


def all_rows(split: SplitBert, position: int) -> Tensor:
    """Return every candidate [type, vocab, hidden] at a column, in float64, by E's definition."""
    e = split.bottom.embeddings
    offset = (
        split.whole.config.pad_token_id + 1 if split.whole.config.model_type == "roberta" else 0
    )
    position = e.position_embeddings.weight[position + offset].double()
    kinds = e.token_type_embeddings.weight.double()[:, None]
    rows = e.word_embeddings.weight.double() + position + kinds
    norm = e.LayerNorm
    shape = (rows.shape[-1],)
    return torch.nn.functional.layer_norm(
        rows, shape, norm.weight.double(), norm.bias.double(), norm.eps
    ).detach()
