"""The budget commands: the references to the printed digits, and what each number holds for."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The real command in this process: exit code, output, errors."""

    def run(text: str, *more: object) -> tuple[int, str, str]:
        command = ["fedbert-eval", "budget", *text.split(), *map(str, more)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return run


def number(text: str, name: str) -> str:
    found = re.search(rf"^{name} +(\S+)", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


@pytest.mark.parametrize(
    ("epsilon", "sigma"),
    [("0.5", "7.031827"), ("1", "3.730632"), ("2", "1.993812"), ("8", "0.600229")],
)
def test_noise_prints_the_references(budget: Run, epsilon: str, sigma: str) -> None:
    code, out, err = budget(f"noise --epsilon {epsilon} --delta 1e-5")
    assert (code, err) == (0, "")
    assert number(out, "noise multiplier") == sigma
    assert float(number(out, "standard deviation")) == pytest.approx(2 * float(sigma), abs=2e-6)
    for part in ("replace-one relation", "one release", "one unit", "forward", "no sampling"):
        assert part in out


def test_the_clip_the_relation_and_the_releases_count(budget: Run) -> None:
    common = "noise --epsilon 2 --delta 1e-5 --clip-norm 3 --relation add-or-remove-one"
    one, four = (budget(f"{common} --releases {n}")[1] for n in (1, 4))
    assert number(one, "noise multiplier") == "1.993812"
    assert number(one, "standard deviation") == "5.981437"
    assert number(four, "noise multiplier") == "3.987625"
    assert "4 releases" in four and "add-or-remove-one relation" in four


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("1.0 .01 1000", {"rdp": "2.10137", "pld": "1.82824", "prv": "1.83837"}),
        ("5.0 1.0 10", {"rdp": "2.81365", "pld": "2.59438", "prv": "2.60454"}),
    ],
)
def test_epsilon_prints_the_references(budget: Run, setting: str, expected: dict[str, str]) -> None:
    sigma, rate, steps = setting.split()
    options = f"--noise-multiplier {sigma} --delta 1e-5 --sample-rate {rate} --steps {steps}"
    code, out, err = budget(f"epsilon {options}")
    assert (code, err) == (0, "")
    assert {name: number(out, name) for name in expected} == expected
    for part in ("one record", "add-or-remove-one relation", "release view alone", steps):
        assert part in out
    alone = budget(f"epsilon {options} --accountant rdp")[1]
    assert number(alone, "rdp") == expected["rdp"] and "pld" not in alone


def test_releases_without_sampling_have_an_exact_epsilon(budget: Run) -> None:
    _, out, _ = budget("epsilon --noise-multiplier 5 --delta 1e-5 --releases 10")
    found = {name: number(out, name) for name in ("exact", "pld", "rdp", "prv")}
    assert found == {"exact": "2.59438", "pld": "2.59438", "rdp": "2.81365", "prv": "2.60454"}
    assert "10 releases" in out and "relation under which the sensitivity holds" in out
    _, once, _ = budget("epsilon --noise-multiplier 0.600229 --delta 1e-5")
    assert number(once, "exact") == "8.00000" and "one release" in once
    _, alone, _ = budget("epsilon --noise-multiplier 5 --delta 1e-5 --releases 10 --accountant rdp")
    assert "exact" not in alone.split("what an attack")[0]
    assert "rdp    2.81365  (an upper bound, RDP)" in alone


@pytest.mark.parametrize("releases", ["1", "3"])
def test_a_message_with_its_label_meets_its_target_together(budget: Run, releases: str) -> None:
    common = f"--delta 1e-5 --label-epsilon 2 --releases {releases}"
    code, out, err = budget(f"noise --epsilon 8 {common}")
    assert (code, err) == (0, "") and number(out, "epsilon") == "8.00000"
    own = float(number(out, "noise multiplier"))
    assert float(number(out, "standard deviation")) == pytest.approx(2 * own, abs=2e-6)
    rest = 8 - 2 * int(releases)  # at worst, each label takes its whole epsilon
    summed = budget(f"noise --epsilon {rest} --delta 1e-5 --releases {releases}")[1]
    alone = budget(f"noise --epsilon 8 --delta 1e-5 --releases {releases}")[1]
    bare, split = (float(number(each, "noise multiplier")) for each in (alone, summed))
    assert bare < own < split
    code, out, _ = budget(f"epsilon --noise-multiplier {own} {common}")
    assert code == 0 and float(number(out, "exact")) == pytest.approx(8, abs=1e-3)
    assert "all five views" in out and "advantage (TPR - FPR)" in out


