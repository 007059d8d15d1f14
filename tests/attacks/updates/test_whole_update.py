"""Order and words from whole updates: real clients' rounds with a known answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from attacks.updates.gradient_matching import GradientMatching
from attacks.updates.row_match import EPSILON, PER_LOSS, RowMatch
from attacks.updates.row_order import RowOrder, options_of
from attacks.updates.span_check import Span, SpanCheck, span_of, token_options
from attacks.updates.whole_update import NotApplicable, UpdateKnowledge, model_at, steps_of
from evaluation.metrics.tokens import matched
from fedbert.errors import InputError
from fedbert.messages import ClientUpdate
from tests.attacks.update_worlds import Round, drowned, one_round


def recovered(attack: Any, world: Round) -> float:
    """Return the share of tokens in place, up to the order of the sequences."""
    answers = attack.reconstruct(world.messages, world.knowledge, torch.Generator().manual_seed(0))
    hits = total = 0
    for true, found in zip(world.true, answers, strict=True):
        assert not isinstance(found, NotApplicable), found.reason
        hits += int(((matched(true, true > 0, found) == true) & (true > 0)).sum())
        total += int((true > 0).sum())
    return hits / total


def refusals(attack: Any, world: Round) -> set[str]:
    answers = attack.reconstruct(world.messages, world.knowledge, torch.Generator().manual_seed(0))
    return {a.reason if isinstance(a, NotApplicable) else "" for a in answers}


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_every_true_token_lies_in_the_span_and_no_other(architecture: str) -> None:
    """Over all words, places and types: E is frozen, so nothing narrows the candidates.

    At most 12 tokens and 64 hidden values.
    """
    world = one_round(architecture=architecture, freeze=True, clients=6)
    model = world.knowledge.model
    assert model is not None
    for step, true in zip(steps_of(world.messages, world.knowledge), world.true, strict=True):
        split = model_at(step, model)
        span = span_of(step, split, 0, ("query", "key", "value"))
        assert isinstance(span, Span) and span.basis.shape[1] == true.shape[1]
        found = token_options(step, split, span, world.knowledge)
        assert not isinstance(found, NotApplicable)
        options, kinds = found
        places, words = np.nonzero(options.apart < 1)
        assert {*zip(places, options.words[words], strict=True)} == {*enumerate(true[0])}
        assert (kinds[places, words] == 0).all()
    assert recovered(SpanCheck(), world) == 1.0


def test_the_span_says_nothing_once_tokens_outnumber_hidden_values_or_noise_is_added() -> None:
    crowded = one_round(batch=4, clients=4, hidden=16)
    assert refusals(SpanCheck(), crowded) == {
        "as many tokens as hidden values: every row lies in the span"
    }
    noisy = drowned(one_round(clients=4), std=1e-4)
    assert refusals(SpanCheck(), noisy) == refusals(SpanCheck(), crowded)


def test_a_step_that_rounding_hides_is_refused_and_not_guessed() -> None:
    """In float32 at this learning rate the weakest directions are below the values' last place."""
    world = one_round(clients=4, precision="float32", learning_rate=1e-6)
    assert all("rounding hides" in reason for reason in refusals(SpanCheck(), world))
    large = one_round(clients=4, precision="float32", learning_rate=1.0)
    assert recovered(SpanCheck(), large) == 1.0


def test_the_second_layer_settles_which_words_belong_together() -> None:
    world = one_round(batch=2, clients=6, layers=3)
    assert recovered(SpanCheck(), world) > 0.95 > recovered(RowOrder(), world)


def test_under_a_mean_every_token_asks_in_the_last_layer_too() -> None:
    """With two layers and few hidden values, by the first token alone a tenth is not in place."""
    world = one_round(batch=2, clients=6, hidden=32, mean=True)
    assert recovered(SpanCheck(), world) > 0.95 > recovered(RowOrder(), world)


@pytest.mark.parametrize("strategy", ["fedavg", "parallel"])
def test_rows_of_both_tables_give_the_order_of_a_sequence_whatever_the_model_drops(
    strategy: str,
) -> None:
    world = one_round(dropout=0.2, strategy=strategy)
    assert recovered(RowOrder(), world) == 1.0
    assert "dropout" in SpanCheck().missing(replace(world.knowledge, whole=True)).words
    if strategy == "parallel":
        assert "whole" in SpanCheck().missing(world.knowledge).words
        assert "whole" in GradientMatching().missing(world.knowledge).words


def test_several_steps_of_sgd_add_up() -> None:
    """Two steps of a sequence each are told apart as two sequences of one step are."""
    world = one_round(local_steps=2, clients=6)
    found = RowOrder().reconstruct(world.messages, world.knowledge, torch.Generator())
    for true, guess in zip(world.true, found, strict=True):
        assert not isinstance(guess, NotApplicable)
        assert set(guess.ravel().tolist()) - {0} <= set(true.ravel().tolist())
    assert recovered(RowOrder(), world) > 0.6


def test_adamws_first_step_is_simulated() -> None:
    world = one_round(batch=2, clients=2, optimizer="adamw", learning_rate=1e-3)
    assert recovered(GradientMatching(restarts=3), world) > 0.9
    alone = one_round(clients=6, optimizer="adamw", learning_rate=1e-3)
    assert recovered(RowOrder(), alone) > 0.95
    kept = replace(world.knowledge, fresh=False)
    assert "moments" in GradientMatching().missing(kept).words


