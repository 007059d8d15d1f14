"""The audit as a user meets it: good, tampered, mis-stated, foreign, with a pickle, and nothing."""

import json
import math
import pickle
import re
import shutil
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from evaluation.auditing.adversary import Means, _trainings, signals_on
from evaluation.auditing.manifest import allowed, allowed_tpr, mismatches
from evaluation.auditing.mechanisms.isolation import audit_any
from evaluation.auditing.membership import (
    candidates_of,
    claim_on,
    one_run,
)
from evaluation.auditing.needed import needed, needed_by_curve
from evaluation.auditing.subject import open_subject
from evaluation.auditing.verdict import Claim, Finding
from evaluation.cli.main import main
from evaluation.metrics.one_run_gaussian import curve_refuted, one_run_from_scores
from evaluation.run import training
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.config import Config, DataConfig
from fedbert.data.batches import Encoded
from fedbert.data.sources import load
from fedbert.errors import InputError
from fedbert.manifest import content_sha256
from fedbert.prepare import flips
from fedbert.seeding import numpy_rng
from reports.tradeoff import Allowed
from tests.fedbert import tiny

FEW = 20_000

TRAINING = """
seed = 3
[model]
source = "tiny"
tokenizer = "generated"
[data]
task = "sst2"
source = "generated"
pool_size = 120
evaluation = 20
max_length = 24
clients = 2
hold_out = 0.5
[training]
rounds = 2
local_steps = 2
batch_size = 8
[defence]
name = "guarded"
smashed = { mechanism = "gaussian", clip_norm = 4.0, noise_multiplier = 0.5 }
training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 2.0 }
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    (folder / "training.toml").write_text(TRAINING)
    settings = read_training(folder / "training.toml", pretraining=False)
    run_training(settings, folder / "out", 2, lambda *_: None)
    return folder / "out" / "checkpoint"


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


@cache
def audit_few(mechanism: Any, delta: float, seed: int) -> Finding | None:
    """Return what few samples show of a mechanism, drawn once for all tests that ask the same."""
    return audit_any(mechanism, delta, seed, samples=FEW)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object, full: bool = False) -> tuple[int, str, list[str]]:
        """Run the audit: of few samples and sentences, with a prior that learnt little."""
        if not full:
            monkeypatch.setattr("evaluation.auditing.card.audit_any", audit_few)
            monkeypatch.setattr("evaluation.auditing.mechanisms.over_calls.CALLS", FEW // 50)
            monkeypatch.setattr("evaluation.auditing.forward.SENTENCES", 8)
            monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 2)
        monkeypatch.setattr(sys, "argv", ["fedbert-eval", "audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
        return int(end.value.code or 0), told.out, errors

    return call


def resigned(checkpoint: Path, change) -> None:
    """Change a manifest and hash it anew, as somebody would who wants to be believed."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest["manifest_sha256"] = content_sha256(manifest)
    path.write_text(json.dumps(manifest))


def test_a_good_checkpoint_is_consistent_and_written_in_three_forms(
    good: Path, tmp_path: Path, run
) -> None:
    out = tmp_path / "card"
    limits = ("--max-token-recovery", "1", "--max-auc", "0.9")
    code, told, errors = run(good, "--out", out, *limits, full=True)
    assert (code, errors) == (0, []), told
    assert "verdict: consistent" in told and "private" not in told.replace("fedbert-privacy", "")
    card = json.loads((out / "audit.json").read_text())
    verdicts = {check["what"]: check["verdict"] for check in card["checks"]}
    assert verdicts["manifest: recorded epsilon"] == "consistent"
    assert sum("isolation" in name for name in verdicts) == 2
    assert sum(name.startswith("release: epsilon") for name in verdicts) == 1
    attacks = {each["attack"] for each in card["measured"]}
    assert {"loss threshold", "nearest token", "text alone"} <= attacks
    assert any("one record in from out: TPR at 1 % FPR at most" in c for c in card["claims"])
    suite = ElementTree.fromstring((out / "audit.xml").read_text())
    assert suite.get("failures") == "0" and len(suite.findall("testcase")) == len(card["checks"])
    page = (out / "audit.html").read_text()
    assert "<script" not in page and "nearest token" in page
    assert "Stronger attacks did not run: they take --shadows 16." in card["in_short"][2]
    (own,) = [check for check in card["checks"] if check["what"].startswith("release: epsilon")]
    assert "decided by the claim's own trade-off curve: not refuted" in own["detail"]
    told = json.loads((out / "disclosure.json").read_text())
    assert told["audit"]["verdict"] == "consistent"
    assert told["attackers"]["measured"] == [e for e in card["measured"] if "estimate" in e]
    (accuracy,) = [value for name, value in card["cost"]["utility"].items() if name == "accuracy"]
    assert told["utility"]["estimate"] == accuracy and accuracy["low"] <= accuracy["value"]
    assert told["utility"]["majority_baseline"] == card["cost"]["majority_baseline"]["accuracy"]
    assert "the commonest answer alone reaches" in page
    assert card["means"]["shadows"] == 0 and all(x["seconds"] for x in told["attackers"]["means"])


