"""Forward view: tokens that attacks recover from the smashed data."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from attacks.attack import Knowledge, Lacks, WordReader
from attacks.inversion.learned_decoder import fit_decoder
from evaluation.adversary.knowledge import knowledge_of, with_bottom
from evaluation.adversary.observation import Observation, auxiliary_texts, same_parts
from evaluation.adversary.transcript import tables_from
from evaluation.attacking.informed import with_informed
from evaluation.attacking.judge import ForwardJudge, Group
from evaluation.attacking.loop import Named, entries, named
from evaluation.attacking.personal import spans_of
from fedbert.frozen import dropout_of
from fedbert.messages import ClientParts
from fedbert.precision import products
from fedbert.seeding import generator
from reports.leak import LeakageEntry


def forward(observation: Observation) -> tuple[list[LeakageEntry], list[dict[str, Any]]]:
    """Return the tokens that attacks on the smashed data recovered, and a few sentences."""
    rate, seed = dropout_of(observation.trained.split), observation.cell.config.seed
    texts, types = auxiliary_texts(observation.prepared, seed)
    groups: list[Group] = []
    for group in same_parts(observation.transcript.entries):
        known = partial(_known, observation, group[0].parts, texts, types)
        groups.append(([o.message for o in group], [observation.batch(o) for o in group], known))
    spans = spans_of(observation.cell.config, observation.prepared)
    judge = ForwardJudge.of(
        seed, observation.prepared, observation.defence, groups, rate, texts, spans
    )
    guesses: dict[str, Sequence[np.ndarray]] = {}
    ask = partial(_ask, groups, seed, {})

    def judged(each: Named, guessed: list[np.ndarray]) -> Iterator[LeakageEntry]:
        if not each.head.baseline:
            guesses[each.attack.name] = guessed
        alone = each.entry is not None and each.entry.alone
        adaptive = not each.head.baseline and getattr(each.attack, "adaptive", True)
        leaks = judge.leaks(each.head, guessed, alone, adaptive)
        return with_informed(leaks, each, groups, judge, ask)

    attacks = named(observation.cell.attacks.inversion, "inversion")
    with products(observation.cell.config, observation.trained.split.whole.config):
        found = list(entries(attacks, ask, judged))
    return found, judge.samples(guesses)


def _ask(
    groups: Sequence[Group], seed: int, decoders: dict[int, WordReader], each: Named
) -> list[np.ndarray] | Lacks:
    """Return an attack's answer to every message, or why there is none.

    decoders: those trained so far, by the number of messages before a group's; one serves all
    attacks that start from it.
    """
    attack = each.attack
    guessed: list[np.ndarray] = []
    for messages, _, make in groups:
        knowledge = make()
        if attack.missing(knowledge) is not None:
            knowledge = make(whole=True)
        lacks: Lacks | None = attack.missing(knowledge)
        if lacks is not None:
            return lacks
        number = len(guessed)
        if getattr(attack, "uses_decoder", False):
            if number not in decoders:
                decoders[number] = fit_decoder(knowledge, generator(seed, "decoder", number))
            knowledge = replace(knowledge, decoder=decoders[number])
        draws = generator(seed, "attack", attack.name, number)
        guessed += attack.reconstruct(messages, knowledge, draws)
    return guessed


def _known(
    observation: Observation,
    parts: ClientParts,
    texts: tuple[np.ndarray, ...] | None,
    types: tuple[np.ndarray, ...] | None,
    whole: bool = False,
) -> Knowledge:
    """Return what is known of messages whose sender started from these parts.

    whole: E itself besides its tables, a copy as large as the model.
    """
    split = observation.trained.split
    rate = dropout_of(split)
    knowledge = knowledge_of(observation.defence, tables_from(parts, split), rate, texts, types)
    if not whole:
        return knowledge
    return with_bottom(
        knowledge, observation.defence, parts, split, observation.cell.config.data.max_length
    )