def test_tags_loss_and_the_match_alone_find_the_order() -> None:
    world = one_round(batch=2, clients=2)
    assert recovered(GradientMatching("tag"), world) > 0.95
    alone = one_round(clients=2)
    assert recovered(GradientMatching(positions=False), alone) > 0.95


def test_two_segments_have_types_of_their_own() -> None:
    """A word of the other type is another row: the span tells them apart."""
    world = one_round(clients=1)
    [step], [true] = steps_of(world.messages, world.knowledge), world.true
    assert world.knowledge.model is not None
    split = model_at(step, world.knowledge.model)
    span = span_of(step, split, 0, ("query", "key", "value"))
    assert isinstance(span, Span)
    e: Any = split.bottom.embeddings
    rows = e.word_embeddings(torch.tensor(true[0])) + e.position_embeddings.weight[: len(true[0])]
    for kind, inside in ((0, True), (1, False)):
        apart = span.distance(e.LayerNorm(rows + e.token_type_embeddings.weight[kind]).detach())
        assert bool((apart < span.close).all()) is inside


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"optimizer": "adamw"}, "AdamW"),
        ({"learning_rate": (0.1, 0.1)}, "local steps"),
        ({"noise_std": 0.1}, "noise"),
        ({"learning_rate": ()}, "`learning_rate`"),
        ({"dropout": 0.1}, "dropout"),
    ],
)
def test_the_span_check_does_not_apply(changes: dict[str, Any], word: str) -> None:
    known = one_round(clients=1).knowledge
    assert SpanCheck().missing(known) is None
    assert word in SpanCheck().missing(replace(known, **changes)).words
    if "noise_std" in changes:
        assert "noise" in RowOrder().missing(replace(known, **changes)).words
        assert "noise" in GradientMatching().missing(replace(known, **changes)).words


def test_bad_settings_and_messages_are_refused_in_one_line() -> None:
    for settings in (
        {"optimizer": "lion"},
        {"batch_size": 0},
        {"noise_std": -1.0},
        {"dropout": 1.0},
        {"learning_rate": (0.0,)},
    ):
        with pytest.raises(InputError, match=next(iter(settings))):
            UpdateKnowledge(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="loss"):
        GradientMatching("l7")
    world = one_round(clients=1)
    lone = [m for m in world.messages if isinstance(m, ClientUpdate)]
    with pytest.raises(InputError, match="ClientParts"):
        RowOrder().reconstruct(lone, world.knowledge, torch.Generator())


def alone(match: RowMatch, sequences: list[np.ndarray], labels: tuple[int, ...]) -> float:
    """Return the loss of sequences from its definition, one guess at a time."""
    own = [match._kept[s.tobytes()][y] for s, y in zip(sequences, labels, strict=True)]
    index = torch.tensor([match.column[int(word)] for s in sequences for word in s])
    sums = torch.zeros_like(match.target).index_add(0, index, torch.cat(own))
    places = torch.cat([torch.arange(len(s)) for s in sequences]) + len(match.column)
    sums = sums.index_add(0, places, torch.cat(own))
    if match.knowledge.optimizer == "adamw":
        sums = sums / len(sequences)
        sums = sums / (sums.abs() + EPSILON)
    if match.loss == "cosine":
        return float((1 - torch.cosine_similarity(sums, match.target, dim=1)).mean())
    scale = (sums * match.target).sum() / sums.square().sum().clamp(min=1e-30)
    gap = sums * scale.clamp(min=0) - match.target
    far = torch.linalg.vector_norm(gap, dim=1) / torch.linalg.vector_norm(match.target, dim=1)
    return float((far + match.alpha * gap.abs().sum(1) / match.target.abs().sum(1)).mean())


@pytest.mark.parametrize("loss", ["cosine", "tag"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_rivals_in_one_pass_lose_what_each_loses_alone(loss: str, optimizer: str) -> None:
    """To the last digit, so that a search takes the same way; and the first of the best wins."""
    world = one_round(batch=3, clients=1, optimizer=optimizer, precision="float32")
    (step,) = steps_of(world.messages, world.knowledge)
    options = options_of(step, world.knowledge)
    assert not isinstance(options, NotApplicable)
    model = model_at(step, world.knowledge.model, torch.float32)  # type: ignore[arg-type]
    match = RowMatch(step, options.words, model, world.knowledge, loss, 0.01)
    rng = np.random.default_rng(0)
    rivals = [
        [rng.choice(options.words, size) for size in rng.integers(3, len(options.apart) + 1, 3)]
        for _ in range(40)
    ]
    now = match.settled(rivals[0])
    assert now.loss == alone(match, now.sequences, now.labels)
    before = match.work
    best = match.best(now, [*rivals, *rivals])
    each = [alone(match, rival, now.labels) for rival in rivals]
    assert best.loss == min([now.loss, *each])
    if best.loss < now.loss:
        assert best.sequences is rivals[int(np.argmin(each))]
    assert match.work - before >= 2 * len(rivals) * PER_LOSS * match.target.numel()