def test_options_that_a_message_has_no_room_for_are_refused(budget: Run) -> None:
    common = "--delta 1e-5 --label-epsilon 2"
    for command, told in [
        (f"noise --epsilon 2 {common}", "expected target_epsilon > 2"),
        (f"noise --epsilon 8 {common} --releases 0", "expected releases >= 1"),
        (f"noise --epsilon 8 {common} --clip-norm 2", "without --clip-norm"),
        (f"noise --epsilon 8 {common} --sample-rate .1 --steps 2", "without --sample-rate"),
        (f"noise --epsilon 8 {common} --relation add-or-remove-one", "without --relation"),
        (f"epsilon --noise-multiplier 1 {common} --accountant rdp", "without --accountant"),
    ]:
        code, _, err = budget(command)
        assert code == 2 and told in err and err.count("\n") == 1, err


def test_noise_of_dp_sgd_meets_its_target(budget: Run) -> None:
    _, out, err = budget("noise --epsilon 2.81365 --delta 1e-5 --sample-rate 1 --steps 10 "
                         "--accountant rdp --clip-norm 0.5")  # fmt: skip
    assert float(number(out, "noise multiplier")) == pytest.approx(5.0, rel=2e-4)
    assert float(number(out, "standard deviation")) == pytest.approx(2.5, rel=2e-4)
    assert float(number(out, "epsilon")) <= 2.81365
    assert "accountant rdp" in out and "release view alone" in out and not err


def test_a_fallback_is_noted_beside_the_number(
    budget: Run, caplog: pytest.LogCaptureFixture
) -> None:
    start = time.perf_counter()
    options = "--noise-multiplier .05 --delta 1e-5 --sample-rate .5 --steps 3000000"
    _, out, err = budget(f"epsilon {options}")
    assert not err
    assert number(out, "pld") == number(out, "prv")
    assert out.count("does not serve here: from gaussian without sampling") == 2
    # millions of steps: never less than for fewer
    fewer = budget(f"epsilon {options.replace('3000000', '1000')}")[1]
    assert float(number(fewer, "pld")) < float(number(out, "pld"))
    _, noise, _ = budget("noise --epsilon 1 --delta 1e-5 --sample-rate .02 --steps 10000000")
    assert "pld does not serve here: from rdp" in noise
    assert not caplog.records  # said once, in the lines
    assert time.perf_counter() - start < 30  # seconds, on a busy machine


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--releases 0", "0 releases"),
        ("--sample-rate .1 --steps 0", "sample rate 0.1, 0 steps"),
        ("--sample-rate 0 --steps 10", "sample rate 0, 10 steps"),
    ],
)
def test_nothing_released_is_said_to_be_nothing(budget: Run, options: str, told: str) -> None:
    code, out, err = budget(f"epsilon --noise-multiplier 1 --delta 1e-5 {options}")
    assert (code, err) == (0, "")
    assert out == f"epsilon 0: nothing is released ({told}), and nobody learns anything\n"
    code, _, err = budget(f"epsilon --noise-multiplier 0 --delta 1e-5 {options}")
    assert code == 2 and "expected noise_multiplier > 0" in err


@pytest.mark.parametrize(
    ("command", "warned"),
    [
        ("noise --epsilon 1e-7 --delta 1e-5", "39,696 times"),
        ("noise --epsilon 1e-7 --delta 1e-5 --sample-rate .01 --steps 1000", "31,624 times"),
        ("epsilon --noise-multiplier 79000 --delta 1e-5", "79,000 times"),
        ("noise --epsilon 1 --delta 1e-5", None),
        ("noise --epsilon 1 --delta 1e-14", None),
    ],
)
def test_noise_that_drowns_every_message_is_warned_of(
    budget: Run, command: str, warned: str | None
) -> None:
    code, out, _ = budget(command)
    assert code == 0 and ("Warning" in out) is (warned is not None)
    assert warned is None or f"the noise is {warned} the most that one unit changes" in out


