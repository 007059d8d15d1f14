"""Parts of a one-message training, each against an oracle: codes, layout, projection, learner."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fedbert.errors import InputError
from fedbert.one_message.codes import Codes, codes_of, simplex
from fedbert.one_message.layout import PLACES, Layout, moments_beside
from fedbert.one_message.learner import Moments, linear_head
from fedbert.one_message.projection import fit_projection
from fedbert.one_message.public_text import public_sentences, sentences
from fedbert.one_message.training import kept_of
from fedbert.pooling import pooled
from fedbert.tasks import TASKS, own_task
from privacy.defence import Defence
from privacy.randomised_response import RandomisedResponse
from privacy.randomness.source import NoiseSource


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_codes_of_classes_are_a_regular_simplex(classes):
    corners = simplex(classes)
    expected = np.full((classes, classes), -1 / (classes - 1))
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(corners @ corners.T, expected, atol=1e-12)
    np.testing.assert_allclose(corners.sum(0), 0.0, atol=1e-12)


def test_codes_of_scores_lie_between_minus_one_and_one():
    codes = codes_of(TASKS["stsb"])
    found = codes.of(np.array([0.0, 2.5, 5.0, 9.0, -1.0], dtype=np.float32))
    np.testing.assert_allclose(found[:, 0], [-1.0, 0.0, 1.0, 1.0, -1.0])


def test_what_has_no_code_is_refused():
    for task in (TASKS["mlm"], own_task("text", None, "score", (), None)):
        with pytest.raises(InputError, match="strategy one_message"):
            codes_of(task)
    with pytest.raises(InputError, match="at least 2 classes"):
        simplex(1)


def _drawn(seed: int, count: int, directions: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, directions))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    return rows, rng.integers(classes, size=count)


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(1, 6), st.integers(2, 5), st.sampled_from(PLACES))
def test_a_message_lies_in_the_unit_ball_and_tells_its_row(seed, directions, classes, place):
    """So one record in place of another moves a message by at most 2, twice the clip of 1."""
    rows, labels = _drawn(seed, 20, directions, classes)
    codes = simplex(classes)[labels]
    layout = Layout(directions, classes - 1, place)
    messages = layout.messages(rows, codes)
    assert messages.shape == (20, layout.width)
    assert np.linalg.norm(messages, axis=1).max() <= 1 + 1e-12
    told, larger = layout.rows(messages, codes)
    np.testing.assert_allclose(told, rows, atol=1e-12)
    assert (larger >= 1 - 1e-12).all()
    shifted, _ = layout.rows(messages + 1e-3, codes)  # least squares: linear, of known noise
    assert np.abs(shifted - rows).max() <= 1e-3 * larger.max() * np.sqrt(layout.width) + 1e-9


def test_the_most_that_a_message_can_move_is_reached():
    layout = Layout(2, 1, "within")
    rows, codes = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[1.0], [-1.0]])
    one, other = layout.messages(np.vstack([rows, rows]), np.vstack([codes, codes[::-1]]))[[0, 3]]
    assert np.linalg.norm(one) == pytest.approx(1.0)
    assert np.linalg.norm(one - other) <= 2.0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("classes", [2, 3])
def test_without_noise_the_head_is_a_linear_discriminant(place, classes):
    """Scikit-learn's, least squares, with the same covariance and even priors."""
    rng = np.random.default_rng(classes)
    labels = np.arange(600) % classes
    rows = 0.2 * rng.standard_normal((600, 4)) + 0.2 * rng.standard_normal((classes, 4))[labels]
    oracle = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(classes, 1 / classes))
    oracle.fit(rows, labels)
    corners = simplex(classes)
    layout = Layout(4, classes - 1, place)
    messages = layout.messages(rows, corners[labels])
    if place == "within":
        moments = layout.moments(messages.mean(0))
    else:
        moments = moments_beside(messages, corners[labels], 1.0)
    head = linear_head(moments, oracle.covariance_, Codes(corners))
    logits = rows @ head.weight.T + head.bias
    np.testing.assert_array_equal(logits.argmax(1), oracle.predict(rows))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(chances, oracle.predict_proba(rows), atol=1e-9)