def test_a_limit_that_is_passed_ends_with_1(good: Path, tmp_path: Path, run) -> None:
    out = tmp_path / "card"
    code, told, _ = run(good, "--max-auc", "0.01", "--out", out)
    assert code == 1 and "above the limit" in told
    assert ElementTree.fromstring((out / "audit.xml").read_text()).get("failures") == "1"


def test_a_claim_that_nothing_could_contradict_is_too_weak(good: Path, tmp_path: Path, run) -> None:
    code, told, _ = run(good, "--claim", "20,1e-5", "--out", tmp_path)
    assert code == 3 and "verdict: too weak to say" in told
    card = json.loads((tmp_path / "audit.json").read_text())
    assert sum("the line of one (epsilon, delta)" in claim for claim in card["claims"]) == 1
    checks = card["checks"]
    (weak,) = [check for check in checks if check["verdict"] == "too weak to say"]
    assert "epsilon 20" in weak["what"] and "it would take" in weak["detail"]
    (line,) = [each for each in told.splitlines() if each.startswith("too weak: ")]
    bound, most = (weak["numbers"][f"epsilon_{each}"] for each in ("at_least", "reachable"))
    assert weak["what"] in line and f"the bound came to epsilon {bound:.3g}, claimed are 20" in line
    assert f"could show {most:.3g} at most; it would take " in line and most < 20
    assert weak["more"] in line and "white-box canaries" in weak["more"]


