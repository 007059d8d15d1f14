"""Repeats among examples: which read alike to the model, and one of each where they are counted."""

import numpy as np

from fedbert.data.batches import Encoded
from fedbert.data.people import linked


def twins(encoded: Encoded) -> np.ndarray:
    """Return, for each example, the first one with the same tokens and segments [example] int64."""
    seen: dict[tuple[bytes, bytes], int] = {}
    cuts = encoded.offsets[1:-1]
    pairs = zip(np.split(encoded.tokens, cuts), np.split(encoded.token_types, cuts), strict=True)
    found = [seen.setdefault((a.tobytes(), b.tobytes()), i) for i, (a, b) in enumerate(pairs)]
    return np.array(found, dtype=np.int64)


def coin_groups(encoded: Encoded) -> np.ndarray:
    """Return the number of the coin that each example goes by [example] int64.

    Twins go by one coin, whatever their labels: one that was left out while another was trained on
    would be no example that the model has not seen. Of masked-LM a document's blocks go by one.
    Where rows belong to persons, all of a person's go by one, and persons that share a text, too.
    """
    if encoded.people is not None:
        return linked(encoded.people, twins(encoded))
    return encoded.documents if encoded.task.kind == "mlm" else twins(encoded)


def clusters(encoded: Encoded) -> np.ndarray:
    """Return the number of the cluster of each example [example] int64: answers to them depend.

    Pairs with one first text (premise, question, sentence 1) belong together, as do twins, the
    blocks of a document, and all that belongs to one person.
    """
    firsts = encoded.first_texts
    if encoded.people is not None and firsts is not None:
        return linked(coin_groups(encoded), firsts)
    return coin_groups(encoded) if firsts is None else firsts


def one_of_each(groups: np.ndarray) -> np.ndarray:
    """Return the first position of every number [group] int64, ascending.

    >>> one_of_each(np.array([3, 0, 3, 2, 0])).tolist()
    [0, 1, 3]
    """
    return np.sort(np.unique(groups, return_index=True)[1])
