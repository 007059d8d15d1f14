"""Figure beside a decision: of many settings those that matter, and a word on all others."""

from reports.beside import MOST, SHOWN, beside
from reports.drawn import Drawn
from reports.page import decisions
from tests.reports.decided import BARE, cell


def test_of_many_settings_those_that_matter_are_drawn_and_the_rest_is_counted(
    tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "reports.drawing.screen.png", lambda data, *_, **__: drawn.append(data) or b"png"
    )
    good = [cell("good", 0.89, 0.045, level=f"n={n}") for n in range(5)]
    poor = [cell("poor", 0.60, 0.5 + 0.001 * n, level=f"n={n}") for n in range(MOST)]
    records = [BARE, *good, *poor]
    (made,) = decisions(records)
    pictures = beside([made], Drawn(tmp_path), str)
    (data,) = drawn
    labels = {spot.label for spot in data.spots}
    assert "none" in labels and {f"good, n={n}" for n in range(5)} <= labels
    assert len(data.spots) <= SHOWN and data.left == len(records) - len(data.spots) > 0
    lowest = min(spot.leakage[0] for spot in data.spots)
    assert data.line[0][0] == lowest  # the frontier is of all
    (picture,) = pictures.values()
    assert f"{data.left:,} further settings are not drawn" in picture.alt
    drawn.clear()
    few = [BARE, *good, *poor[: MOST - 6]]
    beside(decisions(few), Drawn(tmp_path / "few"), str)
    assert drawn[0].left == 0 and len(drawn[0].spots) == len(few)
