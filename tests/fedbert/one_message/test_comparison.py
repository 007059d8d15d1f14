"""Messages of pairs that are compared: either order, the unit ball, the same answers at release."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import collate, encode
from fedbert.data.examples import Examples
from fedbert.errors import InputError
from fedbert.manifest import upgraded
from fedbert.message_settings import COMPARED, SINGLE, MessageConfig
from fedbert.noise import noise_of
from fedbert.one_message import facts
from fedbert.one_message.codes import codes_of
from fedbert.one_message.comparison import compared
from fedbert.one_message.facts import layout_of, mixed, public_text, whole_sentences
from fedbert.one_message.layout import Layout
from fedbert.one_message.learner import LinearHead, linear_head
from fedbert.one_message.model import released
from fedbert.one_message.projection import fit_projection, leaning
from fedbert.one_message.public_text import TURNS, TWIN, lacking_words, public_pairs, sentences
from fedbert.one_message.run import public_part
from fedbert.prepare import Prepared, prepare, typed
from fedbert.settings import from_mapping
from fedbert.split import answering
from fedbert.tasks import TASKS
from fedbert.trainer import train
from fedbert.training_settings import TrainingConfig
from privacy.defence import Defence
from privacy.gaussian import Gaussian
from tests.fedbert import tiny

MESSAGE = MessageConfig(public="generated", public_size=80, directions=4)


def config_of(task: str = "stsb", architecture: Any = "bert", **message: Any) -> Config:
    """Return a training by one message on generated pairs."""
    return Config(
        ModelConfig("tiny", architecture, "generated", cut_layer=1, freeze_embeddings=True),
        DataConfig(task, "generated", pool_size=30, evaluation=4, max_length=40, clients=2),
        TrainingConfig("one_message"),
        noise="repeatable",
        message=replace(MESSAGE, **message),
    )


def vectors(count: int, hidden: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, hidden, generator=torch.Generator().manual_seed(seed))


# Comparison ----------------------------------------------------------------------------------


def test_a_comparison_is_that_of_unit_vectors_value_by_value() -> None:
    one, other = vectors(5, 6), vectors(5, 6, 1)
    found = compared(one, other).numpy()
    for row, *both in zip(found, one.double().numpy(), other.double().numpy(), strict=True):
        u, v = (each / np.sqrt((each * each).sum()) for each in both)
        pairs = list(zip(u, v, strict=True))
        naive = [6**0.5 * x * y for x, y in pairs] + [abs(x - y) for x, y in pairs]
        np.testing.assert_allclose(row, naive, atol=1e-6)
        assert row[:6].sum() / 6**0.5 == pytest.approx(u @ v, abs=1e-6)
    assert torch.equal(compared(one, other), compared(other, one))
    torch.testing.assert_close(compared(3 * one, other / 7), compared(one, other))


def test_rows_of_the_most_unlike_pairs_stay_in_the_unit_ball() -> None:
    """So the claim's sensitivity, 2 in clips of 1, is that of single texts."""
    public = compared(vectors(200, 6), vectors(200, 6, 1)).numpy()
    one = vectors(40, 6, 2)
    far = torch.zeros(1, 6).index_fill(1, torch.tensor([0]), 1e30)
    pairs = [(one, one), (one, -one), (one, one * 0), (one * 0, one * 0), (far, -far), (far, far)]
    for directions in (1, 4):
        projection = fit_projection(public, directions, 0.4)
        rows = np.concatenate([projection.inside(compared(a, b).numpy()) for a, b in pairs])
        norms = np.linalg.norm(rows, axis=1)
        assert np.isfinite(rows).all() and norms.max() <= 1 + 1e-12
        layout = layout_of(config_of(directions=directions))
        codes = codes_of(config_of().data.chosen_task)
        ends = [layout.messages(rows, codes.of(np.full(len(rows), y))) for y in (0.0, 5.0)]
        every = np.concatenate(ends)
        assert np.linalg.norm(every[:, None] - every[None], axis=2).max() <= 2 + 1e-12


