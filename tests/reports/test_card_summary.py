"""A card in short: the sentences say what the card holds, and never more."""

import json
import math
from dataclasses import replace

import pytest

from evaluation.auditing.verdict import Claim, Finding
from reports.card.content import VERDICTS, Card, Check
from reports.card.files import as_html, as_json
from reports.card.summary import ALONE, AT_RISK, OPEN, PLAIN, UNTESTED, UPDATES, answers, in_short
from reports.estimate import Estimate
from reports.leak import Leak, LeakageEntry, NotMeasured

READ = Leak(
    "forward", "nearest token", "inversion", "token_accuracy",
    Estimate(0.9, 0.88, 0.92, n=700), "token", 0.04,
)  # fmt: skip
FOUND = Leak(
    "release", "LiRA", "membership", "tpr_at_1pct_fpr", Estimate(0.2, 0.1, 0.3, n=300), "record",
    0.01,
)  # fmt: skip
AREA = Leak("release", "loss", "membership", "auc", Estimate(0.6, 0.5, 0.7, n=300), "record", 0.5)
NOTHING = NotMeasured("forward", "all", "inversion", "no activations are sent")


def card(*checks: str, measured: tuple[LeakageEntry, ...] = ()) -> Card:
    made = tuple(Check(f"check {i}", verdict, f"why {i}") for i, verdict in enumerate(checks))
    return Card({"name": "m"}, (), made, measured)


def test_every_verdict_has_plain_words() -> None:
    for verdict in VERDICTS:
        first = in_short(card(verdict))[0]
        assert first == PLAIN[verdict if verdict != "within the limit" else "consistent"]
    assert in_short(card())[0] == UNTESTED


@pytest.mark.parametrize("bad", ["violates the claim", "above the limit"])
def test_what_failed_is_said_before_what_was_weak(bad: str) -> None:
    told = in_short(card("too weak to say", bad, "consistent", bad))
    assert told[0].startswith("Do not ship")
    assert told[3] == (
        f'How sure: a fault was found in "check 1" ({bad}: why 1); "check 3" ({bad}). Not to be '
        'told: "check 0" (too weak to say: why 0). Put to the test, and not contradicted: check 2.'
    )


def test_who_reads_and_who_finds_are_named_with_chance_beside() -> None:
    told = in_short(card("consistent", measured=(AREA, FOUND, READ)))
    assert told[1] == (
        "The text: the server that runs the body reads 90 % of the tokens (88 to 92 %; pure "
        "guessing: 4 %), by nearest token."
    )
    assert "anyone who has the model recognises 20 % of the texts trained on" in told[2]
    assert "(10 to 30 %; pure guessing: 1 %), by LiRA" in told[2]
    assert told[3] == "How sure: put to the test, and not contradicted: check 0."
    pairs = (
        "tells a text trained on from another in 60 % of pairs (50 to 70 %; pure guessing: 50 %), "
        "by loss."
    )
    assert told[2].endswith(f"overall, {pairs}")
    assert pairs in in_short(card(measured=(AREA,)))[2]


def test_what_was_not_measured_is_said_with_its_reason() -> None:
    told = in_short(card(measured=(NOTHING,)))
    assert told[1] == f"{UPDATES} {OPEN}"
    alone = replace(card(measured=(NOTHING,)), subject={"strategy": "centralised"})
    assert in_short(alone)[1] == f"{ALONE} {OPEN}"
    assert told[2] == "Whether members can be told was not measured."


def test_a_check_that_tests_nothing_clears_nothing() -> None:
    whole = Check("files", "consistent", "as written", tests=False)
    made = Card({"name": "m"}, (), (whole,), ())
    assert in_short(made)[0] == UNTESTED and "nothing was tested" in made.verdict
    assert made.code == 0 and "nothing was there" in in_short(made)[3]


