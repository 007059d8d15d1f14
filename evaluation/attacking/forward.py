"""The forward view: tokens that attacks recover from the smashed data."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from attacks.attack import Knowledge, WordReader
from attacks.inversion.learned_decoder import fit_decoder
from evaluation.adversary.knowledge import knowledge_of, with_bottom
from evaluation.adversary.observation import Leak, Observation, auxiliary_texts, same_parts
from evaluation.adversary.transcript import tables_from
from evaluation.attacking.judge import ForwardJudge, Group
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import INVERSION
from fedbert.messages import ClientParts
from fedbert.seeding import generator


def forward(observation: Observation) -> tuple[list[Leak], list[dict[str, Any]]]:
    """Return the tokens that attacks on the smashed data recovered, and a few sentences."""
    found: list[Leak] = []
    guesses: dict[str, Sequence[np.ndarray]] = {}
    rate, seed = (
        observation.trained.split.whole.config.hidden_dropout_prob,
        observation.cell.config.seed,
    )
    texts, types = auxiliary_texts(observation.prepared, seed)
    groups: list[Group] = []
    for group in same_parts(observation.transcript.kept):
        known = partial(_known, observation, group[0].parts, texts, types)
        groups.append(([o.message for o in group], [observation.batch(o) for o in group], known))
    judge = ForwardJudge.of(seed, observation.prepared, observation.defence, groups, rate, texts)
    decoders: dict[int, WordReader] = {}
    for name in observation.cell.attacks.inversion:
        attack = make_attack(name, INVERSION, "reconstruct")
        head = {"view": attack.view, "attack": attack.name, "family": "inversion"}
        guessed: list[np.ndarray] = []
        for messages, _, make in groups:
            knowledge = make()
            if attack.missing(knowledge) is not None:
                knowledge = make(whole=True)
            lacking = attack.missing(knowledge)
            if lacking is not None:
                found.append({**head, "not_measured": lacking.words})
                break
            number = len(guessed)
            if getattr(attack, "uses_decoder", False):  # one serves all attacks that start from it
                if number not in decoders:
                    decoders[number] = fit_decoder(knowledge, generator(seed, "decoder", number))
                knowledge = replace(knowledge, decoder=decoders[number])
            draws = generator(seed, "attack", attack.name, number)
            guessed += attack.reconstruct(messages, knowledge, draws)
        else:
            guesses[attack.name] = guessed
            alone = name in INVERSION and INVERSION[name].alone
            baseline = name in INVERSION and INVERSION[name].baseline  # held to no floor
            adaptive = getattr(attack, "adaptive", True) and not baseline
            found += judge.leaks(head, guessed, alone, adaptive)
    return found, judge.samples(guesses)


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
    rate = split.whole.config.hidden_dropout_prob
    knowledge = knowledge_of(observation.defence, tables_from(parts, split), rate, texts, types)
    if not whole:
        return knowledge
    return with_bottom(
        knowledge, observation.defence, parts, split, observation.cell.config.data.max_length
    )
