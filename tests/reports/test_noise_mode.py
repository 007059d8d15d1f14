"""Noise that can be made again is said once beside the claims, and secret noise not at all."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from reports.compact import compact_table
from reports.noise_mode import REPEATABLE, SOME, noise_note
from reports.one_setting import to_json
from reports.page import page
from reports.records import CellResult, append_record
from reports.render import render
from reports.tables import markdown
from tests.reports.examples import grid


def made(noise: str) -> list[CellResult]:
    return [replace(each, spec={**each.spec, "noise": noise}) for each in grid()]


def test_the_sentence_goes_with_claims_of_repeatable_noise() -> None:
    again, secret = made("repeatable"), made("secret")
    assert noise_note(again) == REPEATABLE and noise_note(secret) == ""
    assert noise_note([*again, *secret]) == SOME
    silent = [each for each in again if not any(g["kind"] == "guarantee" for g in each.guarantees)]
    assert silent and noise_note(silent) == ""


def test_it_stands_once_in_every_report() -> None:
    for chosen, count in ((made("repeatable"), 1), (made("secret"), 0)):
        console = Console(file=StringIO(), width=500)
        console.print(compact_table(chosen))
        text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
        for report in (markdown(chosen), page(chosen, "t"), text):
            assert report.count("take it off") == count


def test_it_stands_beside_the_decision_for_people_and_machines_once(tmp_path: Path) -> None:
    for mode, count in (("repeatable", 1), ("secret", 0)):
        for each in made(mode):
            (tmp_path / mode).mkdir(exist_ok=True)
            append_record(tmp_path / mode / "records.jsonl", each)
        shown = render(tmp_path / mode, figures=False)
        assert shown.answer and to_json(tmp_path / mode, made(mode), shown, 0)["answer"] == list(
            shown.answer
        )
        assert list(shown.answer).count(REPEATABLE) == count
        console = Console(file=StringIO(), width=500)
        console.print(compact_table(shown.records, noted=True))
        assert "take it off" not in console.file.getvalue()  # type: ignore[attr-defined]
