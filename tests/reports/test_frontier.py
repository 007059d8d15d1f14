import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import live, one_cell
from reports.as_shown import as_shown
from reports.drawing.screen import png as screen
from reports.estimate import Estimate
from reports.figures.frontier import describe_frontier, frontier, frontier_data
from reports.frontier.answer import answer
from reports.frontier.leakage import count, worst
from reports.frontier.wish import Wish, wish_of
from reports.frontier.words import answer_markdown, sentences, title, tried_table
from reports.leak import Leak, NotMeasured
from reports.page import Shown, decisions, page
from reports.plots.written import Asked, plot
from reports.records import CellResult, append_record
from reports.render import render

VIEWS = ("forward", "backward", "aggregator", "peer", "release")
WISH = Wish("public", "all", least_share=0.8)


def near(value, width=0.01):
    return Estimate(value, max(0.0, value - width), min(1.0, value + width), n=2000)


def ledger(covered, epsilon=2.0):
    claim = {"kind": "guarantee", "unit": "record", "relation": "replace-one", "epsilon": epsilon,
             "delta": 1e-5, "releases": 1, "scope": "data set"}  # fmt: skip
    none = {"kind": "no guarantee", "reason": "no noise"}
    return [{"view": view, "sentence": f"On {view}.", **(claim if view in covered else none)}
            for view in VIEWS]  # fmt: skip


def cell(name, level, utility, auc=0.6, tokens=0.01, seed=0, covered=VIEWS, **rest):
    labels = {"task": "sst2", "model": "tiny", "strategy": "parallel", "defence": name,
              "level": level, "seed": str(seed)}  # fmt: skip
    leakage = (
        Leak("release", "loss threshold", "membership", "auc", near(auc), "record", 0.5),
        Leak("forward", "nearest token", "inversion", "token_accuracy", near(tokens), "token", 0.0),
        Leak("release", "coin", "membership", "auc", near(0.99), "record", 0.5, baseline=True),
    )
    spec = {"defence": {"name": name}} if name == "none" else {"defence": {"name": name, "x": {}}}
    return CellResult(
        json.dumps([name, level, seed]).encode().hex(), "done", spec | {"level": level}, labels,
        utility={"accuracy": near(utility)}, majority_baseline={"accuracy": 0.5}, leakage=leakage,
        guarantees=ledger(covered if name != "none" else ()), **rest,
    )  # fmt: skip


def run(*cells, seeds=(0, 1, 2)):
    """The cells of an undefended row, then those of (name, level, utility, auc, ...)."""
    every = [("none", "-", 0.8, 0.95), *cells]
    return [cell(*each, seed=seed) for each in every for seed in seeds]


def test_a_view_without_promise_or_look_ships_nothing():
    """No guarantee and no attack there: that nothing was found says nothing."""
    blind = [
        cell(*each, covered=() if each[0] == "none" else ("backward", "peer", "release"), seed=seed)
        for each in [("none", "-", 0.8, 0.95), ("a", "eps 2", 0.78, 0.55)]
        for seed in (0, 1, 2)
    ]
    found = answer(blind, WISH)
    assert found.chosen is None and found.candidates[0].best is not None
    assert found.candidates[0].best.dark == ("aggregator",)  # forward is bare, and was attacked
    told = " ".join(sentences(found))
    assert "a: nothing is promised against aggregator, and no attack looked there" in told
    looked = replace(blind[3], leakage=(*blind[3].leakage, Leak(
        "aggregator", "update cosine", "membership", "auc", near(0.5), "record", 0.5)))  # fmt: skip
    assert answer([*blind[:3], looked, *blind[4:]], WISH).chosen is not None
    assert answer(blind, replace(WISH, adversary="release")).chosen is not None
    assert answer(blind, replace(WISH, data="private")).chosen is None


GOOD = run(("a", "eps 1", 0.6, 0.52), ("a", "eps 2", 0.78, 0.55), ("b", "eps 9", 0.79, 0.7))


def test_the_least_leaking_defence_that_keeps_the_utility_is_the_answer():
    found = answer(GOOD, WISH)
    assert found.least == pytest.approx(0.74)
    assert found.chosen is not None and found.chosen.best is not None
    assert (found.chosen.name, found.chosen.best.row.level) == ("a", "eps 2")
    assert [each.useful for each in found.tried] == [True, False, True, True]
    assert title(found) == (
        "Train anew with secret noise, audit that model, then ship: a, eps 2 (parallel): epsilon 2 "
        "(record, replace-one, data set, delta 1e-05) against all five views."
    )
    told = " ".join(sentences(found))
    for words in ("loss threshold (release) 0.100 [", "0.020 less", "12 trainings",
                  "b: leaks more (the most private", "simulation on public data",
                  "all 36 numbers"):  # fmt: skip
        assert words in told