def test_what_shadows_would_show_is_said() -> None:
    lacking = NotMeasured("release", "LiRA", "membership", "needs models: --shadows 16")
    assert (
        "Stronger attacks did not run" in in_short(card("consistent", measured=(AREA, lacking)))[2]
    )


def test_a_bound_stands_in_the_json_as_numbers() -> None:
    claim = Claim(2.0, 1e-5)
    found = Finding("noise", claim, 1.5, math.inf, 400, 0.05, "a test").check("noise alone")
    (told,) = json.loads(as_json(Card({"name": "m"}, (), (found,), ())))["checks"]
    assert told["numbers"] == {
        "epsilon_at_least": 1.5, "epsilon_claimed": 2.0, "delta": 1e-5, "confidence": 0.95,
        "samples": 400,
    }  # fmt: skip
    assert (
        told["verdict"] == "consistent"
        and "numbers" not in json.loads(as_json(card("consistent")))["checks"][0]
    )


def test_the_first_screen_answers_what_is_asked() -> None:
    asked = dict(answers(card("consistent", measured=(FOUND, READ))))
    assert list(asked) == ["Who can read my text?", "Which records are at risk?",
                           "What does it cost?", "How sure is that?"]  # fmt: skip
    assert asked["Who can read my text?"].startswith("The server that runs the body reads 90 %")
    assert "--records FILE" in asked["Which records are at risk?"]
    assert "measures no utility" in asked["What does it cost?"]
    assert "Put to the test, and not contradicted: check 0." in asked["How sure is that?"]
    listed = replace(card("consistent"), subject={"name": "m", AT_RISK: "12 listed"})
    assert "At risk: 12 listed." in dict(answers(listed))["Which records are at risk?"]
    page = as_html(card("violates the claim", measured=(READ,)))
    assert page.index("Do not ship") < page.index("Who can read") < page.index("<table>")
    marked = replace(card("consistent"), subject={"name": "m", "doubts": "9 words are [UNK] to it"})
    assert "9 words are unknown to it" in as_html(marked) and "[UNK]" not in as_html(marked)


def test_page_and_json_begin_with_it() -> None:
    made = card("consistent", measured=(FOUND,))
    page, told = as_html(made), json.loads(as_json(made))
    assert told["in_short"] == list(in_short(made)) and list(told)[:2] == ["schema", "command"]
    assert page.index(PLAIN["consistent"]) < page.index("<table>")
    assert "chance 0.01" in page


def test_what_the_claim_allows_stands_beside_what_it_bounds_and_nothing_else() -> None:
    """Of pairs it says nothing, and a claim that does not hold allows everything."""
    words = "By the promise no attack recognises over 28 % so."
    held = replace(card("consistent", measured=(FOUND, AREA)), allowed_tpr=0.2728)
    assert words in " ".join(in_short(held)[2].split())
    for other in (
        replace(held, measured=(AREA,)),
        replace(held, checks=card("violates the claim").checks),
        replace(held, allowed_tpr=None),
    ):
        assert "By the promise" not in in_short(other)[2]
    assert json.loads(as_json(held))["allowed_tpr_at_1pct_fpr"] == 0.2728


@pytest.mark.parametrize(
    ("canaries", "bound", "told"),
    [(40, 1.234, "40 canaries were watched: no fault was found, an epsilon of 1.2 or more."),
     (40, 0.0, "40 canaries were watched: no fault was found, too few for a bound."),
     (0, None, "its noise was watched, and no fault found.")],
)  # fmt: skip
def test_a_live_audit_stands_in_how_sure(canaries: int, bound: float | None, told: str) -> None:
    live = {"shown": {"canaries": canaries}, "fault": "", "points": [{"round": 1, "bound": bound}]}
    assert in_short(replace(card("consistent"), live=live))[3].endswith(told)
    faulty = replace(card("consistent"), live=live | {"fault": "canaries show epsilon >= 9"})
    assert "watched" not in in_short(faulty)[3]