# Records, and the released model ---------------------------------------------------------------


@pytest.fixture(scope="module", params=["bert", "roberta"])
def world(request: pytest.FixtureRequest) -> tuple[Config, Prepared]:
    config = config_of(architecture=request.param)
    return config, prepare(config)


def texts_of(prepared: Prepared) -> list[tuple[str, str]]:
    """Return pairs of generated texts, one without a second and one without a first."""
    words = prepared.tokenizer
    split = [
        words.decode(tokens).replace("[CLS]", "").split("[SEP]")[:2]
        for tokens in np.split(prepared.pool.tokens, prepared.pool.offsets[1:-1])
    ]
    rows = [(first.strip(), second.strip()) for first, second in split]
    return [*rows, (rows[0][0], ""), ("", rows[0][1])]


def encoded(prepared: Prepared, rows: list[tuple[str, ...]], longest: int = 40) -> Any:
    task = replace(prepared.task, columns=prepared.task.columns[: len(rows[0])])
    labels = np.zeros(len(rows), dtype=np.float32)
    found = encode(Examples(task, tuple(rows), labels, "here"), prepared.tokenizer, longest)
    return typed(found, prepared.split.whole.config)


def test_each_text_is_asked_by_itself(world: tuple[Config, Prepared]) -> None:
    config, prepared = world
    rows, asked = texts_of(prepared), public_part(config, prepared).vectors
    plain = replace(asked, frame=None, _known={})
    sides = zip(*rows, strict=True)
    halves = [plain.of(encoded(prepared, [(text,) for text in side])) for side in sides]
    expected = compared(*map(torch.from_numpy, halves)).numpy()
    np.testing.assert_allclose(asked.of(encoded(prepared, rows)), expected, atol=2e-5)


def test_either_order_gives_the_same_row(world: tuple[Config, Prepared]) -> None:
    config, prepared = world
    part, rows = public_part(config, prepared), texts_of(prepared)
    there, back = (
        part.projection.inside(part.vectors.of(encoded(prepared, each)))
        for each in (rows, [(b, a) for a, b in rows])
    )
    np.testing.assert_allclose(there, back, atol=2e-5)
    assert np.abs(there - there.mean(0)).max() > 0.1  # they are not all alike


def test_the_released_model_reads_a_pair_as_its_sender_did(world: tuple[Config, Prepared]) -> None:
    config, prepared = world
    part = public_part(config, prepared)
    pairs = encoded(prepared, texts_of(prepared), 14)  # some of them cut off
    head = LinearHead(np.eye(4)[:1], np.zeros(1))
    model = released(prepared.split, part.projection, "mean", part.vectors.frame, head)
    batch = collate(pairs, range(len(pairs)), prepared.vocabulary.pad)
    with answering(model):
        found = model.hidden(batch)[:, 0].numpy()
        logits = model.logits(batch)[:, 0].numpy()
    expected = part.projection.inside(part.vectors.of(pairs))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(logits, expected[:, 0], atol=2e-5)


# Public pairs ----------------------------------------------------------------------------------


def test_public_pairs_go_from_twins_to_strangers_by_a_rule_without_records(tmp_path: Any) -> None:
    found = [f"Sentence {i} has some words of number {i}." for i in range(40)]
    (tmp_path / "text.txt").write_text("\n\n".join(found))
    source = str(tmp_path / "text.txt")
    pairs = public_pairs(source, 40, 0)
    assert pairs == public_pairs(source, 40, 0) != public_pairs(source, 40, 1)
    place = {text: i for i, text in enumerate(sentences(found))}
    assert sorted(place[first] for first, _ in pairs) == list(range(40))
    kept = {0.5: [], 0.2: []}
    for number, ((first, second), lacks) in enumerate(zip(pairs, lacking_words(40), strict=True)):
        kind, share = TURNS[number % 4]
        assert lacks == (kind == TWIN)
        if kind == TWIN:
            left = iter(first.split())
            assert second and all(word in left for word in second.split())  # in their order
            kept[share].append(len(second.split()) / len(first.split()))
        else:
            steps = {"neighbour": 1, "stranger": 20}[kind]
            assert place[second] == (place[first] + steps) % 40
    assert np.mean(kept[0.5]) < np.mean(kept[0.2]) < 1
    with pytest.raises(InputError, match="public_size=41 sentences"):
        public_pairs(source, 41, 0)


