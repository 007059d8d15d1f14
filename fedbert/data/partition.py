"""Partition of the training examples over clients: even, skewed by label, or skewed by size."""

from collections.abc import Sequence

import numpy as np

from fedbert.errors import InputError

KINDS = ("iid", "dirichlet", "quantity")
SCORE_BINS = 5


def partition(
    labels: np.ndarray,
    clients: int,
    kind: str,
    alpha: float,
    rng: np.random.Generator,
    documents: np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """Return, for each client, the sorted positions of its examples ([example] int64).

    Every example lands on exactly one client and no client goes without.

    kind: "iid" deals a random order evenly, sizes differing by one at most. "dirichlet" divides
        every label among the clients by shares drawn from Dirichlet(alpha); scores (float labels)
        count as `SCORE_BINS` quantile bins. "quantity" draws the clients' sizes from
        Dirichlet(alpha) and deals a random order. A smaller alpha is more skewed.
    documents: [example] int, for masked-LM: documents are dealt whole. There are no labels to skew
        by, so that "dirichlet" then means "quantity" in documents.
    people: [example] int, the person that each belongs to: persons are dealt whole, and where
        documents are given, too, in their place. "dirichlet" takes a person by the most frequent
        label of its rows (of several the first), so that labels are skewed as far as persons are.

    At a small alpha some shares come out as nothing. A client left empty is given one unit drawn
    at random from the client that then has the most, so that alpha = 0.1 with 16 clients works at
    the first draw; redrawing until all are served would take for ever, and bend the distribution
    more.

    Raises:
        InputError: for an unknown kind, alpha <= 0, or fewer units than clients.
    """
    if kind not in KINDS:
        raise InputError(f"expected partition to be one of {', '.join(KINDS)}, got {kind=}")
    if not (np.isfinite(alpha) and alpha > 0):
        raise InputError(f"expected a finite alpha > 0, got {alpha=}")
    if clients < 1:
        raise InputError(f"expected clients >= 1, got {clients=}")
    by_document = documents is not None
    whole, what = (people, "persons") if people is not None else (documents, "documents")
    names, unit = _units(len(labels) if whole is None else whole)
    _check_enough(len(names), clients, "examples" if whole is None else what)
    if kind == "iid":
        owner = rng.permutation(np.arange(len(names)) % clients)
    elif kind == "quantity" or by_document:
        owner = _divide(rng.permutation(len(names)), clients, alpha, rng)
    else:
        classes = _classes(labels)
        own = classes if people is None else _most_frequent(classes, unit)
        owner = _by_label(own, clients, alpha, rng)
    owner = _repair(owner, clients, rng)
    return tuple(np.flatnonzero(owner[unit] == client) for client in range(clients))


def partition_counts(
    parts: Sequence[np.ndarray], labels: np.ndarray, names: Sequence[str] = ()
) -> dict[str, dict[str, int]]:
    """Return how many examples of each label every client has: {"client 0": {label: count}}.

    Scores are counted in their quantile bins, named "low to high"; without `names` (masked-LM) all
    examples count as "blocks".
    """
    classes = _classes(labels)
    if np.issubdtype(labels.dtype, np.floating):
        edges = [(labels[classes == c].min(), labels[classes == c].max()) for c in _seen(classes)]
        names = [f"{low:.4g} to {high:.4g}" for low, high in edges]
    elif not names:
        classes, names = np.zeros_like(classes), ["blocks"]
    return {
        f"client {client}": {
            name: int(count)
            for name, count in zip(
                names, np.bincount(classes[part], minlength=len(names)), strict=True
            )
        }
        for client, part in enumerate(parts)
    }


def _units(examples: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the units to deal, and each example's position among them."""
    if isinstance(examples, int):
        return np.arange(examples), np.arange(examples)
    names, unit = np.unique(examples, return_inverse=True)
    return names, unit


def _check_enough(units: int, clients: int, what: str) -> None:
    """Refuse to deal fewer units than there are clients."""
    if units < clients:
        empty = f"client {units}" if units == clients - 1 else f"clients {units} to {clients - 1}"
        raise InputError(
            f"expected at least as many {what} as clients, got {what}={units}, clients={clients}: "
            f"{empty} would be empty"
        )


def _classes(labels: np.ndarray) -> np.ndarray:
    """Return class numbers, [example] int64: the labels, or the quantile bin of each score."""
    if not np.issubdtype(labels.dtype, np.floating):
        return labels.astype(np.int64)
    inner = np.quantile(labels, np.linspace(0, 1, SCORE_BINS + 1)[1:-1])
    found = np.digitize(labels, np.unique(inner))
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _most_frequent(classes: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the class that most examples of each unit have [unit] int64; of several the first.

    >>> _most_frequent(np.array([1, 0, 1, 2]), np.array([0, 0, 0, 1])).tolist()
    [1, 2]
    """
    counts = np.zeros((unit.max() + 1, classes.max() + 1), dtype=np.int64)
    np.add.at(counts, (unit, classes), 1)
    return np.asarray(counts.argmax(axis=1))


def _seen(classes: np.ndarray) -> list[int]:
    """Return the class numbers that occur, ascending."""
    return [int(c) for c in np.unique(classes)]


def _by_label(
    classes: np.ndarray, clients: int, alpha: float, rng: np.random.Generator
) -> np.ndarray:
    """Return each example's client, every label divided by its own shares."""
    owner = np.empty(len(classes), dtype=np.int64)
    for label in _seen(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        owner[members] = _divide(np.arange(len(members)), clients, alpha, rng)
    return owner


def _divide(order: np.ndarray, clients: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Return each unit's client, cutting the order where the shares of Dirichlet(alpha) end."""
    shares = rng.dirichlet(np.full(clients, alpha))
    ends = np.rint(np.cumsum(shares)[:-1] * len(order)).astype(np.int64)
    owner = np.empty(len(order), dtype=np.int64)
    owner[order] = np.searchsorted(ends, np.arange(len(order)), side="right")
    return owner


def _repair(owner: np.ndarray, clients: int, rng: np.random.Generator) -> np.ndarray:
    """Return the owners with one unit handed to every client that had none."""
    owner = owner.copy()
    for client in range(clients):
        counts = np.bincount(owner, minlength=clients)
        if counts[client] == 0:
            owner[rng.choice(np.flatnonzero(owner == counts.argmax()))] = client
    return owner