def test_a_mean_that_keeps_the_utility_is_not_enough():
    found = answer(run(("a", "eps 1", 0.745)), WISH)  # lower end .735
    assert found.chosen is None and "no defence keeps the utility" in found.nothing
    assert "a: keeps too little utility" in " ".join(sentences(found))


def test_the_first_screen_bounds_by_the_count_that_the_wish_was_met_by():
    wish = Wish("public", "release", least_share=0.8, most_leakage=0.2)
    for auc in (0.57, 0.58, 0.585, 0.588):
        records = run(("a", "-", 0.79, auc))
        found = answer(records, wish)
        shown = decisions(records, found)[0]
        assert shown.numbers == found.numbers == count(records)
        if found.chosen is not None:
            assert shown.chosen.tried.worst.high <= 0.2
    assert found.chosen is None and answer(run(("a", "-", 0.79, 0.57)), wish).chosen is not None


def test_an_absolute_wish_needs_no_share():
    assert answer(GOOD, Wish("spent", "all", least_utility=0.55)).chosen.best.row.level == "eps 1"
    found = answer(GOOD, Wish("spent", "all", least_utility=0.795))
    assert found.chosen is None and found.least == 0.795


def test_the_adversary_sees_what_its_views_see_and_no_more():
    leaky = run(("a", "-", 0.79, 0.55, 0.9), ("b", "-", 0.79, 0.7, 0.05))
    assert answer(leaky, Wish("public", "release", least_share=0.8)).chosen.name == "a"
    for adversary in ("forward", "backward", "all"):
        assert answer(leaky, Wish("public", adversary, least_share=0.8)).chosen.name == "b"


def test_a_baseline_is_no_attack_and_intervals_hold_together():
    (record,) = run(("a", "-", 0.79, 0.6), seeds=(0,))[1:]
    one, many = worst([record], "all", 1), worst([record], "all", 50)
    assert one is not None and many is not None
    assert one.attack == "loss threshold" and one.value == pytest.approx(0.2)
    assert (one.low, one.high) == pytest.approx((0.18, 0.22))
    wide = 0.02 * 3.2905 / 1.95996  # normal quantiles at .0005 and .025
    assert (many.low, many.high) == pytest.approx((0.2 - wide, 0.2 + wide), abs=1e-4)


def test_over_seeds_the_interval_is_the_hull():
    records = [cell("a", "-", 0.79, auc, seed=i) for i, auc in enumerate((0.6, 0.7, 0.65))]
    found = worst(records, "all", 1)
    assert found is not None and found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.18, 0.42))
    assert dict(found.seeds) == pytest.approx({"0": 0.2, "1": 0.4, "2": 0.3})


def test_more_leakage_than_wished_for_is_no_answer():
    some = Wish("public", "all", least_share=0.8, most_leakage=0.2)
    assert answer(GOOD, some).chosen.name == "a"
    few = answer(GOOD, replace(some, most_leakage=0.05))
    assert few.chosen is None and "leaks more than is wished for" in few.nothing
    assert [each.lost for each in few.candidates] == [
        "leaks more than 0.05 above chance, at the upper end"] * 2  # fmt: skip


def test_of_what_cannot_be_told_apart_the_more_useful_is_the_answer():
    """Both at chance: the lower number is luck, and would cost .03 of accuracy."""
    alike = run(("a", "-", 0.755, 0.5), ("b", "-", 0.785, 0.51), ("c", "-", 0.79, 0.56))
    found = answer(alike, WISH)
    assert found.chosen is not None and found.chosen.name == "b"
    told = " ".join(sentences(found))
    assert "a: leaks no less, as far as can be told, and keeps less utility" in told
    assert "c: leaks more (" in told


def test_a_promise_outranks_utility_and_attacks_that_failed():
    peers = ("backward", "aggregator", "peer", "release")
    every = [("none", "-", 0.8, 0.95), ("a", "-", 0.755, 0.6), ("b", "-", 0.785, 0.5)]
    records = [cell(*each, covered=peers if each[0] == "b" else VIEWS, seed=seed)
               for each in every for seed in (0, 1, 2)]  # fmt: skip
    found = answer(records, WISH)
    assert found.chosen is not None and found.chosen.name == "a"
    assert found.candidates[1].lost.startswith("nothing is promised against forward: there the")