def test_words_left_out_do_not_hide_that_public_text_is_the_records(tmp_path: Any) -> None:
    """Every sentence of the text stands among the records, as half of a pair."""
    config = config_of()
    prepared = prepare(config)
    own = [text for pair in texts_of(prepared) for text in pair if len(text.split()) > 4]
    (tmp_path / "own.txt").write_text("\n\n".join(dict.fromkeys(own)))
    named = config_of(public=str(tmp_path / "own.txt"), public_size=40)
    told = whole_sentences(named, public_text(named, prepared), prepared)
    held = facts.phrases(prepared.pool, prepared)
    every = set().union(*(facts.phrases(each, prepared) for each in told))
    assert len(every) > 30 and every <= held and mixed(told, prepared.pool, prepared)
    apart = whole_sentences(config, public_text(config, prepared), prepared)
    lacking = facts.phrases(public_text(config, prepared), prepared)
    assert len(set().union(*(facts.phrases(each, prepared) for each in apart))) < len(lacking)


def test_repeatable_noise_follows_pairs_and_public_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(config: Config) -> list[float]:
        noise = noise_of(config, prepare(config), Defence("none"))
        return noise.draws("probe", 0).gaussian((4,)).tolist()

    apart, together = key(config_of()), key(config_of(pairs="together"))
    assert apart == key(config_of(pairs="apart")) != together
    monkeypatch.setattr(facts, "CHOICE", 1)  # other pairs of the same source
    facts.pairs_of.cache_clear()
    assert key(config_of()) != apart
    facts.pairs_of.cache_clear()


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "pairs", "directions", "written"),
    [
        ("sst2", None, SINGLE, {}),
        ("stsb", None, COMPARED, {"pairs": "apart", "alike": "higher"}),
        ("stsb", "apart", COMPARED, {"pairs": "apart", "alike": "higher"}),
        ("mrpc", None, COMPARED, {"pairs": "apart"}),
        ("stsb", "together", SINGLE, {"pairs": "together"}),
    ],
)
def test_what_is_in_effect_is_written(
    task: str, pairs: str | None, directions: int, written: dict[str, str]
) -> None:
    config = config_of(task, pairs=pairs, directions=None)
    found = config.to_json()["message"]
    assert config.directions == directions == found["directions"]
    assert {k: v for k, v in found.items() if k in ("pairs", "alike")} == written
    assert list(found)[:6] == [
        "public", "public_size", "pooling", "directions", "clip_quantile", "labels",
    ]  # fmt: skip
    again = from_mapping(Config, config.to_json(), "here")
    assert again.to_json() == config.to_json() and again.compares == config.compares


@pytest.mark.parametrize(
    ("task", "more"), [("mrpc", {}), ("sst2", {}), ("stsb", {"pairs": "together"})]
)
def test_likeness_of_what_is_no_score_of_it_is_refused(task: str, more: Any) -> None:
    with pytest.raises(InputError, match=r"^message: expected alike with scores of pairs"):
        config_of(task, alike="higher", **more)


def test_what_is_known_of_scores_moves_no_message_and_no_noise() -> None:
    free, higher = config_of(alike="free"), config_of(alike="higher")
    assert higher.to_json() == config_of().to_json()
    assert config_of().rises and not free.rises
    turned = 0
    for seed in range(4):  # repeatable noise: of these seeds some turn the slope
        sent, leans = [], []
        for each in (free, higher):
            config, ear = replace(each, seed=seed), tiny.Recorder()
            defence = Defence("d", smashed=Gaussian(1.0, 20.0, "sequence"))
            trained = train(config, prepare(config), defence, listeners=[ear])
            sent.append([message.activations for message in ear.messages])
            told = replace(higher, seed=seed)
            known = public_part(told, prepare(told)).projection.likeness
            weight = trained.split.head.steps["classifier"].linear.weight.detach().numpy()
            leans.append(float(known @ weight[0]))
        assert len(sent[0]) == 2
        for one, other in zip(*sent, strict=True):
            np.testing.assert_array_equal(one, other)
        assert leans[1] == pytest.approx(abs(leans[0]), rel=1e-4)
        turned += leans[0] < 0
    assert 0 < turned < 4