@pytest.mark.parametrize(
    "command",
    [
        "noise --epsilon 1 --delta 1e-5 --sample-rate .01 --steps 1000000000",
        "epsilon --noise-multiplier 1 --delta 1e-14 --sample-rate .01 --steps 1000000000",
        "epsilon --noise-multiplier .01 --delta 1e-5 --sample-rate .01 --steps 1000 "
        "--accountant pld",
        "epsilon --noise-multiplier 1e-7 --delta 1e-5 --sample-rate .01 --steps 10 "
        "--accountant pld",
    ],
)
def test_the_edges_are_answered_within_seconds(budget: Run, command: str) -> None:
    start = time.perf_counter()
    assert budget(command)[0] == 0
    assert time.perf_counter() - start < 30  # on a busy machine


@pytest.mark.parametrize("kind", ["noise --epsilon 2", "epsilon --noise-multiplier 2"])
def test_a_delta_too_large_for_the_records_is_warned_of(budget: Run, kind: str) -> None:
    assert "Warning: delta 0.001" in budget(f"{kind} --delta 1e-3 --records 1000")[1]
    assert "Warning" not in budget(f"{kind} --delta 1e-3 --records 999")[1]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("noise --epsilon -1 --delta 1e-5", "expected target_epsilon > 0, got target_epsilon=-1.0"),
        ("noise --epsilon nan --delta 1e-5", "got target_epsilon=nan"),
        ("noise --epsilon 1 --delta 0", "expected 0 < delta < 1, got delta=0.0"),
        ("noise --epsilon 1 --delta 1", "got delta=1.0"),
        ("noise --epsilon 1 --delta 1e-5 --clip-norm 0", "expected clip_norm > 0, got clip_norm=0"),
        ("noise --epsilon 1 --delta 1e-5 --releases 0", "got releases=0"),
        ("noise --epsilon 1 --delta 1e-5 --records 0", "expected records >= 1, got records=0"),
        ("noise --epsilon 1 --delta 1e-5 --sample-rate .1", "0.1 without --steps"),
        ("noise --epsilon 1 --delta 1e-5 --steps 10", "--steps 10 without --sample-rate"),
        ("noise --epsilon 1 --delta 1e-5 --sample-rate 1.1 --steps 9", "got sample_rate=1.1"),
        ("noise --epsilon 1 --delta 1e-5 --sample-rate .1 --steps 0", "got steps=0"),
        ("noise --epsilon 1 --delta .1 --sample-rate .1 --steps 9 --releases 2", "got releases=2"),
        (
            "noise --epsilon 1 --delta 1e-5 --sample-rate .1 --steps 9 --relation replace-one",
            "expected relation add-or-remove-one with a sample rate",
        ),
        ("epsilon --noise-multiplier 0 --delta 1e-5", "expected noise_multiplier > 0"),
        ("epsilon --noise-multiplier 1 --delta 2", "got delta=2.0"),
        ("epsilon --noise-multiplier 1 --delta 1e-5 --releases -1", "got releases=-1"),
        ("epsilon --noise-multiplier 1 --delta 1e-5 --sample-rate -1 --steps 1", "sample_rate=-1"),
        (f"epsilon --noise-multiplier 1 --delta 1e-5 --releases 1{'0' * 400}", "can take"),
        ("epsilon --noise-multiplier 1 --delta 1e-5 --steps 10", "without --sample-rate"),
        ("views nowhere.toml", "expected a grid file, got no file nowhere.toml"),
        ("views .", "expected a TOML file, got a folder: ."),
        ("noise --advantage .9999999999999999 --delta 1e-5", "target_advantage <= 1 - 1e-12"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(budget: Run, command: str, message: str) -> None:
    code, out, err = budget(command)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_noise_for_a_risk_is_what_epsilon_says_keeps_to_it(budget: Run) -> None:
    for option, name, most in [("--tpr-at-1pct .05", "TPR at 1 % FPR", 0.05),
                               ("--advantage .2", r"advantage \(TPR - FPR\)", 0.2)]:  # fmt: skip
        code, out, err = budget(f"noise {option} --delta 1e-5 --releases 3")
        assert (code, err) == (0, "") and f"(at most {most:g} was asked for)" in out
        noise = float(number(out, "noise multiplier"))
        found = [
            float(number(budget(f"epsilon --delta 1e-5 --releases 3 --noise-multiplier {each}")[1],
                         name))
            for each in (noise + 1e-6, 0.99 * noise)
        ]  # fmt: skip
        assert found[0] <= most < found[1]
        assert number(out, "epsilon") == number(
            budget(f"epsilon --delta 1e-5 --releases 3 --noise-multiplier {noise}")[1], "exact"
        )


def test_one_target_is_asked_for(budget: Run) -> None:
    for command, words in [
        ("noise --delta 1e-5", "expected one of --epsilon, --tpr-at-1pct, --advantage, got none"),
        ("noise --delta 1e-5 --epsilon 1 --advantage .1", "got --epsilon and --advantage"),
        ("noise --delta 1e-5 --tpr-at-1pct .01", "expected 0.01 < target_tpr_at_1pct < 1"),
        ("noise --delta 1e-5 --advantage 0", "expected 0 < target_advantage < 1"),
        ("noise --delta 1e-5 --advantage .1 --accountant rdp --sample-rate .1 --steps 9",
         "expected --accountant with --epsilon alone"),
        ("noise --delta 1e-5 --advantage .2 --label-epsilon 1", "which the labels take alone"),
        ("noise --delta 1e-5 --advantage .9 --sample-rate .1 --steps 9", "without any noise"),
        ("epsilon --delta 1e-5 --noise-multiplier 1 --records-per-user 0",
         "expected 1 <= records_per_user <= 10000, got records_per_user=0"),
    ]:  # fmt: skip
        code, _, err = budget(command)
        assert code == 2 and words in err and err.count("\n") == 1, err


def test_a_user_stands_below_the_record(budget: Run) -> None:
    _, out, _ = budget("epsilon --delta 1e-5 --noise-multiplier 6 --records-per-user 3")
    record, user = out.split("for a user with up to 3 records")
    alone = budget("epsilon --delta 1e-5 --noise-multiplier 2")[1]  # a sum moves three times as far
    assert number(user, "epsilon") == number(alone, "exact") and "mu  0.1666" in record
    assert number(user, "TPR at 1 % FPR") == number(alone, "TPR at 1 % FPR")


VIEWS_GRID = """
[[defences]]
name = "dp-sgd"
training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 1.0 }
labels = { mechanism = "randomised_response", epsilon = 1.5 }
"""


def test_views_says_what_a_grid_will_claim_without_training(
    budget: Run, small_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedbert import trainer

    monkeypatch.setattr(trainer, "train", lambda *_, **__: pytest.fail("trained"))
    grid = tmp_path / "grid.toml"
    strategies = 'strategies = ["parallel", "fedavg"]\n[model]'
    grid.write_text(small_text.replace("[model]", strategies, 1) + VIEWS_GRID)
    code, out, err = budget("views --full", grid)
    assert code == 0, err
    blocks = {
        block.splitlines()[0]: block.splitlines()[1:]
        for block in re.split(r"\n(?=\S)", out.strip())
    }
    settings = ("none", "gaussian, target_epsilon=1.0", "dp-sgd")
    last = [line for line in blocks if line.startswith("will not run: ")]
    assert list(blocks)[-len(last) :] == last and sum("span check" in line for line in last) == 1
    blocks = {setting: said for setting, said in blocks.items() if setting not in last}
    assert list(blocks) == [f"{s} ({kind}; sst2)" for kind in ("parallel", "fedavg")
                            for s in settings]  # fmt: skip
    plain = blocks["none (parallel; sst2)"]
    views = [line.split(":")[0].strip() for line in plain]
    assert ", ".join(views) == "forward, backward, aggregator, peer, release"
    assert views[-1] == "peer, release"  # told the same, and once
    forward = blocks["gaussian, target_epsilon=1.0 (parallel; sst2)"][0]
    assert "each token" in forward and "epsilon 1 and delta 1e-05" in forward
    trained = blocks["dp-sgd (parallel; sst2)"]
    told = [view for line in trained for view in line.split(":")[0].split(",")]
    assert len(told) == 9  # five views, and labels on four of them
    (record,) = [line for line in trained if "each record" in line]
    assert record.startswith("  release:") and "Poisson sampling at rate" in record
    assert "each label" in trained[-1] and "epsilon 1.5 and delta 0" in trained[-1]
    assert "refused" in blocks["gaussian, target_epsilon=1.0 (fedavg; sst2)"][0]


def test_views_are_one_table_with_units_and_deltas(
    budget: Run, small_text: str, tmp_path: Path
) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(small_text + VIEWS_GRID)
    code, out, err = budget("views", grid)
    assert code == 0, err
    text = " ".join(out.split())
    assert out.split("\n")[0].split()[:4] == ["setting", "strategy", "task", "forward"]
    assert "eps 1.0, delta" in text and "1e-05 (token)" in text
    assert "Claims are those of each setting's first seed" in text
    assert "none for" in text and "Noise is repeatable" in text and "`--full` says" in text
    code, out, err = budget("views --json", grid)
    found = json.loads(out)
    assert found["schema"] == 1 and len(found["settings"]) == 3  # seeds stand together
    assert {each["claims_of_seed"] for each in found["settings"]} == {0}
    claims = [each for each in found["settings"][1]["claims"] if each["kind"] == "guarantee"]
    assert [(c["view"], c["unit"], c["epsilon"], c["delta"]) for c in claims] == [
        ("forward", "token", pytest.approx(1.0, abs=1e-6), 1e-5)
    ]
    wish = '[frontier]\ndata = "private"\nleast_share = 0.9\n[model]'
    grid.write_text(small_text.replace("[model]", wish, 1) + VIEWS_GRID)
    _, out, _ = budget("views --json", grid)
    kinds = {c["kind"] for each in json.loads(out)["settings"] for c in each["claims"]}
    assert kinds == {"no guarantee"}  # a search on private data is in no ledger


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("noise --epsilon 8 --delta 1e-5", {"noise_multiplier": 0.600229, "sensitivity": 2.0}),
        (
            "epsilon --noise-multiplier 1 --delta 1e-5 --sample-rate .01 --steps 1000",
            {"epsilon": {"pld": 1.82824, "rdp": 2.10137, "prv": 1.83837}},
        ),
        ("noise --epsilon 8 --delta 1e-5 --label-epsilon 2", {"standard_deviation": 1.518968}),
        ("tuning --mean 10 --noise-multiplier 4 --delta 1e-5", {"noise_multiplier": 4.0}),
    ],
)
def test_what_is_found_is_json_with_unit_and_views(
    budget: Run, command: str, values: dict[str, object]
) -> None:
    _, words, _ = budget(command)
    code, out, err = budget(f"{command} --json")
    found = json.loads(out)
    assert (code, err, found["schema"]) == (0, "", 1)
    assert found["command"] == f"budget {command.split()[0]}" and found["delta"] == 1e-5
    assert found["in_words"] == words.splitlines() and "views" in found["holds_for"]
    for name, value in values.items():
        assert found[name] == pytest.approx(value, abs=1e-5)


