"""Client membership: record scores, gathered by client and judged."""

import numpy as np

from attacks.membership.clients import by_client
from evaluation.adversary.candidates import Candidates
from evaluation.attacking.loop import Head
from evaluation.metrics.membership import auc
from fedbert.config import Config
from fedbert.data.partition import partition
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from reports.leak import LeakageEntry
from reports.scores import Scored


def client_level(
    head: Head, config: Config, chosen: Candidates, prepared: Prepared, scored: Scored
) -> LeakageEntry:
    """Return how well clients that took part are told from as many that did not.

    Those that did not are dealt from the examples left out, as the others from their own.
    """
    owner = np.full(len(prepared.pool), -1)
    for data in prepared.clients:
        owner[data.in_pool] = data.client
    others = chosen.candidates[~chosen.members]
    rng = numpy_rng(config.seed, "clients outside")
    few = min(len(others), len(scored.member_scores)) < 2 * config.data.clients
    if few or config.data.clients < 2 or config.training.strategy == "centralised":
        return head.not_measured("client level: needs two clients or more, two candidates in each")
    labels, documents = prepared.pool.labels[others], prepared.pool.documents[others]
    own = documents if prepared.task.kind == "mlm" else None
    by = config.data
    dealt = partition(labels, by.clients, by.partition, by.alpha, rng, own)
    for client, positions in enumerate(dealt):
        owner[others[positions]] = client
    owners = owner[chosen.candidates]
    members, non_members = (
        by_client(scored.scores[part], owners[part]) for part in (chosen.members, ~chosen.members)
    )
    return head.leak("client_auc", auc(members, non_members), "client", 0.5)
