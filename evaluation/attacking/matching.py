"""The forward view's membership: whose messages were heard, against examples left out."""

import numpy as np

from attacks.membership.message_matching import lacking, nearness
from attacks.membership.signals import Answers, Signals
from evaluation.adversary.candidates import sides
from evaluation.adversary.knowledge import knowledge_of
from evaluation.adversary.wiretap import tables_from
from evaluation.attacking.inversion import Heard, same_parts
from evaluation.run.utility import batches
from fedbert.seeding import numpy_rng


def matching_signals(heard: Heard, name: str) -> tuple[Signals | str, np.ndarray]:
    """Return what the server makes of candidates, and which were in the messages it heard; or why
    it cannot tell.

    Candidates are the examples behind the messages heard, and examples left out of the training.
    """
    overheard, prepared, config = heard.tap.kept, heard.prepared, heard.cell.config
    nobody = np.zeros(0, dtype=bool)
    if not overheard:
        return "nothing is sent in the forward view", nobody
    if prepared.task.kind == "mlm":
        return "which words of a candidate would be masked is unknown", nobody
    if heard.defence.nearest_word:
        return "E is fed other words than the candidate's", nobody
    inside: set[int] = set()
    for each in overheard:
        data = prepared.clients[each.message.client]
        own = np.arange(len(data.examples)) if data.pool is None else data.pool
        inside |= set(own[data.chosen(each.message.step)].tolist())
    _, outs = sides(config, prepared)
    rng = numpy_rng(config.seed, "candidates", name)
    others = rng.permutation(outs)[: heard.cell.attacks.candidates]
    candidates = np.sort(np.concatenate((np.array(sorted(inside), dtype=np.int64), others)))
    members = np.isin(candidates, sorted(inside))
    rate = heard.trained.split.whole.config.hidden_dropout_prob
    best = np.full(len(candidates), -np.inf)
    for group in same_parts(overheard):
        tables = tables_from(group[0].parts, heard.trained.split)
        knowledge = knowledge_of(heard.defence, tables, rate)
        reason = lacking(knowledge)
        if reason is not None:
            return reason, nobody
        shown = batches(prepared, prepared.pool, candidates, config.seed, name)
        best = np.maximum(best, nearness([o.message for o in group], knowledge, shown))
    return Signals(Answers(np.zeros(len(candidates))), nearness=best), members