@pytest.mark.parametrize(("unit", "epsilon"), [("label", 1.0), ("record", 1e6)])
def test_a_claim_of_labels_or_one_that_allows_everything_is_no_promise(unit, epsilon):
    """It read 90 % where attacks on the other, with one view bare, found nothing."""
    empty = [{**entry, "unit": unit} for entry in ledger(VIEWS, epsilon)]
    good = ledger(("backward", "aggregator", "peer", "release"), 1.0)
    records = [
        replace(cell(name, "-", utility, auc, tokens, seed=seed), guarantees=own)
        for name, utility, auc, tokens, own in (
            ("none", 0.8, 0.95, 0.99, ledger(())), ("a", 0.79, 0.5, 0.9, empty),
            ("b", 0.79, 0.5, 0.0, good))
        for seed in (0, 1, 2)
    ]  # fmt: skip
    found = answer(records, replace(WISH, adversary="forward"))
    assert found.chosen is not None and found.chosen.name == "b"


def test_a_claim_on_other_views_than_the_adversarys_is_not_what_the_title_speaks_of():
    look = Leak("aggregator", "update cosine", "membership", "auc", near(0.5), "record", 0.5)
    records = [
        replace(record, leakage=(*record.leakage, look))
        for record in (
            cell(*each, covered=("peer", "release"), seed=seed)
            for each in (("none", "-", 0.8, 0.95), ("a", "target_epsilon=2.0", 0.79, 0.5))
            for seed in (0, 1, 2)
        )
    ]
    told = title(answer(records, replace(WISH, adversary="aggregator")))
    assert told == "Ship a, epsilon 2 (parallel): no guarantee against the aggregator view."


LEAK = st.floats(0.5, 0.99)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0.7, 0.8), LEAK), min_size=2, max_size=4), st.floats(0, 0.3),
       st.integers(0, 3))  # fmt: skip
def test_more_leakage_never_makes_a_defence_preferred(rows, more, which):
    which %= len(rows)

    def chosen(extra):
        cells = [(f"d{i}", "-", utility, min(1.0, auc + extra * (i == which)))
                 for i, (utility, auc) in enumerate(rows)]  # fmt: skip
        found = answer(run(*cells, seeds=(0,)), WISH).chosen
        return None if found is None else found.name

    before, after = chosen(0.0), chosen(more)
    if before != f"d{which}":
        assert after != f"d{which}"
    assert (before is None) == (after is None)


def test_a_void_comparison_has_no_answer_but_a_hint():
    every = [("none", "-", 0.5, 0.5), ("a", "-", 0.8, 0.5)]
    found = answer([cell(*each) for each in every], WISH)
    assert found.chosen is None and title(found).startswith("Ship no defence of these: this compar")
    assert "did not leave the majority class" in title(found) and "try more steps" in title(found)
    assert answer([cell("a", "-", 0.8)], WISH).nothing.startswith("there is no undefended row")


def test_of_private_records_no_epsilon_is_claimed():
    found = answer(GOOD, replace(WISH, data="private"))
    told = " ".join([*sentences(found), *(" ".join(line) for line in tried_table(found)[1])])
    assert title(found).startswith("Ship a, eps 2 (parallel): no guarantee: the search trained on ")
    assert "eps 2.0 (record" not in told and "epsilon 2 (record" not in told
    assert "No guarantee covers the search: 12 train" in told


def test_a_defence_whose_own_training_failed_is_not_blamed():
    own = {"training.batch_size": "256"}
    control, hard = cell("none", "-", 0.5, 0.5), cell("b", "eps 9", 0.5, 0.5)
    records = [*GOOD[:9], *(replace(x, labels=x.labels | own, cell=x.cell + "0")
                            for x in (control, hard))]  # fmt: skip
    found = answer(records, WISH)
    assert found.chosen is not None and found.chosen.name == "a"
    assert found.candidates[1].lost.startswith("cannot be judged: this comparison is void")


