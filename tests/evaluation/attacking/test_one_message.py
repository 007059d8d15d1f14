"""One message: a whole cell, and the attacks on what was sent, with their controls."""

import tomllib
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from attacks.membership.known_message import lacking_noise, record_ratios
from evaluation.adversary.one_message import MessageMaker
from evaluation.attacking.one_message import as_told
from evaluation.grid.parse import grid_from
from evaluation.grid.preflight import preflight
from evaluation.grid.spec import Grid
from evaluation.run.cell import run_cell
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.one_message.codes import codes_of
from fedbert.one_message.facts import message_facts, sentences_of
from fedbert.one_message.layout import Layout
from fedbert.prepare import prepare
from fedbert.tasks import TASKS
from privacy.defence import Defence
from privacy.mechanism import VIEWS, ClipOnly
from reports.leak import Leak
from reports.records import CellResult

GRID = """
tasks = ["sst2"]
strategies = ["one_message"]
[model]
source = "tiny"
tokenizer = "generated"
cut_layer = 1
[data]
source = "generated"
pool_size = 300
evaluation = 40
max_length = 16
clients = 3
hold_out = 0.25
[message]
public = "generated"
public_size = 100
directions = 8
[attacks]
membership = ["loss_threshold", "message_matching"]
pooled = [{ attack = "bag_of_words", splices = 0 }]
[[defences]]
name = "none"
[[defences]]
name = "gaussian"
smashed = { mechanism = "gaussian" }
level = { "smashed.target_epsilon" = [8.0, 0.5] }
"""


@pytest.fixture(scope="module")
def records() -> list[CellResult]:
    found = [run_cell(cell).record for cell in grid_of(GRID).cells]
    assert [r.status for r in found] == ["done"] * 3, [r.traceback for r in found]
    return found


def grid_of(text: str) -> Grid:
    return grid_from(tomllib.loads(text), "FILE", "g")


def leak(record: CellResult, attack: str, metric: str) -> Leak:
    (found,) = [
        each
        for each in record.leakage
        if isinstance(each, Leak) and (each.attack, each.metric) == (attack, metric)
    ]
    return found


def test_all_five_views_have_the_claim_and_the_undefended_row_none(records) -> None:
    kinds = [{each["view"]: each["kind"] for each in record.guarantees} for record in records]
    assert kinds[0] == dict.fromkeys(VIEWS, "no guarantee")
    assert kinds[1] == kinds[2] == dict.fromkeys(VIEWS, "guarantee")
    for record, epsilon in zip(records[1:], (8.0, 0.5), strict=True):
        assert {round(each["epsilon"], 6) for each in record.guarantees} == {epsilon}
        assert {each["unit"] for each in record.guarantees} == {"record"}


def test_without_noise_a_record_is_found_behind_its_message_and_under_much_it_is_not(
    records,
) -> None:
    plain, some, much = (leak(r, "message matching", "auc").estimate for r in records)
    assert plain.value > 0.99
    assert 0.55 < some.value < 0.95
    assert much.low < 0.62  # epsilon .5 allows an AUC of .61 at most
    assert leak(records[0], "message matching", "auc").view == "forward"


def test_the_text_behind_a_message_is_looked_for_in_the_forward_view(records) -> None:
    name = "bag_of_words (splices=0) (message)"
    plain, _, much = (leak(record, name, "token_f1") for record in records)
    assert plain.view == "forward"
    assert plain.chance is not None and plain.estimate.low > plain.chance
    assert much.estimate.value < plain.estimate.value
    assert much.estimate.low < much.chance + 0.03


def test_the_attackers_own_texts_are_clipped_as_those_behind_messages_are() -> None:
    """A score in the middle has a short code, and the clip leaves its row whole: not all alike."""
    nothing: Any = None
    clip = Defence("clip", smashed=ClipOnly(0.5, unit="sequence"))
    maker = MessageMaker(Layout(2, 1, "within"), codes_of(TASKS["stsb"]), nothing, nothing, clip)
    told = as_told(maker, np.tile([1.0, 0.0], (4, 1)), np.array([5.0, 2.5]))
    np.testing.assert_allclose(np.linalg.norm(told, axis=1), [0.5, 1.0, 0.5, 1.0], rtol=1e-6)


def test_of_one_row_there_is_one_pooling(records) -> None:
    for record in records:
        names = {each.attack for each in record.leakage if each.view == "release"}
        assert "bag_of_words (splices=0) (mean)" in names
        assert not any("(cls)" in name for name in names)


def test_the_label_of_a_known_text_is_read_as_far_as_the_noise_lets_it(records) -> None:
    """Epsilon .5 lets it be right e^.5 / (1 + e^.5) = .62 of the time at most, on even labels."""
    plain, some, much = (
        leak(r, "label of a known text (message)", "label_accuracy").estimate for r in records
    )
    assert plain.value == 1.0
    assert plain.value > some.value > 0.6
    assert much.low < 0.63


