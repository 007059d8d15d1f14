"""Optimisation attack: words whose A, by the known E, lies nearest to the one received."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.attack import Knowledge, Lacks, WordReader
from attacks.inversion.learned_decoder import fit_decoder, lacking, refuse
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.parts.ngram import Ngram
from attacks.inversion.parts.simulation import Texts, pushed
from fedbert.data.batches import Batch
from fedbert.messages import SmashedData
from fedbert.split import Bottom, copied, position_ids, run_layers

STEPS, RATE = 15, 0.5  # of Adam, on the logits of relaxed words
CHOICES = 16  # words per token that are mixed
SEQUENCES_AT_ONCE = 16
MEASURED_ON = 64  # texts, for the spread of A around E's own output
LEAST_SPREAD = 1e-4  # relative to the values of A


@dataclass(frozen=True)
class Optimisation:
    """The words, near a decoder's, that explain a whole message best: gradient descent on mixtures.

    Threat model: that of `LearnedDecoder`, from which it starts (at cut layer 0 from `NearestToken`
    too, whichever is the better by the objective).

    Each token is relaxed to a mixture of the decoder's likeliest words; the mixtures' rows of the
    word table go through E, without dropout, and the clip, and are moved towards the A received.
    Then each token takes its heaviest word. Of start and end each sequence keeps the one with the
    lower objective, so that the search never ends worse than it began:

        |A - clip(E(words))|^2 / (2 v) - log p(words),

    v being the mean square by which A strays from clip(E) (noise, dropout and rounding together, as
    measured on auxiliary text), p a bigram model of that text. Noise in known directions is
    compared after `knowledge.basis`.

    References: LAMP (Balunovic et al. 2022) and TAG (Deng et al. 2021), for matching with words
    relaxed, there of gradients.
    """

    name: str = "optimisation"
    view: str = "forward"
    uses_decoder: bool = True

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return lacking(knowledge)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, or E does not fit the messages
                or the auxiliary text.
        """
        bottom = refuse(self.name, knowledge, messages)
        reader = knowledge.decoder or fit_decoder(knowledge, generator)
        objective = Objective.of(bottom, knowledge, generator)
        nearest: list[np.ndarray] = []
        if NearestToken().missing(knowledge) is None:
            nearest = NearestToken().reconstruct(messages, knowledge, generator)
        found = []
        for number, message in enumerate(messages):
            more = nearest[number] if nearest else None
            found.append(_searched(message, reader, objective, more))
        return found


@dataclass(frozen=True)
class Objective:
    """How badly words explain a message; lower is better. `E` is the known one, without dropout.

    separator: the word after which the token type turns from 0 to 1, in texts of two parts.
    """

    bottom: Bottom
    knowledge: Knowledge
    variance: float
    ngram: Ngram
    separator: int | None

    @staticmethod
    def of(bottom: Bottom, knowledge: Knowledge, generator: torch.Generator) -> "Objective":
        """Return the objective, its variance measured on auxiliary text."""
        still = copied(bottom).eval().requires_grad_(False)
        texts = Texts.of(knowledge, bottom)
        vocab = int(bottom.config.vocab_size)
        made = Objective(
            still, knowledge, 1.0, Ngram.of(knowledge.auxiliary or (), vocab), _separator(texts)
        )
        some = texts.take(torch.randperm(len(texts), generator=generator)[:MEASURED_ON])
        apart, values, count = 0.0, 0.0, 0
        for each in pushed(some, bottom, knowledge, generator):
            sent = made.seen(each.sent(knowledge, generator))
            with torch.no_grad():
                expected = made.expected(each.batch, None)
            apart += float((sent - expected)[each.real].square().sum())
            values += float(expected[each.real].square().sum())
            count += expected[each.real].numel()
        least = LEAST_SPREAD * max(values, 1e-30) / count
        return replace(made, variance=max(apart / count, least))

    def seen(self, a: Tensor) -> Tensor:
        """Return A [batch, seq, dimension] as it is compared."""
        basis = self.knowledge.basis
        return a if basis is None else a @ basis.to(a)

    def expected(self, batch: Batch, rows: Tensor | None) -> Tensor:
        """Return E's output, clipped, of words or of rows [batch, seq, hidden] in their place."""
        e, config = self.bottom.embeddings, self.bottom.config
        given = {"input_ids": batch.input_ids} if rows is None else {"inputs_embeds": rows}
        hidden = e(
            **given,
            token_type_ids=batch.token_type_ids,
            position_ids=position_ids(batch.input_ids, config),
        )
        a = run_layers(self.bottom.layers, hidden, batch.attention_mask, config)
        return self.seen(_clipped(a, self.knowledge))

    def of_batch(self, batch: Batch, target: Tensor, expected: Tensor) -> Tensor:
        """Return half the squared distance over the variance [batch]; padding does not count."""
        apart = (expected - target) * batch.attention_mask[:, :, None]
        return apart.square().sum((1, 2)) / (2 * self.variance)

    def of_words(self, batch: Batch, target: Tensor) -> Tensor:
        """Return the whole objective of words [batch], the language model's part included."""
        with torch.no_grad():
            distance = self.of_batch(batch, target, self.expected(batch, None))
        return distance - torch.tensor(
            [
                self._log_likelihood(ids[: int(n)])
                for ids, n in zip(batch.input_ids.numpy(), batch.attention_mask.sum(1), strict=True)
            ]
        )

    def _log_likelihood(self, ids: np.ndarray) -> float:
        if len(ids) == 0:
            return 0.0
        edge = [self.ngram.edge]
        steps = self.ngram.log_bigram(np.concatenate([edge, ids]), np.concatenate([ids, edge]))
        return float(np.trace(steps))

    def batch(self, words: Tensor, mask: Tensor) -> Batch:
        """Return words [batch, seq] as a batch, padded as the clients pad."""
        ids = torch.where(mask.bool(), words, int(self.bottom.config.pad_token_id))
        kinds = torch.zeros_like(ids)
        if self.separator is not None:
            parts = (ids == self.separator).long().cumsum(1)
            kinds = ((parts - (ids == self.separator).long() > 0) & mask.bool()).long()
        nothing = torch.zeros(len(ids), dtype=torch.int64)
        return Batch(ids, mask, kinds, nothing, nothing)


