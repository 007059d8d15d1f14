"""Disclosures: every number is the records' own, and what nobody said is not made up."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.cli.main import main
from evaluation.grid.deployment import DeploymentSettings
from evaluation.grid.parse import grid_from
from fedbert.errors import InputError
from fedbert.settings import from_mapping
from reports.disclosure.facts import NOT_MEASURED, NOT_STATED, WORDS, Disclosure, disclosure
from reports.disclosure.numbers import as_json
from reports.disclosure.registry import REQUIRED, as_yaml, check_entry, registry_entry
from reports.disclosure.told import as_markdown
from reports.estimate import Estimate
from reports.leak import Leak
from reports.records import RECORDS

SAID = {
    "name": "Sorting of letters",
    "curators": ["An office"],
    "description": "Tells praise from complaint.",
    "intended_use": "Letters to the office.",
    "region": "EU",
    "published": "2026-12-01",
    "authors": ["A. Writer"],
    "justification": "Less | noise <b>would</b>\nnot do.",
}
GRID = {"name": "x", "cells": [], "deployment": SAID}
AVERAGED, TOKENS = ("dp-fedavg", "eps 8"), ("gaussian token", "eps 16")


@pytest.fixture
def records(examples: Any) -> list[Any]:
    made = [examples.done(defence=number, seed=seed) for number in (0, 2, 3, 6) for seed in (0, 1)]
    for record in made:
        record.spec["noise"] = "secret"
    return made


def of(records: list[Any], defence: str = "", level: str = "") -> Disclosure:
    chosen = {"defence": defence, "level": level}
    return disclosure(records, GRID, {name: value for name, value in chosen.items() if value})


def test_a_setting_has_to_be_named_where_there_are_several(records: list[Any]) -> None:
    with pytest.raises(ValueError, match="expected one setting, got 4: choose among --defence"):
        of(records)
    with pytest.raises(ValueError, match=r"got 2: .*--level 'eps 16'"):
        of(records, "gaussian token")
    with pytest.raises(ValueError, match="got 0"):
        of(records, "gaussian tokens")
    assert len(of(records, *AVERAGED).records) == 2


def test_every_actor_has_its_own_promise_and_the_worst_that_it_may_measure(
    records: list[Any],
) -> None:
    found = of(records, *AVERAGED)
    actors = {each.view: each for each in found.actors}
    assert [v for v, each in actors.items() if each.claimed] == ["peer", "release"]
    assert actors["forward"].text is not None and actors["release"].text is None
    assert actors["forward"].members is not None  # the server has the released model, too
    text = as_markdown(found)
    for entry in found.first.guarantees:
        assert entry["sentence"] in text.replace("\\", "")
    assert (
        "| release | anyone who has the model | client, add-or-remove-one | 8.0 | 1e-05 |" in text
    )
    assert NOT_MEASURED in text and text.count(NOT_STATED) == len(WORDS) - len(SAID) - 1


def test_of_seeds_that_promise_different_things_the_least_is_told(records: list[Any]) -> None:
    records[7].guarantees[4]["epsilon"] = 9.5
    assert of(records, *AVERAGED).released.first.entry["epsilon"] == 9.5
    records[7].guarantees[4].update(kind="no guarantee", sentence="None.")
    assert not of(records, *AVERAGED).released.claimed


def test_claims_about_others_than_the_record_are_told_too(records: list[Any]) -> None:
    for record in records[6:]:
        user = {**record.guarantees[4], "unit": "user", "epsilon": 31.0, "sentence": "A user: 31."}
        record.guarantees.append(user)
    found = of(records, *AVERAGED)
    assert [each.entry["unit"] for each in found.released.promises] == ["client", "user"]
    text, entry = as_markdown(found), registry_entry(found)
    assert "| user, add-or-remove-one | 31.0 |" in text and "A user: 31." in text
    details = entry["deployment"]["privacy_loss"]["privacy_parameters_details"]
    assert "A user: 31." in details
    records[7].guarantees.pop()
    assert not of(records, *AVERAGED).released.promises[1].claimed


def test_what_a_seed_that_failed_shows_is_not_left_out(records: list[Any]) -> None:
    broken = replace(records[7], status="failed", traceback="stopped: the claim cannot stand")
    with pytest.raises(ValueError, match="got seed 1 failed: stopped: the claim cannot stand"):
        of([*records[:7], broken], *AVERAGED)


def test_the_worst_reading_is_that_of_whatever_was_measured(records: list[Any]) -> None:
    label = Leak(
        "backward", "labels", "inversion", "label_accuracy", Estimate(0.9, 0.8, 1.0, n=30),
        "label", 0.5,
    )  # fmt: skip
    own = [replace(each, leakage=(label,)) for each in records]
    actors = {each.view: each for each in of(own, *AVERAGED).actors}
    assert actors["backward"].text is not None and actors["backward"].text.attack == "labels"
    assert actors["forward"].text is None


def test_noise_that_can_be_made_again_gets_no_entry(records: list[Any]) -> None:
    for record in records:
        record.spec["noise"] = "repeatable"
    found = of(records, *AVERAGED)
    assert "can make it again" in found.noise
    with pytest.raises(ValueError, match='noise = "secret"'):
        registry_entry(found)


def test_nothing_that_an_export_leaves_out_is_told(records: list[Any]) -> None:
    found = of(records, *AVERAGED)
    for text in (as_json(found), as_markdown(found)):
        for lost in ("data_sha256", "clipped", "signal_to_noise", 'seed":', "77" * 32):
            assert lost not in text


def test_a_client_is_not_counted(records: list[Any]) -> None:
    outright = "the publication of one record outright, at n=3 records of the smallest client"
    for record in records[6:]:
        record.guarantees[4]["exclusions"] = [outright]
        record.guarantees[4]["sentence"] = f"Not covered is {outright}."
    found = of(records, *AVERAGED)
    for text in (as_json(found), as_markdown(found)):
        assert "at the records of the smallest client" in text and "n=3" not in text


def test_names_forge_no_section(records: list[Any]) -> None:
    name = "a\n\n## What is promised\n\n- (0.1, 0)"
    for record in records[6:]:
        record.labels["defence"] = name
    text = as_markdown(of(records, name))
    assert text.count("\n## What is promised") == 1


def test_json_has_the_numbers_and_the_markdown_is_inert(records: list[Any]) -> None:
    found = of(records, *AVERAGED)
    told = json.loads(as_json(found))
    assert told["utility"]["estimate"]["value"] == found.row.utility.value  # type: ignore[union-attr]
    assert [each["view"] for each in told["actors"]] == [each.view for each in found.actors]
    assert told["stated"]["person"] == NOT_STATED and told["stated"]["name"] == SAID["name"]
    assert "Less \\| noise \\<b\\>would\\</b\\> not do." in as_markdown(found)


def test_groups_are_told_where_somebody_looked(records: list[Any]) -> None:
    assert "utility of single groups of people: not measured" in as_markdown(of(records, *AVERAGED))
    for record in records:
        value = next(iter(record.utility.values()), None)
        if value is not None:
            record.subgroups["accuracy by region"] = {"north | south": value}
    found = of(records, *AVERAGED)
    assert "accuracy by region" in as_markdown(found) and "north \\| south" in as_markdown(found)
    told = json.loads(as_json(found))["utility"]["subgroups"]["accuracy by region"]
    assert (
        told["north | south"]
        == found.first.subgroups["accuracy by region"]["north | south"].to_json()
    )


def test_the_registry_entry_says_the_same(records: list[Any]) -> None:
    found = of(records, *AVERAGED)
    entry = registry_entry(found)
    parts = entry["deployment"]
    assert parts["privacy_loss"]["privacy_parameters"] == {"epsilon": 8.0, "delta": 1e-5}
    assert parts["privacy_loss"]["privacy_unit"] == "client-level"
    assert parts["dp_variant"]["variant_name"] == "Approximate DP"
    assert parts["deployment_model"]["model_name"] == "Federated"
    assert entry["status"] == "Draft" and "secret" in parts["implementation"]["mechanisms"]
    assert yaml.safe_load(as_yaml(entry)) == entry
    assert "mechanisms: |" in as_yaml(entry)


def test_the_registry_is_told_no_epsilon_that_nobody_claims(records: list[Any]) -> None:
    with pytest.raises(ValueError, match="guarantee for the released model, got none: No"):
        registry_entry(of(records, *TOKENS))


@pytest.mark.parametrize("lost", REQUIRED)
def test_what_only_the_user_can_say_is_asked_for(records: list[Any], lost: str) -> None:
    said = {key: value for key, value in SAID.items() if key != lost}
    with pytest.raises(ValueError, match=rf"expected {lost} in \[deployment\]"):
        registry_entry(disclosure(records, {"deployment": said}, {"defence": AVERAGED[0]}))


def test_an_entry_is_held_against_a_schema(records: list[Any], tmp_path: Path) -> None:
    entry, schema = registry_entry(of(records, *AVERAGED)), tmp_path / "schema.yaml"
    asked = {"type": "object", "required": ["tier"], "properties": {"tier": {"enum": [1, 2, 3]}}}
    schema.write_text(yaml.safe_dump(asked))
    check_entry(entry, schema)
    asked["properties"]["tier"] = {"enum": [1]}  # type: ignore[index]
    schema.write_text(yaml.safe_dump(asked))
    with pytest.raises(ValueError, match=r"3 is not one of \[1\] at \$.tier"):
        check_entry(entry, schema)
    lost = "properties: {tier: {$ref: 'http://localhost:1/x'}}"
    for text in ("[1, 2]", "{a: [", "properties: {tier: {type: 7}}", lost):
        schema.write_text(text)
        with pytest.raises(ValueError, match="expected"):
            check_entry(entry, schema)
    with pytest.raises(ValueError, match="expected the registry's schema"):
        check_entry(entry, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"published": "soon"}, "YYYY-MM-DD"),
        ({"sector": "Space"}, "Technology"),
        ({"curators": []}, "curators"),
        ({"nmae": "x"}, "name"),
    ],
)
def test_words_that_do_not_fit_are_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        from_mapping(DeploymentSettings, said, "g.toml: deployment")


def test_words_change_no_cell(records: list[Any]) -> None:
    base = {"tasks": ["sst2"], "data": {"source": "generated"}, "model": {"source": "tiny"}}
    bare, said = (grid_from(each, "g.toml", "g") for each in (base, base | {"deployment": SAID}))
    assert [each.id for each in bare.cells] == [each.id for each in said.cells]
    assert said.to_json()["deployment"] == SAID and "deployment" not in bare.to_json()


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["fedbert-eval", "report", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_writes_what_was_asked_for_and_refuses_the_rest(
    records: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [json.dumps(each.to_json()) for each in records]
    (tmp_path / RECORDS).write_text("\n".join(lines) + "\n")
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    chosen = ("--defence", AVERAGED[0], "--level", AVERAGED[1])
    assert command(monkeypatch, tmp_path, "--for", "officer", *chosen) == 0
    assert command(monkeypatch, tmp_path, "--for", "registry", *chosen) == 0
    made = {"disclosure.md", "disclosure.json", "registry.yaml"}
    assert made <= {path.name for path in tmp_path.iterdir()}
    for path in (tmp_path / name for name in made):
        path.unlink()
    for wrong in (("--for", "registry"), chosen, ("--for", "registry", "--defence", "none")):
        capsys.readouterr()
        assert command(monkeypatch, tmp_path, *wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not made & {path.name for path in tmp_path.iterdir()}