def test_views_speak_of_every_swept_value(budget: Run, small_text: str, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    sweep = 'sweep = { "training.batch_size" = [4, 8] }\n[model]'
    text = re.sub(r"\nbatch_size = .*", "", small_text)
    grid.write_text(text.replace("[model]", sweep, 1) + VIEWS_GRID)
    code, out, err = budget("views --full", grid)
    assert code == 0, err
    blocks = [block for block in re.split(r"\n(?=\S)", out.strip()) if block.startswith("dp-sgd")]
    assert [block.split(" (")[0] for block in blocks] == [
        f"dp-sgd, training.batch_size = {size}" for size in (4, 8)
    ]
    told = [re.search(r"sampling at rate ([\d.]+)", block) for block in blocks]
    assert None not in told and len({each[1] for each in told if each}) == 2


def test_tuning_says_what_choosing_costs_and_how_much_noise_it_takes(budget: Run) -> None:
    common = "tuning --delta 1e-5 --mean 10 --sample-rate 0.0157 --steps 300"
    code, out, err = budget(f"{common} --noise-multiplier 0.7")
    assert (code, err) == (0, "")
    assert float(number(out, "epsilon")) == pytest.approx(8.867, abs=1e-3)
    assert float(number(out, "one training")) == pytest.approx(4.419, abs=1e-3)
    code, out, _ = budget(f"{common} --epsilon 3 --draw")
    assert code == 0 and float(number(out, "epsilon")) <= 3.0
    assert int(number(out, "trainings to make:")) >= 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("--mean 10", "expected --epsilon or --noise-multiplier, got neither"),
        ("--mean 10 --epsilon 1 --noise-multiplier 2", "got both"),
        ("--mean 0 --epsilon 1", "expected 1 < mean"),
        ("--mean 10 --epsilon 1e-9", "that some noise meets"),
        ("--mean 10 --epsilon 1 --label-epsilon 1", "messages sent once is free"),
        ("--mean 10 --noise-multiplier 1 --releases 0", "expected releases > 0"),
    ],
)
def test_tuning_refuses_in_one_line(budget: Run, asked: str, told: str) -> None:
    code, out, err = budget(f"tuning --delta 1e-5 {asked}")
    assert (code, out) == (2, "") and told in err and err.count("\n") == 1
