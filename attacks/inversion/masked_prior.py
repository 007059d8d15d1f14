"""Look-up with a masked language model: both neighbours of a word, and more, say what it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge, Lacks
from attacks.inversion.language_prior import (
    LanguagePrior,
    best_paths,
    frequencies,
    needed_by,
    readings,
)
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.parts.cloze import GAPS, Cloze, Page, fit_cloze
from attacks.inversion.parts.first_scores import unit_rows
from attacks.inversion.parts.look_up import spread
from fedbert.errors import expect
from fedbert.messages import SmashedData

SEQUENCES_AT_ONCE = 64
TRUST = 0.7  # in the model, whose neighbours may be wrong; the rest goes to words' frequencies


@dataclass(frozen=True)
class MaskedPrior:
    """The words that are most probable one by one under the noise and a masked language model.

    Threat model and likelihoods: those of `LanguagePrior`. The model
    (`attacks.inversion.parts.cloze`) is trained on the auxiliary text alone, whatever the
    mechanism.

    It starts from the bigram prior's path. In each of `sweeps` sweeps every word is drawn anew from
    what the noise's likelihood and the model make of it, the others given, a part of the positions
    at a time; how probable each word was is averaged over the sweeps after the first `warm_up`. So
    a word counts by itself, and not as part of the one likeliest sentence: where much is uncertain
    more words are right that way. As the others are guesses themselves, the model's log-probability
    counts for 0.7 and that of the word's frequency for 0.3: on SST-2 no other weight was better by
    more than a percentage point at any noise.

    References: Geman and Geman (1984), for the draws; Gelfand and Smith (1990), for averaging
    probabilities instead of draws; Heckerman et al. (2000), for models given as conditionals.

    Raises:
        InputError: for no shortlist, or no sweep after the warm-up.
    """

    shortlist: int = 64
    sweeps: int = 12
    warm_up: int = 3
    view: str = "forward"

    def __post_init__(self) -> None:
        """Check the settings."""
        expect(self.shortlist >= 1, "shortlist >= 1", "shortlist", self.shortlist)
        expect(self.warm_up >= 0, "warm_up >= 0", "warm_up", self.warm_up)
        expect(self.sweeps > self.warm_up, "sweeps > warm_up", "sweeps", self.sweeps)

    @property
    def name(self) -> str:
        """The attack's name in reports."""
        return "masked-LM prior"

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return LanguagePrior().missing(knowledge)

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the most probable words' ids [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking, the tables of E do not fit the
                messages, or the auxiliary text is not of their vocabulary.
        """
        tables, texts = needed_by(self, knowledge)
        if knowledge.noise_std == 0:
            return NearestToken().reconstruct(messages, knowledge, generator)
        model = fit_cloze(texts, unit_rows(tables.word), generator)
        prior = frequencies(texts, len(tables.word))[1]
        found = [torch.zeros(0, dtype=torch.int64)]
        for tokens, words, logs in readings(messages, tables, knowledge, self.shortlist):
            start = best_paths(model.ngram, tokens, words, logs)
            alone = logs + (1 - TRUST) * prior[words]
            lengths = torch.unique_consecutive(tokens.sequence, return_counts=True)[1]
            sizes = [int(each.sum()) for each in lengths.split(SEQUENCES_AT_ONCE)]
            parts = [each.split(sizes) for each in (words, alone, start)]
            for some, *part in zip(lengths.split(SEQUENCES_AT_ONCE), *parts, strict=True):
                found.append(self._likeliest(model, some, *part, generator=generator))
        return spread(torch.cat(found), messages)

    def _likeliest(
        self,
        model: Cloze,
        lengths: Tensor,
        words: Tensor,
        alone: Tensor,
        start: Tensor,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the most probable words [token] of sequences of these lengths [sequence].

        words, alone [token, k]: shortlists, and what is known of each word without the model.
        """
        page = Page(torch.zeros(len(lengths), int(lengths.max()), dtype=torch.int64), lengths)
        page.ids[page.real] = start
        number = torch.zeros_like(page.ids)
        number[page.real] = torch.arange(len(start))
        mean = torch.zeros_like(alone)
        turns = [each for each in map(page.gaps, range(GAPS)) if each.any()]
        for sweep, gaps in product(range(self.sweeps), turns):
            mine = number[gaps]
            with torch.no_grad():
                said = model.each(page, gaps, words[mine])
            chance = (alone[mine] + TRUST * said).softmax(1)
            if sweep >= self.warm_up:
                mean[mine] += chance
            drawn = torch.multinomial(chance, 1, generator=generator)
            page.ids[gaps] = words[mine].gather(1, drawn)[:, 0]
        return words.gather(1, mean.argmax(1, keepdim=True))[:, 0]
