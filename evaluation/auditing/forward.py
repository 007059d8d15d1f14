"""Forward view of an audited model: how much text is read off what a client would send."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from attacks.attack import Lacks
from attacks.inversion.learned_decoder import fit_decoder
from attacks.inversion.nearest_token import NearestToken
from evaluation.adversary.knowledge import knowledge_of, with_bottom
from evaluation.adversary.simulated_noise import source_from
from evaluation.attacking.loop import Head, Named, entries, named
from evaluation.auditing.subject import Subject
from evaluation.grid.catalogue import INVERSION, looking
from evaluation.metrics.tokens import token_accuracy, token_chance
from fedbert.data.batches import Encoded, collate
from fedbert.data.client_data import ClientData
from fedbert.frozen import Frozen, dropout_of
from fedbert.messages import ClientParts, SmashedData, to_array
from fedbert.seeding import generator, numpy_rng
from fedbert.smashing import Smashing
from privacy.defence import Defence
from reports.leak import Leak, LeakageEntry

SENTENCES = 64
BATCH = 16
EVERY = Head("forward", "all", "inversion")


def inversion(
    subject: Subject, text: Encoded, auxiliary: Encoded | None, seed: int = 0
) -> list[LeakageEntry]:
    """Return the share of a text's tokens that every attack reads off its smashed data.

    The text is sent as a client sends it: through E, with its dropout where it is trained, and the
    mechanism on the smashed data that the manifest names, each sequence once. Attackers know E and
    the mechanism.
    """
    defence = subject.defence
    if subject.one_message:
        return [EVERY.not_measured("one pooled message of a record is sent: a grid attacks it")]
    if subject.checkpoint is not None and _silent(subject):
        return [EVERY.not_measured("no activations are sent")]
    if defence is None:
        why = "the manifest names a mechanism that is not the catalogue's"
        return [EVERY.not_measured(why)]
    chosen = numpy_rng(seed, "audit text").permutation(len(text))[:SENTENCES]
    text = text.take(np.sort(chosen))
    data = ClientData(0, text, subject.vocabulary, BATCH, seed)
    messages, ids, masks = _sent(subject, defence, data)
    special = list(subject.vocabulary.special)
    counted = [m.astype(bool) & ~np.isin(i, special) for i, m in zip(ids, masks, strict=True)]
    tables = subject.split.embedding_tables() if subject.split.cut_layer == 0 else None
    texts = None
    if auxiliary is not None:
        texts = tuple(np.split(auxiliary.tokens, auxiliary.offsets[1:-1]))
    rate = dropout_of(subject.split)
    known = text.tokens if auxiliary is None else auxiliary.tokens
    common = np.bincount(known[~np.isin(known, special)], minlength=1)
    chance = token_chance(ids, counted, common)
    knowledge = knowledge_of(defence, tables, rate, texts)
    looked_up = NearestToken().missing(knowledge) is None
    if not looked_up and texts is not None:  # a deeper cut, or unknown noise: it takes a decoder
        nobody = ClientParts(0, 0, {})
        longest = subject.config.data.max_length
        knowledge = with_bottom(knowledge, defence, nobody, subject.split, longest)
        decoder = fit_decoder(knowledge, generator(seed, "decoder"))
        knowledge = replace(knowledge, decoder=decoder)

    def ask(each: Named) -> list[np.ndarray] | Lacks | str:
        lacks: Lacks | None = each.attack.missing(knowledge)
        if lacks is not None and looked_up and "bottom" in lacks.fields:
            return "not asked where a look-up does; a grid trains it"
        if lacks is not None:
            return lacks
        draws = generator(seed, "attack", each.attack.name)
        guessed: list[np.ndarray] = each.attack.reconstruct(messages, knowledge, draws)
        return guessed

    def judge(each: Named, guessed: list[np.ndarray]) -> Iterator[Leak]:
        rng = numpy_rng(seed, "judge", each.attack.name)
        found = token_accuracy(ids, guessed, counted, rng)
        yield each.head.leak("token_accuracy", found, "token", chance)

    attacks = named(looking(INVERSION), "inversion")
    return list(entries(attacks, ask, judge))


def _silent(subject: Subject) -> bool:
    strategy = subject.config.training.strategy
    return strategy in ("centralised", "fedavg")


def _sent(
    subject: Subject, defence: Defence, data: ClientData
) -> tuple[list[SmashedData], list[np.ndarray], list[np.ndarray]]:
    """Return the messages of one pass over the text, its token ids and its masks [batch, seq]."""
    noise = source_from(generator(data.seed, "audit noise"))
    config, bottom = subject.config, subject.split.bottom
    frozen = Frozen(subject.split, config) if config.model.freeze_embeddings else None
    smashing = Smashing(defence, data, config, noise, frozen)
    training = bottom.training
    bottom.train()
    messages, ids, masks = [], [], []
    for step in range(data.steps_per_epoch):
        batch = collate(data.encoded, data.chosen(step), data.vocabulary.pad)
        a = smashing(bottom, smashing.rewritten(bottom, batch, step), step)
        mask = to_array(batch.attention_mask)
        messages.append(SmashedData(0, 0, step, to_array(a.detach()), mask))
        ids.append(batch.input_ids.numpy())
        masks.append(mask)
    bottom.train(training)
    return messages, ids, masks
