"""Dealing examples to clients: nothing lost or doubled, nobody without, as skewed as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbert.data.partition import KINDS, SCORE_BINS, partition, partition_counts
from fedbert.errors import InputError

ALPHAS = (1e-9, 0.01, 0.1, 0.5, 1.0, 100.0)


def labels_for(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "scores":
        return np.round(rng.uniform(0, 5, n), 1).astype(np.float32)
    return rng.integers(0, 3, n)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    clients=st.integers(1, 16),
    extra=st.integers(0, 80),
    kind=st.sampled_from(KINDS),
    alpha=st.sampled_from(ALPHAS),
    shape=st.sampled_from(("classes", "scores", "documents")),
)
def test_every_example_lands_once_and_no_client_is_empty(
    seed: int, clients: int, extra: int, kind: str, alpha: float, shape: str
) -> None:
    rng = np.random.default_rng(seed)
    n = clients + extra
    labels, owners = labels_for(shape, n, rng), None
    if shape == "documents":
        owners = np.repeat(np.arange(n), rng.integers(1, 4, n))
        labels = np.zeros(len(owners), dtype=np.int64)
    parts = partition(labels, clients, kind, alpha, rng, owners)
    assert len(parts) == clients
    assert all(len(part) for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    if owners is not None:
        held = [set(owners[part]) for part in parts]
        assert sum(map(len, held)) == n  # no document on two clients


def test_iid_sizes_differ_by_one_at_most() -> None:
    parts = partition(np.zeros(103, dtype=np.int64), 4, "iid", 1.0, np.random.default_rng(0))
    assert sorted(map(len, parts)) == [25, 26, 26, 26]


def test_iid_is_shuffled() -> None:
    first = partition(np.zeros(100, dtype=np.int64), 2, "iid", 1.0, np.random.default_rng(0))[0]
    # Neither a stretch nor every second one: 25 of 50 expected, 5 standard deviations are 12.6.
    assert abs(len(set(first) & set(range(50))) - 25) < 13
    assert abs(len(set(first) & set(range(0, 100, 2))) - 25) < 13


def spread(labels: np.ndarray, kind: str, alpha: float, clients: int = 8) -> float:
    """Return the mean total-variation distance of the clients' labels from the whole's."""
    binned = labels if labels.dtype == np.int64 else (labels // 1).astype(np.int64)
    whole = np.bincount(binned) / len(binned)
    distances = []
    for seed in range(10):
        parts = partition(labels, clients, kind, alpha, np.random.default_rng(seed))
        for part in parts:
            own = np.bincount(binned[part], minlength=len(whole)) / len(part)
            distances.append(np.abs(own - whole).sum() / 2)
    return float(np.mean(distances))


@pytest.mark.parametrize("shape", ["classes", "scores"])
def test_dirichlet_skew_grows_as_alpha_falls(shape: str) -> None:
    labels = labels_for(shape, 2000, np.random.default_rng(1))
    skews = [spread(labels, "dirichlet", alpha) for alpha in (100.0, 1.0, 0.1)]
    assert skews[0] + 0.1 < skews[1] < skews[2] - 0.1
    assert spread(labels, "iid", 0.1) < 0.1


def test_quantity_skews_sizes_not_labels() -> None:
    labels = labels_for("classes", 4000, np.random.default_rng(2))
    sizes = {
        alpha: np.mean(
            [
                max(map(len, partition(labels, 8, "quantity", alpha, np.random.default_rng(s))))
                for s in range(10)
            ]
        )
        for alpha in (100.0, 1.0, 0.1)
    }
    assert sizes[100.0] < 700 < sizes[1.0] < 2000 < sizes[0.1]
    parts = partition(labels, 4, "quantity", 2.0, np.random.default_rng(0))
    large = [part for part in parts if len(part) > 400]
    assert large
    for part in large:  # each share within 1/3 +- 0.12: over 5 standard errors
        assert np.abs(np.bincount(labels[part]) / len(part) - 1 / 3).max() < 0.12


def test_dirichlet_with_documents_deals_by_size() -> None:
    owners = np.repeat(np.arange(200), 3)
    labels = np.zeros(600, dtype=np.int64)
    skewed = partition(labels, 4, "dirichlet", 0.1, np.random.default_rng(3), owners)
    even = partition(labels, 4, "iid", 0.1, np.random.default_rng(3), owners)
    assert max(map(len, skewed)) > 300
    assert {len(part) for part in even} == {150}


def test_alpha_of_a_tenth_and_sixteen_clients_is_served() -> None:
    labels = np.arange(64) % 2
    for seed in range(50):
        parts = partition(labels, 16, "dirichlet", 0.1, np.random.default_rng(seed))
        assert min(map(len, parts)) >= 1


def test_same_generator_same_parts() -> None:
    labels = labels_for("classes", 200, np.random.default_rng(0))
    one, two, other = (
        partition(labels, 5, "dirichlet", 0.5, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("n", "clients", "kind", "alpha", "message"),
    [
        (
            3,
            4,
            "iid",
            1.0,
            "expected at least as many examples as clients, got examples=3, clients=4: "
            "client 3 would be empty",
        ),
        (
            1,
            4,
            "dirichlet",
            1.0,
            "expected at least as many examples as clients, got examples=1, clients=4: "
            "clients 1 to 3 would be empty",
        ),
        (
            9,
            4,
            "random",
            1.0,
            "expected partition to be one of iid, dirichlet, quantity, got kind='random'",
        ),
        (9, 4, "iid", 0.0, "expected a finite alpha > 0, got alpha=0.0"),
        (9, 4, "iid", float("nan"), "expected a finite alpha > 0, got alpha=nan"),
        (9, 0, "iid", 1.0, "expected clients >= 1, got clients=0"),
    ],
)
def test_impossible_deals_are_refused(
    n: int, clients: int, kind: str, alpha: float, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        partition(np.zeros(n, dtype=np.int64), clients, kind, alpha, np.random.default_rng(0))
    assert str(caught.value) == message


def test_too_few_documents_are_refused() -> None:
    owners = np.array([0, 0, 0, 1, 1])
    with pytest.raises(InputError, match=r"got documents=2, clients=3: client 2 would be empty"):
        partition(np.zeros(5, dtype=np.int64), 3, "iid", 1.0, np.random.default_rng(0), owners)


def test_counts_by_label() -> None:
    parts = (np.array([0, 1]), np.array([2, 3, 4]))
    counts = partition_counts(parts, np.array([0, 1, 1, 1, 0]), ("no", "yes"))
    assert counts == {"client 0": {"no": 1, "yes": 1}, "client 1": {"no": 1, "yes": 2}}


def test_counts_of_scores_and_of_blocks() -> None:
    scores = np.linspace(0, 5, 100).astype(np.float32)
    parts = partition(scores, 3, "iid", 1.0, np.random.default_rng(0))
    counts = partition_counts(parts, scores)
    assert len(counts["client 0"]) == SCORE_BINS
    assert sum(sum(row.values()) for row in counts.values()) == 100
    totals = [sum(counts[c][bin_] for c in counts) for bin_ in counts["client 0"]]
    assert totals == [20] * SCORE_BINS
    blocks = partition_counts(parts, np.zeros(100, dtype=np.int64))
    assert [row["blocks"] for row in blocks.values()] == [len(part) for part in parts]