def test_utility_that_does_not_rise_with_the_level_is_told():
    found = answer(run(("a", "eps 1", 0.79), ("a", "eps 2", 0.70)), WISH)
    (line,) = [text for text in sentences(found) if "does not rise" in text]
    assert "eps 1: 0.790, eps 2: 0.700, beyond their intervals" in line
    assert not [text for text in sentences(answer(GOOD, WISH)) if "does not rise" in text]


def test_the_answer_stands_first_in_page_table_and_terminal(tmp_path):
    for record in GOOD:
        append_record(tmp_path / "run" / "records.jsonl", record)
    grid = {"frontier": {"data": "public", "adversary": "all", "least_share": 0.8, "steps": 6}}
    (tmp_path / "run" / "grid.json").write_text(json.dumps(grid))
    shown = render(tmp_path / "run")
    assert shown.answer[0] == title(answer(GOOD, WISH))
    text = (tmp_path / "run" / "table.md").read_text()
    assert text.index("## Answer") < text.index("then ship: a, eps 2") < text.index("## Utility")
    first = (tmp_path / "run" / "report.html").read_text().split("<nav")[0]
    assert "then ship: a, eps 2 (parallel)" in first and "data:image/png" in first
    assert (
        "It keeps 93" in first and "all 36 measured numbers of the page lie within" in first
    )  # 24 and 12 gains
    assert (tmp_path / "run" / "figures" / "frontier.png") in shown.paths
    plain = page(GOOD, "t")
    assert "How this was found" not in plain and "fedbert-eval frontier" in plain


def test_the_figure_holds_all_settings_seeds_and_the_line():
    data = frontier_data(answer(GOOD, WISH))
    assert data is not None and len(data.spots) == 4
    assert [len(spot.seeds) for spot in data.spots] == [3] * 4
    assert [spot.chosen for spot in data.spots] == [False, False, True, False]
    assert [spot.dark for spot in data.spots] == [True] + [False] * 3  # nobody looked at peers
    assert data.line == tuple(map(pytest.approx, ((0.04, 0.6), (0.1, 0.78), (0.4, 0.79))))
    by = "frontier:draw_decision"
    png = screen(data, by, "")
    assert png == screen(data, by, "") and png != screen(replace(data, least=0.6), by, "")
    told = describe_frontier(data)
    assert "a, eps 2: leakage 0.1, utility 0.78 (the answer)." in told
    assert "leakage 0.9, utility 0.8 (keeps; at least so much: a view nobody attacked)." in told
    seen = replace(data, spots=tuple(replace(spot, dark=False) for spot in data.spots))
    assert png != screen(seen, by, "")
    assert frontier_data(answer([], WISH)) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_nothing_beats_the_frontier_and_it_beats_the_rest(points):
    kept = frontier(points)
    for x, y in points:
        assert any(a <= x and b >= y for a, b in kept)
        assert not any(x < a and y > b for a, b in kept)


def test_an_answer_is_plain_text():
    found = answer(run(("<b>a|*", "-", 0.79)), WISH)
    assert "<b>" not in answer_markdown(found) and "\\|" in answer_markdown(found)
    assert "<b>a" not in page(GOOD, "t", (), Shown(found=found))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "expected the table of a frontier"),
        ({"data": "public"}, "a frontier with adversary"),
        ({"data": "x", "adversary": "all", "least_share": 0.9}, "got frontier.data='x'"),
        ({"data": "public", "adversary": "all"}, "one of the two"),
        ({"data": "public", "adversary": "all", "least_share": "9"}, "frontier.least_share='9'"),
    ],
)
def test_a_wish_that_is_none_is_refused(asked, told):
    with pytest.raises(ValueError, match=told):
        wish_of({"frontier": asked})
    assert wish_of({}) is None and wish_of(None) is None


def test_a_defence_that_an_attack_cannot_read_is_not_preferred():
    """Its noise is of another kind than the attack knows: that is no protection."""
    rows = run(("a", "eps 2", 0.78, 0.55), ("b", "eps 9", 0.79, 0.52))
    why = NotMeasured("forward", "nearest token", "inversion", "needs Gaussian noise")
    blind = [
        replace(each, leakage=(*(x for x in each.leakage if x.attack != "nearest token"), why))
        if each.labels["defence"] == "b"
        else each
        for each in rows
    ]
    assert answer(rows, WISH).chosen.name == "b"
    found = answer(blind, WISH)
    assert found.chosen.name == "a"
    told = "not attacked by nearest token, which read others"
    assert any(told in line for line in sentences(found))
    assert answer([each for each in blind if each.labels["defence"] != "a"], WISH).chosen is None