def test_without_noise_scores_get_the_line_of_least_squares():
    rng = np.random.default_rng(0)
    rows = 0.2 * rng.standard_normal((300, 3))
    scores = 2.5 + rows @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.standard_normal(300)
    codes = codes_of(TASKS["stsb"])
    layout = Layout(3, 1, "within")
    moments = layout.moments(layout.messages(rows, codes.of(scores)).mean(0))
    head = linear_head(moments, np.cov(rows, rowvar=False, bias=True), codes)
    design = np.column_stack([rows, np.ones(300)])
    line = np.linalg.lstsq(design, scores, rcond=None)[0]
    np.testing.assert_allclose(np.append(head.weight[0], head.bias), line, atol=1e-9)


def test_a_class_that_noise_makes_vanish_does_not_blow_up():
    moments = Moments(np.array([1.3]), np.zeros(2), np.zeros((1, 2)))
    head = linear_head(moments, np.eye(2), Codes(simplex(2)))
    assert np.isfinite(head.weight).all() and np.isfinite(head.bias).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_answered_at_random_leave_the_moments_where_they_are(classes):
    """In the mean over 200,000 records: within five standard errors, a false alarm in 1e5."""
    rows, labels = _drawn(0, 200_000, 2, classes)
    labels = np.where(
        rows[:, 0] > 0, 0, labels
    )  # so that codes and rows have to do with each other
    response = RandomisedResponse(1.0, classes)
    source = NoiseSource.repeatable(0, dict.fromkeys(("data", "defence", "model", "training"), 0))
    answered = response.randomise(labels, source.draws("labels", 0))
    corners, kept = simplex(classes), kept_of(Defence("x", labels=response))
    found = moments_beside(rows, corners[answered], kept)
    truth = moments_beside(rows, corners[labels], 1.0)
    spread = 5 / kept / np.sqrt(len(rows))
    assert np.abs(found.code - truth.code).max() < spread
    assert np.abs(found.product - truth.product).max() < spread
    wrong = moments_beside(rows, corners[answered], 1.0)  # the flips left as they are
    assert np.abs(wrong.product - truth.product).max() > spread


# Projection ----------------------------------------------------------------------------------


def test_a_projection_whitens_and_clips_as_asked():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2000, 6)) @ np.diag([5, 3, 1, 0.5, 0.1, 0.01]) + 7.0
    found = fit_projection(vectors.astype(np.float32), directions=3, quantile=0.4)
    rows = found.rows(torch.from_numpy(vectors)).numpy()
    norms = np.linalg.norm(rows, axis=1)
    assert (norms <= 1).mean() == pytest.approx(0.4, abs=0.002)
    covariance = np.cov(rows, rowvar=False)
    np.testing.assert_allclose(covariance, covariance[0, 0] * np.eye(3), atol=1e-3)
    inside = rows / np.maximum(norms, 1)[:, None]
    np.testing.assert_allclose(found.covariance, np.cov(inside, rowvar=False), atol=1e-4)
    flipped = fit_projection(vectors[::-1].astype(np.float32), 3, 0.4)
    np.testing.assert_allclose(flipped.matrix, found.matrix, rtol=1e-5)  # the sign is settled


@pytest.mark.parametrize(
    ("vectors", "directions", "why"),
    [
        (np.ones((100, 4)), 5, "directions <= 4"),
        (np.ones((10, 4)), 3, "at least 12 public texts"),
        (np.ones((100, 4)), 2, "differ in 2 directions"),
    ],
)
def test_public_text_that_says_too_little_is_refused(vectors, directions, why):
    with pytest.raises(InputError, match=why):
        fit_projection(vectors, directions, 0.5)


def test_padding_has_no_part_in_a_pool():
    hidden = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    expected = torch.stack([hidden[0, :2].mean(0), hidden[1].mean(0)])
    torch.testing.assert_close(pooled(hidden, mask, "mean"), expected)
    torch.testing.assert_close(pooled(hidden, mask, "cls"), hidden[:, 0])


def test_public_sentences_are_a_choice_of_whole_ones(tmp_path):
    (tmp_path / "text.txt").write_text(
        "= Head =\n\nOne two three four. No.\n\nFive six seven eight!\n"
    )
    assert sentences(["One two three four. No.", "= A b c d ="]) == ["One two three four."]
    source = str(tmp_path / "text.txt")
    found = public_sentences(source, 2, seed=0)
    assert sorted(found) == ["Five six seven eight!", "One two three four."]
    with pytest.raises(InputError, match="public_size=3 sentences"):
        public_sentences(source, 3, seed=0)