def _searched(
    message: SmashedData, reader: WordReader, objective: Objective, nearest: np.ndarray | None
) -> np.ndarray:
    """Return the best words found for a message [batch, seq]."""
    guess = np.zeros(message.attention_mask.shape, dtype=np.int64)
    if not (message.attention_mask != 0).any():
        return guess
    words, logs = reader.shortlists(message)
    words, logs = words[:, :CHOICES], logs[:, :CHOICES].float()
    if nearest is not None:  # one more choice, as likely as the decoder's last
        other = torch.from_numpy(nearest[message.attention_mask != 0])
        words, logs = torch.cat((words, other[:, None]), 1), torch.cat((logs, logs[:, -1:]), 1)
    mask = torch.tensor(message.attention_mask).long()
    a = torch.tensor(message.activations).float()
    owner = mask.bool().nonzero()[:, 0]
    for some in torch.arange(len(mask)).split(SEQUENCES_AT_ONCE):
        mine = torch.isin(owner, some)
        if bool(mine.any()):
            found = _improved(a[some], mask[some], words[mine], logs[mine], objective, nearest)
            guess[some] = np.where(mask[some].numpy() != 0, found[:, : mask.shape[1]].numpy(), 0)
    return guess


def _improved(
    a: Tensor,
    mask: Tensor,
    words: Tensor,
    logs: Tensor,
    objective: Objective,
    nearest: np.ndarray | None,
) -> Tensor:
    """Return for each sequence the best of its starts and of what gradient descent made of it.

    words, logs [token, choice]: the choices for each token, the decoder's best one first; the last
    is the nearest word where `nearest` is given. Return [sequence, seq], seq as E was run.
    """
    longer = max(mask.shape[1], objective.knowledge.padded or 0) - mask.shape[1]
    mask, target = F.pad(mask, (0, longer)), F.pad(a, (0, 0, 0, longer))
    real, target = mask.bool(), objective.seen(target)

    def laid(choice: Tensor) -> Batch:
        ids = torch.zeros_like(mask)
        ids[real] = words.gather(1, choice[:, None])[:, 0]
        return objective.batch(ids, mask)

    first = torch.zeros(len(words), dtype=torch.int64)
    starts = [laid(first)]
    if nearest is not None:
        starts.append(laid(first + words.shape[1] - 1))
    best, score = _best(starts, target, objective)
    at_best = words == best.input_ids[real][:, None]
    table = objective.bottom.embeddings.word_embeddings.weight.detach()
    choices = table[words].float()  # [token, choice, hidden]
    # The start gets the weight of the likeliest: mixtures begin around it.
    mixed = torch.where(at_best, logs.max(1, keepdim=True).values, logs).log_softmax(1)
    mixed = mixed.clamp(min=-8.0).clone().requires_grad_()
    optimizer = torch.optim.Adam([mixed], lr=RATE)
    padding = table[best.input_ids].float()
    for _ in range(STEPS):
        rows = padding.clone()
        rows[real] = torch.bmm(mixed.softmax(1)[:, None], choices)[:, 0]
        loss = objective.of_batch(best, target, objective.expected(best, rows)).sum()
        (mixed.grad,) = torch.autograd.grad(loss / len(words), [mixed])
        optimizer.step()
    ended = laid(mixed.detach().argmax(1))
    return _best([best, ended], target, objective, score)[0].input_ids


def _best(
    ways: Sequence[Batch], target: Tensor, objective: Objective, first: Tensor | None = None
) -> tuple[Batch, Tensor]:
    """Return for each sequence the way of the lowest objective, of equals the first, and that.

    first [sequence]: the objective of the first way, where it is known.
    """
    scores = [
        first if i == 0 and first is not None else objective.of_words(way, target)
        for i, way in enumerate(ways)
    ]
    lowest, which = torch.stack(scores).min(0)
    ids = torch.stack([way.input_ids for way in ways])[which, torch.arange(len(which))]
    return objective.batch(ids, ways[0].attention_mask), lowest


def _clipped(a: Tensor, knowledge: Knowledge) -> Tensor:
    """Return A [batch, seq, hidden] clipped as the mechanism clips."""
    if knowledge.clip_norm is None:
        return a
    axes: tuple[int, ...] = (2,) if knowledge.clip_unit == "token" else (1, 2)
    if knowledge.noise == "laplace":
        norms = a.abs().sum(axes, keepdim=True)
    else:
        norms = a.square().sum(axes, keepdim=True).sqrt()
    return a * (knowledge.clip_norm / norms.clamp(min=1e-30)).clamp(max=1.0)


def _separator(texts: Texts) -> int | None:
    """Return the word that most often stands just before the types turn to 1; None: none does."""
    turns = (texts.kinds[:, 1:] == 1) & (texts.kinds[:, :-1] == 0)
    before = texts.ids[:, :-1][turns]
    return int(torch.bincount(before).argmax()) if len(before) else None