def test_labels_beside_cost_their_own_and_are_claimed_too() -> None:
    text = GRID.replace("[message]", '[message]\nlabels = "beside"').replace(
        'level = { "smashed.target_epsilon" = [8.0, 0.5] }',
        'labels = { mechanism = "randomised_response", target_epsilon = 1.0 }',
    )
    text = text.replace(
        '{ mechanism = "gaussian" }', '{ mechanism = "gaussian", target_epsilon = 8.0 }'
    )
    plain, both = (run_cell(cell).record for cell in grid_of(text).cells)
    assert both.status == "done", both.traceback
    claims = {(each["view"], each["unit"]): each["epsilon"] for each in both.guarantees}
    assert {round(claims[view, "record"], 6) for view in VIEWS} == {8.0}
    assert {round(claims[view, "label"], 6) for view in VIEWS} == {1.0}
    assert leak(plain, "message matching", "auc").estimate.value > 0.99


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('public = "generated"\n', "", "expected public = a source of public text"),
        ("cut_layer = 1", "freeze_embeddings = false", "frozen embeddings"),
        ('strategies = ["one_message"]', 'strategies = ["parallel"]', "expected one_message among"),
        ('tasks = ["sst2"]', 'tasks = ["mlm"]', "a task with labels"),
        ("directions = 8", "direction = 8", "directions"),
        ("[message]", "[training]\nclients_per_round = 1\n[message]", "expected all clients with"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        grid_of(GRID.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("directions = 8", "directions = 400", "expected directions <= 128, got directions=400"),
        ("directions = 8", "directions = 30", "at least 120 public texts for 30 directions"),
        ('"gaussian" }', '"gaussian", clip_norm = 3.0 }', "expected clip_norm <= 1"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(old: str, new: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        preflight(grid_of(GRID.replace(old, new)))


def test_a_row_that_will_have_no_claim_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    text = GRID.replace("clients = 3", 'clients = 3\npartition = "dirichlet"')
    preflight(grid_of(text))
    assert "defence 'gaussian': no guarantee: the records were dealt to clients by" in caplog.text
    caplog.clear()
    preflight(grid_of(GRID))
    assert "no guarantee" not in caplog.text


def test_dp_sgd_has_no_steps_here_and_its_row_says_so() -> None:
    text = GRID[: GRID.index('name = "gaussian"')] + 'name = "steps"\n'
    text += 'training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 1.0 }\n'
    record = run_cell(grid_of(text).cells[1]).record
    assert record.status == "skipped" and "acts at training" in str(record.reason)


def test_records_of_several_sentences_do_not_pass_for_public_text(tmp_path: Path) -> None:
    """The public text is cut into sentences, and so are the records that it is held against."""
    rng = np.random.default_rng(0)
    text = "red blue green dog cat bird sun moon star hill lake tree north south east west"
    words = text.split()

    def sentence() -> str:
        return " ".join(rng.choice(words, 5)) + "."

    own = [f"{sentence()} {sentence()}" for _ in range(60)]
    table = pd.DataFrame({"text": own, "label": [i % 2 for i in range(60)]})
    table.to_csv(tmp_path / "own.csv", index=False)
    (tmp_path / "same.txt").write_text("\n\n".join(own))
    (tmp_path / "other.txt").write_text("\n\n".join(f"{sentence()} {sentence()}" for _ in own))
    text = GRID.replace('tasks = ["sst2"]', 'tasks = ["own"]').replace("hold_out = 0.25\n", "")
    text = text.replace(
        'source = "generated"',
        f'source = "{tmp_path}/own.csv"\ntext = "text"\nlabels = [0, 1]',
    )
    text = text.replace("public_size = 100", "public_size = 60").replace("pool_size = 300\n", "")
    text = text.replace('tokenizer = "generated"\n', "")  # the embedded one, which knows full stops
    for public, mixed in (("same.txt", True), ("other.txt", False), ("own.csv", True)):
        named = text.replace('public = "generated"', f'public = "{tmp_path}/{public}"')
        config = grid_of(named).cells[0].config
        assert message_facts(config, prepare(config)).mixed is mixed, public


def test_repeatable_noise_is_another_under_other_public_text(tmp_path: Path) -> None:
    """Else the difference of two releases would hold no noise."""
    path, keys = tmp_path / "public.txt", []
    for first in ("a", "b"):
        lines = [f"{first} nice film number {i} was shown to everybody today." for i in range(40)]
        path.write_text("\n\n".join(lines))
        sentences_of.cache_clear()  # read once by a process; each prepares a tokenizer of its own
        text = GRID.replace('public = "generated"', f'public = "{path}"')
        config = grid_of(text.replace("public_size = 100", "public_size = 40")).cells[0].config
        noise = noise_of(config, prepare(config), Defence("none"))
        keys.append(noise.draws("probe", 0).gaussian((4,)).tolist())
    assert keys[0] != keys[1]


# The test itself -----------------------------------------------------------------------------


def test_a_known_sender_is_told_as_well_as_gaussians_allow() -> None:
    """Two records at distance d under noise s: AUC Phi(d / (s sqrt 2)).

    With 4,000 a side its standard error is below .008: five of them.
    """
    rng, n = np.random.default_rng(0), 4000
    one, other = np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]])
    messages = np.concatenate([np.repeat(one, n, 0), np.repeat(other, n, 0)])
    messages = messages + rng.standard_normal(messages.shape)
    scores = record_ratios(messages, np.repeat(one, 2 * n, 0), other, "gaussian", 1.0)
    found = roc_auc_score(np.arange(2 * n) < n, scores)
    assert found == pytest.approx(norm.cdf(1 / sqrt(2)), abs=0.04)


def test_labels_that_rule_a_record_out_or_in_give_finite_scores() -> None:
    answers = np.array([-np.inf, 0.0]), np.array([[0.0], [-np.inf]])
    scores = record_ratios(
        np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((1, 1)), "none", 0.0, answers
    )
    assert np.isfinite(scores).all() and scores[0] < scores[1]


def test_noise_of_unknown_shape_is_not_read() -> None:
    assert lacking_noise("gaussian") is None
    assert lacking_noise("unknown") is not None