def test_a_manifest_of_before_knew_nothing_of_likeness() -> None:
    written = config_of().to_json()
    del written["message"]["alike"]
    assert upgraded(written)["message"]["alike"] == "free"
    written["data"]["task"] = "mrpc"
    assert "alike" not in upgraded(written)["message"]


# The sign that is public ------------------------------------------------------------------------

PAIRS, DRAWS = 3000, 300


def slopes(epsilon: float, directions: int, known: bool) -> np.ndarray:
    """Return Pearson's correlations [draw] of heads that were learnt under this epsilon.

    Rows whose first value is how alike a pair is, and scores that rise with it and are noisy.
    """
    rng = np.random.default_rng(7)
    rows = 0.25 * rng.standard_normal((PAIRS, directions))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    scores = np.clip(2.5 + 5.0 * rows[:, 0] + 0.7 * rng.standard_normal(PAIRS), 0.0, 5.0)
    codes, layout = codes_of(TASKS["stsb"]), Layout(directions, 1, "within")
    mean = layout.messages(rows, codes.of(scores)).mean(0)
    std = Gaussian.calibrated(epsilon, 1e-5, clip_norm=1.0).noise_std / PAIRS**0.5
    covariance = np.cov(rows, rowvar=False).reshape(directions, directions)
    likeness = leaning(rows, rows[:, 0]) if known else None
    found = []
    for _ in range(DRAWS):
        moments = layout.moments(mean + std * rng.standard_normal(mean.shape))
        head = linear_head(moments, covariance, codes, likeness)
        found.append(np.corrcoef(rows @ head.weight[0], scores)[0, 1])
    return np.array(found)


@pytest.mark.parametrize("epsilon", [0.25, 0.5])
def test_with_one_direction_no_noise_takes_the_sign(epsilon: float) -> None:
    """One direction: what is left to learn is a sign, which is public; free, noise takes it."""
    free, known = slopes(epsilon, 1, False), slopes(epsilon, 1, True)
    clean = np.abs(free).max()
    np.testing.assert_allclose(known, clean, atol=1e-9)
    np.testing.assert_allclose(np.abs(free), clean, atol=1e-9)
    assert (free < 0).mean() > 0.1 and free.mean() < 0.8 * clean


def test_with_more_directions_the_sign_helps_where_noise_is_large_and_nowhere_else() -> None:
    """Standard errors are below .04: a difference of .16 is at least four of them, 1e-4."""
    free, known = slopes(0.5, 4, False), slopes(0.5, 4, True)
    assert (free < 0).mean() > 0.1 and (known < 0).mean() < 0.02
    assert known.mean() > free.mean() + 0.16
    np.testing.assert_array_equal(slopes(8.0, 4, False), slopes(8.0, 4, True))


def test_pairs_of_single_texts_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^message: expected pairs with a task of pairs alone, got pairs="
    ):
        config_of("sst2", pairs="together")


def test_a_manifest_without_a_word_of_pairs_read_them_together() -> None:
    for task, expected in (("stsb", {"pairs": "together"}), ("sst2", {})):
        written = config_of(task).to_json()
        written["message"].pop("pairs", None)
        found = upgraded(written)["message"]
        assert {k: v for k, v in found.items() if k == "pairs"} == expected
    own = {"data": {"task": "own", "pair": "b"}, "message": {}, "noise": "secret"}
    assert upgraded(own)["message"] == {"pairs": "together"}