def test_as_many_candidates_as_it_would_take_do_and_half_of_them_do_not() -> None:
    claim, curve = Claim(1.0, 1e-5), np.array([[1.0, 1e-5]])
    told = {needed(claim), needed_by_curve(curve, 0.05, 0.5, 4)}
    for count in {int(re.findall(r"about (\d+) candidates", each)[0]) for each in told}:
        for tried, does in ((count + 2, True), (count // 2, False)):  # it is "about" so many
            coins = np.arange(tried) % 2 == 0
            found = one_run_from_scores(coins.astype(float), coins, claim.delta, 0.05)
            assert (found > claim.epsilon) is does
            assert curve_refuted(coins.astype(float), coins, curve, 0.05) is does
    assert "white-box canaries" in needed(Claim(20.0, 1e-5))
    unequal = needed_by_curve(curve, 0.05, 0.3, 4)  # of unequal sides fewer are told apart
    count = int(re.findall(r"about (\d+) candidates", unequal)[0])
    coins = np.arange(count) < int(0.3 * count)
    assert curve_refuted(coins.astype(float), coins, curve, 0.05)
    assert not curve_refuted(coins[: count // 2].astype(float), coins[: count // 2], curve, 0.05)


def test_a_claim_below_what_the_noise_gives_is_violated(good: Path, run) -> None:
    code, told, _ = run(good, "--claim", "0.1,1e-5")
    assert code == 1 and "violates the claim" in told


def test_a_tampered_checkpoint_is_refused_in_one_line(copy: Path, run) -> None:
    weights = copy / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    code, _, errors = run(copy)
    assert code == 2 and len(errors) == 1 and "sha256" in errors[0]


@pytest.mark.parametrize("what", ["epsilon", "noise", "steps", "rate", "delta"])
def test_a_mis_stated_epsilon_is_named(copy: Path, run, what: str) -> None:
    def change(manifest) -> None:
        (release,) = [
            g for g in manifest["guarantees"] if g["view"] == "release" and "epsilon" in g
        ]
        (cost,) = [c for c in manifest["costs"] if c["place"] == "training"]
        if what == "epsilon":
            release["epsilon"] /= 2
        elif what == "noise":
            cost["event"]["noise_multiplier"] *= 2
        elif what == "steps":
            cost["releases"] -= 1
        elif what == "rate":
            cost["event"]["sample_rate"] /= 2
        else:
            release["delta"] = 1e-3

    resigned(copy, change)
    named = mismatches(open_subject(copy, None))
    assert named and all("recorded" in line and "recomputed" in line for line in named)
    if what == "epsilon":
        code, told, errors = run(copy)
        assert (code, errors) == (1, []) and "verdict: violates the claim" in told


def test_a_mis_stated_curve_is_named_and_a_manifest_without_one_is_not(copy: Path) -> None:
    keys = ("tradeoff", "advantage", "tradeoff_basis")

    def smaller(manifest: dict) -> None:
        manifest["guarantees"][4]["advantage"] *= 0.5

    def older(manifest: dict) -> None:
        for claim in manifest["guarantees"]:
            for key in keys:
                claim.pop(key, None)

    resigned(copy, smaller)
    (line,) = mismatches(open_subject(copy, None))
    assert line.startswith("guarantees release advantage: recorded")
    resigned(copy, older)
    assert mismatches(open_subject(copy, None)) == []


def test_members_that_the_configuration_does_not_deal_are_refused(copy: Path, run) -> None:
    resigned(copy, lambda manifest: manifest["members"].append(100_000))
    code, _, errors = run(copy)
    assert code == 2 and "expected the members" in errors[0]


@pytest.fixture(scope="module")
def per_row(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint from before: every row had a coin, and the manifest says nothing of coins; and
    one of today. Every text of the pool stands in it twice.
    """
    folder = tmp_path_factory.mktemp("twins")
    examples = load("sst2", "generated", 60, 10, 7)
    for name, each in examples.items():
        rows = zip(each.texts, each.labels.tolist(), strict=True)
        lines = [json.dumps({"sentence": text, "label": label}) for (text,), label in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines * 2) + "\n")
    text = TRAINING.replace('source = "generated"\npool', f'source = "{folder}"\npool')
    (folder / "training.toml").write_text(text)
    settings = read_training(folder / "training.toml", pretraining=False)
    run_training(settings, folder / "now", 2, lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        before = partial(training.prepare, per="row")
        patch.setattr(training, "prepare", before)
        run_training(settings, folder / "then", 2, lambda *_: None)
    resigned(folder / "then" / "checkpoint", lambda manifest: manifest.pop("coin"))
    return folder / "then" / "checkpoint", folder / "now" / "checkpoint"


def test_no_candidate_of_a_training_has_a_twin_on_the_other_side(
    per_row: tuple[Path, Path],
) -> None:
    data = str(per_row[1].parent.parent)
    who = candidates_of(open_subject(per_row[1], None, data), None, None, False)
    assert not isinstance(who, str) and who.fair
    assert len(set(texts_of(who.encoded))) == len(who.members) == 60
    assert 10 < who.members.sum() < 50


def test_a_checkpoint_from_when_every_row_had_a_coin_is_audited(
    per_row: tuple[Path, Path], tmp_path: Path, run
) -> None:
    data = str(per_row[0].parent.parent)
    subject = open_subject(per_row[0], None, data)
    assert subject.own is not None and subject.own.members is not None
    texts = np.array(texts_of(subject.own.pool))
    assert set(texts[subject.own.members]) & set(texts[~subject.own.members])
    assert mismatches(subject) == []
    code, _, errors = run(per_row[0], "--data", data)
    assert code in (0, 3) and errors == []
    claimed = Path(shutil.copytree(per_row[0], tmp_path / "claimed"))
    resigned(claimed, lambda manifest: manifest.update(coin="text"))
    code, _, errors = run(claimed, "--data", data)
    assert code == 2 and "expected the members" in errors[0]
    resigned(claimed, lambda manifest: manifest.update(coin="side"))
    code, _, errors = run(claimed)
    assert code == 2 and len(errors) == 1 and "coin='side'" in errors[0]


def test_a_training_whose_rows_had_a_coin_each_is_not_continued(
    per_row: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(per_row[0], tmp_path / "out" / "checkpoint")
    settings = read_training(per_row[0].parent.parent / "training.toml", pretraining=False)
    with pytest.raises(InputError, match="coin fell for each text, got coin='row'"):
        run_training(settings, tmp_path / "out", 2, lambda *_: None)


def test_a_text_that_a_file_repeats_is_one_candidate(foreign) -> None:
    model, ins, outs = foreign
    subject = open_subject(model, "sst2")
    once = candidates_of(subject, ins, outs, True)
    ins.write_text(ins.read_text() * 3)
    again = candidates_of(subject, ins, outs, True)
    assert not isinstance(once, str) and not isinstance(again, str)
    np.testing.assert_array_equal(once.members, again.members)
    assert texts_of(once.encoded) == texts_of(again.encoded)


def test_of_a_file_a_person_is_one_candidate_and_on_one_side_alone() -> None:
    whole = tiny.encoded("two", 8)
    ins, outs = (
        replace(whole.take(rows), people=np.array(people))
        for rows, people in ((range(4), [1, 1, 2, 3]), (range(4, 8), [4, 5, 5, 5]))
    )
    sets = {Path("ins"): ins, Path("outs"): outs}
    subject: Any = SimpleNamespace(encoded=sets.__getitem__, tokenizer=tiny.tokenizer())
    who = candidates_of(subject, Path("ins"), Path("outs"), True)
    assert not isinstance(who, str) and who.members.tolist() == [True] * 3 + [False] * 2
    assert texts_of(who.encoded) == texts_of(whole.take([0, 2, 3, 4, 5]))
    sets[Path("outs")] = replace(outs, people=np.array([3, 5, 5, 6]))
    with pytest.raises(InputError, match="members and non-members apart, got 1 persons in both"):
        candidates_of(subject, Path("ins"), Path("outs"), True)


def test_what_a_persons_coin_shows_is_held_against_what_group_privacy_leaves() -> None:
    """Else a person's four records would refute a true claim about each."""
    data = DataConfig(task="own", text="review", group="author")
    own = SimpleNamespace(coin_groups=np.array([0, 0, 2, 0, 4, 0]))
    subject: Any = SimpleNamespace(config=Config(data=data), own=own, unknown="no data")
    found = claim_on(subject, Claim(0.5, 1e-5))
    assert not isinstance(found, str) and found[0].epsilon == 2.0
    assert found[0].delta == pytest.approx(1e-5 * sum(math.exp(0.5 * i) for i in range(4)))
    assert found[1] == ", 2 at delta 9.85e-05 for a person's 4"
    nothing = "the coin is a person's, and group privacy leaves nothing for 4 records"
    assert claim_on(subject, Claim(8.0, 1e-5)) == nothing
    assert allowed(subject) == []
    subject.own = None
    unknown = "the coin is a person's, of how many records is not known (see above)"
    assert claim_on(subject, Claim(0.5, 1e-5)) == unknown
    subject.config = Config()
    assert claim_on(subject, Claim(0.5, 1e-5)) == (Claim(0.5, 1e-5), "")


def test_a_coin_that_fell_for_several_rows_is_no_evidence_about_one() -> None:
    """Documents of three blocks: the claim is that of three. Texts, some with twins: these are left
    out, and tell nothing however well they are told."""
    subject: Any = SimpleNamespace(
        config=Config(), own=SimpleNamespace(coin_groups=np.repeat(np.arange(4), 3)), unknown=""
    )
    found = claim_on(subject, Claim(0.5, 1e-5))
    assert not isinstance(found, str) and found[0].epsilon == 1.5 and "a text's 3" in found[1]
    subject.own.coin_groups = np.concatenate([np.repeat(np.arange(400), 2), np.arange(400, 800)])
    assert claim_on(subject, Claim(0.5, 1e-5)) == (Claim(0.5, 1e-5), "")
    rng = np.random.default_rng(0)
    positions = np.concatenate([np.arange(0, 800, 2), 800 + np.arange(400)])
    members = rng.random(800) < 0.5
    scores = np.where(positions < 800, members, rng.random(800))
    who: Any = SimpleNamespace(members=members, positions=positions)
    shown = one_run(subject, who, {"any": scores}, Claim(0.5, 1e-5))
    assert shown.samples == 400 and shown.bound < 0.5 < shown.reachable
    subject.own.coin_groups = np.arange(1200)  # each its own: the same scores refute the claim
    assert one_run(subject, who, {"any": scores}, Claim(0.5, 1e-5)).bound > 0.5


def texts_of(encoded: Encoded) -> list[bytes]:
    return [each.tobytes() for each in np.split(encoded.tokens, encoded.offsets[1:-1])]


def test_a_manifest_without_its_figures_is_one_line(copy: Path, run) -> None:
    resigned(copy, lambda manifest: manifest["costs"][0].pop("event"))
    code, _, errors = run(copy)
    assert code == 2 and len(errors) == 1 and "expected costs and guarantees" in errors[0]


def test_no_manifest_a_pickle_or_code_inside_is_one_line(
    copy: Path, good: Path, tmp_path: Path, run
) -> None:
    (copy / "manifest.json").unlink()
    code, _, errors = run(copy)
    assert code == 2 and len(errors) == 1 and "manifest.json" in errors[0]

    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    (copy / "extra").write_bytes(pickle.dumps(Harm()))
    code, _, errors = run(copy)
    assert code == 2 and "pickle" in errors[0] and not (tmp_path / "harm").exists()
    (copy / "extra").unlink()
    config = copy / "model" / "config.json"
    config.write_text(config.read_text().replace("{", '{"auto_map": {},', 1))
    code, _, errors = run(copy / "model")
    assert code == 2 and "auto_map" in errors[0]
    code, _, errors = run(tmp_path / "nowhere")
    assert code == 2 and "expected a checkpoint directory" in errors[0]


@pytest.fixture
def foreign(good: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A plain transformers directory, and files of members and others."""
    examples = load("sst2", "generated", 80, 10, 7)["train"]
    files = []
    for number, name in enumerate(("in.jsonl", "out.jsonl")):
        path = tmp_path / name
        rows = range(number, 80, 2)
        lines = [
            json.dumps({"sentence": examples.texts[i][0], "label": int(examples.labels[i])})
            for i in rows
        ]
        path.write_text("\n".join(lines) + "\n")
        files.append(path)
    model = Path(shutil.copytree(good / "model", tmp_path / "foreign"))
    return model, files[0], files[1]


def test_why_the_data_are_not_there_is_said_once(copy: Path, tmp_path: Path, run) -> None:
    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["config"]["data"]["source"] = "elsewhere"

    resigned(copy, elsewhere)
    _, told, _ = run(copy, "--out", tmp_path / "card")
    why = "the manifest names the data 'elsewhere', opened only if you do: --data elsewhere"
    plain = " ".join(told.split())
    assert plain.count("opened only") == 1 and f"not known: {why}" in plain
    assert "members are not known (see above)" in plain
    page = (tmp_path / "card" / "audit.html").read_text()
    assert page.count("opened only") == 1
    suite = ElementTree.parse(tmp_path / "card" / "audit.xml").getroot()
    stated = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert stated["not known"] == why  # of the card there is nothing else in it


def test_data_and_models_that_a_manifest_names_are_opened_if_the_user_names_them(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "a private folder"
    private.mkdir()
    opened: list[object] = []

    def folder(task: object, source: Path) -> None:
        opened.append(source)
        raise InputError("expected nothing to be opened")

    monkeypatch.setattr("fedbert.data.sources.load_folder", folder)

    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["config"]["data"]["source"] = manifest["config"]["model"]["source"] = str(private)

    resigned(copy, elsewhere)
    unnamed = open_subject(copy, None)
    assert opened == [] and unnamed.own is None
    assert f"opened only if you do: --data '{private}'" in unnamed.unknown
    named = open_subject(copy, None, str(private))
    assert opened == [private] and "the training data cannot be had" in named.unknown
    subject = open_subject(copy, None, "generated")  # the same data from elsewhere
    assert subject.own is not None and subject.unknown == ""
    positions = np.arange(4)
    with pytest.raises(InputError, match=r"expected --start with --shadows.*'.*a private folder'"):
        _trainings(subject, positions, Means(shadows=2))
    trainings, _ = _trainings(subject, positions, Means(shadows=2, start="tiny"))
    assert trainings.config.model.source == "tiny"


def test_a_mechanism_that_a_manifest_names_is_not_imported(
    copy: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    resigned(
        copy, lambda manifest: manifest["defence"]["smashed"].update(mechanism="stranger:Evil")
    )
    code, told, errors = run(copy)
    assert (code, errors) == (3, []) and "verdict: not measured" in told
    assert "'stranger:Evil' is code that the manifest names" in " ".join(told.split())
    assert not (tmp_path / "imported").exists()


def test_a_foreign_model_needs_members_and_says_what_a_claim_would_take(foreign, run) -> None:
    model, ins, outs = foreign
    code, _, errors = run(model)
    assert code == 2 and "--members" in errors[0]
    code, told, errors = run(model, "--members", ins, "--non-members", outs)
    assert (code, errors) == (0, []) and "shifted pool is possible" in told
    code, told, _ = run(model, "--members", ins, "--non-members", outs, "--claim", "1,1e-5")
    assert code == 3 and "fair coin" in told
    (line,) = [each for each in told.splitlines() if each.startswith("too weak: ")]
    assert "the bound came to epsilon 0, claimed are 1 at delta 1e-05 (a bound from one" in line
    assert "it would take about 18 candidates by a fair coin" in line
    told = run(model, "--members", ins, "--non-members", outs, "--claim", "1,1e-5", "--fair-coin")
    assert told[0] == 0 and "verdict: consistent" in told[1]
    code, told, _ = run(model, "--members", ins, "--max-auc", "0.9")
    assert code == 3 and "not measured" in told
    code, _, errors = run(model, "--members", ins, "--non-members", ins)
    assert code == 2 and "texts in both" in errors[0]


def test_a_foreign_model_with_another_tokenizer_is_refused(foreign, tmp_path: Path, run) -> None:
    model, ins, outs = foreign
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    words = [f"w{i}" for i in range(5000)]
    for word in words:
        tokenizer["model"]["vocab"][word] = len(tokenizer["model"]["vocab"])
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    code, _, errors = run(model, "--members", ins, "--non-members", outs)
    assert code == 2 and len(errors) == 1 and "tokenizer" in errors[0]


def test_an_overfitted_release_violates_a_claim(good: Path) -> None:
    """The positive control of the one-run bound: scores that tell all members."""

    from evaluation.auditing.verdict import Claim

    subject = open_subject(good, None)
    who = candidates_of(subject, None, None, False)
    assert not isinstance(who, str) and who.fair
    told = one_run(subject, who, {"oracle": who.members.astype(float)}, Claim(1.0, 1e-5))
    assert told.verdict == "violates the claim"
    noise = np.random.default_rng(0).normal(size=len(who.members))
    assert one_run(subject, who, {"noise": noise}, Claim(1.0, 1e-5)).verdict == "consistent"


def test_shadows_let_the_stronger_attacks_run_and_are_kept(good: Path, tmp_path: Path, run) -> None:
    out = tmp_path / "card"
    _, told, errors = run(good, "--shadows", "2", "--out", out)
    assert errors == [] and "needs models that the adversary trains" not in told
    card = json.loads((out / "audit.json").read_text())
    measured = {each["attack"] for each in card["measured"] if "estimate" in each}
    assert {"reference ratio", "RMIA, off-line"} <= measured
    assert len(list((out / "shadows").iterdir())) == 2


def test_whose_coins_are_told_is_asked_about_no_more(good: Path) -> None:
    subject = open_subject(good, None)
    who = candidates_of(subject, None, None, False, told=True)
    assert not isinstance(who, str) and who.fair and subject.own is not None
    assert who.positions is not None and who.population is not None
    assert len(who.positions) == 90 and 5 <= len(who.population) <= 25
    assert not set(who.positions) & set(who.population)
    everyone = np.concatenate([who.positions, who.population])
    encoded = subject.own.pool.take(everyone)
    signals = signals_on(subject, encoded, everyone, len(who.population), Means(shadows=2))
    held = np.hstack([signals.candidates.shadow_members, signals.population.shadow_members])  # type: ignore[union-attr]
    coin = flips(subject.own.pool.documents, numpy_rng(subject.config.seed, "shadow pair", 0))
    assert held[0].any() and not (held[0] & ~coin[everyone]).any()
    assert held[1].any() and not (held[1] & coin[everyone]).any()


def test_an_interrupted_training_is_no_violation(tmp_path: Path) -> None:
    """Noise is calibrated for all rounds, costs are those of the rounds that were run."""
    (tmp_path / "training.toml").write_text(
        TRAINING.replace("norm = 4.0, noise_multiplier = 0.5", "norm = 4.0, target_epsilon = 50.0")
    )
    settings = read_training(tmp_path / "training.toml", pretraining=False)

    def killed(round_: int, *_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(settings, tmp_path / "out", 1, killed)
    subject = open_subject(tmp_path / "out" / "checkpoint", None)
    assert subject.checkpoint is not None and subject.checkpoint.manifest["round"] == 1
    assert mismatches(subject) == []


def test_a_reference_model_is_compared_with(foreign, tmp_path: Path, run) -> None:
    """With the target itself as reference every ratio is 1, and nobody is told apart."""
    model, ins, outs = foreign
    files = ("--members", ins, "--non-members", outs)
    code, _, errors = run(model, *files, "--reference", model, "--out", tmp_path / "card")
    assert (code, errors) == (0, [])
    measured = json.loads((tmp_path / "card" / "audit.json").read_text())["measured"]
    (ratio,) = [m for m in measured if m["attack"] == "reference ratio" and m["metric"] == "auc"]
    assert ratio["estimate"]["value"] == 0.5
    code, _, errors = run(model, *files, "--reference", tmp_path)
    assert code == 2 and "expected a model with a config.json" in errors[0]
    code, _, errors = run(model, *files, "--shadows", "2")
    assert code == 2 and "expected --shadows where the training can be done again" in errors[0]
    code, _, errors = run(model, *files, "--task", "mlm")
    assert code == 2 and "ForMaskedLM" in errors[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--self-test"], "expected `fedbert-eval audit self-test`, got --self-test"),
        (["x", "--plan"], "expected `fedbert-eval audit plan`, got --plan"),
        (["plan", "--epsilon", "-1", "--delta", "1e-5"], "a finite epsilon > 0"),
        (["plan", "--epsilon", "1", "--delta", "1e-5", "--steps", "9"], "both or none"),
        (["plan", "--epsilon", "1", "--delta", "1e-5", "--label-epsilon", "1"], "< epsilon (1)"),
        (["run", "x", "--claim", "eight"], "expected EPSILON,DELTA"),
        (["x", "--claim", "eight"], "expected EPSILON,DELTA"),
        (["x", "--max-auc", "2"], "0 <= max_auc <= 1"),
        (["x", "--shadows", "3"], "expected shadows in pairs"),
        (["x", "--shadows", "2", "--reference", "y"], "got both"),
    ],
)
def test_bad_options_are_one_line(
    arguments: list[str], expected: str, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, errors = run(*arguments)
    assert code == 2 and len(errors) == 1 and expected in errors[0]


def test_plan_and_self_test_print_tables(run) -> None:
    code, told, _ = run("plan", "--epsilon", "1", "--delta", "1e-5")
    assert code == 0 and "one run, Gaussian trade-off" in told and "| 10 |" in told
    code, told, _ = run("plan", "--epsilon", "3", "--delta", "1e-5", "--label-epsilon", "1")
    assert code == 0 and "a message with its label" in told and "one run, Gaussian" not in told
    code, told, _ = run("self-test", "--repeats", "10")
    assert code == 0 and "69 rows, 10 repeats" in told
    assert "9 rows, 10 repeats, looked at 10 times" in told and "bets are valid here" in told


def test_help_names_the_three_commands_and_the_exit_codes(run) -> None:
    code, told, _ = run("--help")
    assert code == 0 and all(f"\n  {name} " in told for name in ("run", "plan", "self-test"))
    assert "3: an audit: too weak to say." in " ".join(told.split())


def test_without_a_command_run_is_meant_with_all_its_options(run) -> None:
    """Options may stand before the checkpoint; a directory named as a command is told by ./."""
    for arguments in (["--max-auc", "0.6", "x"], ["x", "--max-auc", "0.6"], ["./plan"]):
        short, long = run(*arguments), run("run", *arguments)
        assert short == long and short[0] == 2
        assert "expected a checkpoint directory, got none at" in short[2][0]


def test_under_noise_that_can_be_made_again_a_claim_bounds_no_attack() -> None:
    own = Allowed("release", "record", ((0.0, 0.0), (0.01, 0.2), (1.0, 1.0)), 0.3, "curve")
    others = (replace(own, view="peer"), replace(own, unit="user"))
    for noise, most in (("secret", 0.2), ("repeatable", None)):
        trained = SimpleNamespace(checkpoint=SimpleNamespace(config=Config(noise=noise)))
        assert allowed_tpr(trained, [own, *others]) == most
    assert allowed_tpr(SimpleNamespace(checkpoint=None), others) is None