def test_guessing_frequent_words_is_no_leakage():
    head = ("forward", "bag of words", "inversion")
    guess = (
        Leak(*head, "token_f1", near(0.2), "record", 0.2),
        Leak(*head, "token_recall", near(0.3), "record", None),
    )
    named = (Leak("aggregator", "rows", "inversion", "token_recall", near(0.3), "token", None),)
    (record,) = [replace(cell("a", "-", 0.8, 0.5), leakage=guess)]
    assert worst([record], "all", 1).value == pytest.approx(0.0)
    assert worst([replace(record, leakage=(*guess, *named))], "all", 1).attack == "rows"


def test_a_reference_that_failed_in_a_seed_gives_no_answer():
    rows = run(("a", "eps 2", 0.78, 0.55))
    rows[0] = replace(rows[0], status="failed", utility={}, leakage=(), traceback="boom")
    found = answer(rows, WISH)
    assert found.chosen is None and "failed in 1 of 3 seeds" in found.nothing


def test_a_wish_that_a_constant_answer_meets_ships_nothing():
    found = answer(GOOD, Wish("public", "all", least_utility=0.4))
    assert found.chosen is None and "is reached without the text (0.500)" in found.nothing


def test_a_report_of_a_search_on_private_records_claims_nothing_anywhere(tmp_path):
    looks = tuple(Leak(view, "a look", "membership", "auc", near(0.5), "record", 0.5)
                  for view in VIEWS[1:4])  # fmt: skip
    for record in GOOD:  # without a claim each view has to be attacked
        own = replace(record, leakage=(*record.leakage, *looks))
        append_record(tmp_path / "records.jsonl", own)
    claimed = ("eps 2.0 (record, replace-one, data set)", "epsilon 2 (record")
    for data, there in (("public", True), ("private", False)):
        grid = {"frontier": {"data": data, "adversary": "all", "least_share": 0.8, "steps": 6}}
        (tmp_path / "grid.json").write_text(json.dumps(grid))
        shown = render(tmp_path)
        for name in ("report.html", "table.md", "table.csv"):
            text = (tmp_path / name).read_text()
            assert any(words in text for words in claimed) is there, (data, name)
        assert any("its epsilon is not claimed" in line for line in shown.answer) is not there


def test_nor_does_a_live_audit_of_such_a_search_or_a_bound_that_follows(tmp_path):
    """By page, figures, plots and show: 7.77 is claimed, 6.66 spent, 0.4321 the bound."""
    shown = {"kind": "records", "canaries": 20, "alpha": 1e-4, "rounds": 1, "releases": 1}
    told = f"canaries show epsilon >= 9, {live.SO_FAR.format(7.77)}"
    curve = {
        "shown": shown, "significance": 0.05, "claimed": 7.77, "fault": told,
        "points": [{"round": 1, "epsilon": 6.66, "bound": 1.25}],
    }  # fmt: skip
    failed = replace(
        GOOD[-1], status="failed", utility={}, leakage=(), guarantees=[], traceback=told
    )
    records = []
    for record in GOOD[:-1]:
        leaks = [
            replace(leak, reconstruction_bound=0.4321) if leak.family == "inversion" else leak
            for leak in record.leakage
        ]
        watched = curve if record is GOOD[0] else {}
        records.append(replace(record, audit=watched, leakage=tuple(leaks)))
    for record in [*records, replace(failed, audit=curve)]:
        append_record(tmp_path / "records.jsonl", record)
    for data, there in (("public", True), ("private", False)):
        grid = {"frontier": {"data": data, "adversary": "all", "least_share": 0.8, "steps": 6}}
        (tmp_path / "grid.json").write_text(json.dumps(grid))
        render(tmp_path)
        texts = {name: (tmp_path / name).read_text() for name in ("report.html", "table.csv")}
        kept = as_shown(tmp_path)
        texts["show"] = json.dumps([one_cell.to_json(tmp_path, kept, n) for n in range(len(kept))])
        plotted = plot([tmp_path], tmp_path / "out", Asked(("training", "claims"), ("svg",)))
        texts["plot"] = "".join(path.read_text() for path in plotted.paths)
        for word in ("7.77", "6.66", "0.4321"):
            found = [name for name, text in texts.items() if word in text]
            assert bool(found) is there, (data, word, found)
        assert (
            "1.25" in texts["plot"] and ("more than the noise allows" in texts["show"]) is not there
        )
