"""Client membership: record scores, gathered by client and judged."""

import numpy as np

from attacks.membership.clients import by_client
from evaluation.adversary.candidates import Candidates
from evaluation.metrics.membership import Leak, auc
from fedbert.config import Config
from fedbert.data.partition import partition
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from reports.scores import Scored


def client_level(config: Config, chosen: Candidates, prepared: Prepared, scored: Scored) -> Leak:
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
        return {"not_measured": "client level: needs two clients or more, two candidates in each"}
    labels, documents = prepared.pool.labels[others], prepared.pool.documents[others]
    own = documents if prepared.task.kind == "mlm" else None
    by = config.data
    dealt = partition(labels, by.clients, by.partition, by.alpha, rng, own)
    for client, places in enumerate(dealt):
        owner[others[places]] = client
    owners = owner[chosen.candidates]
    inside, outside = (
        by_client(scored.scores[side], owners[side]) for side in (chosen.members, ~chosen.members)
    )
    leak = {"metric": "client_auc", "estimate": auc(inside, outside), "unit": "client"}
    return {**leak, "chance": 0.5}
