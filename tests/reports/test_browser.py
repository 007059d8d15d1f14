"""The page and the card in a real Chromium: what a reader can do there, and what nobody can."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.card.content import CONSISTENT, VIOLATES, Card, Check
from reports.card.files import as_html
from reports.estimate import Estimate
from reports.leak import Leak
from reports.page import Picture, Shown, page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra dev: playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra dev")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOSTILE = '"><img src=x onerror="window.broken=1"><script>window.broken=1</script>'
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
BAD = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the module; skipped where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with sync_api.sync_playwright() as play:
        if path is None and Path(play.chromium.executable_path).is_file():
            path = play.chromium.executable_path
        if path is None:
            pytest.skip(f"no Chromium at hand: looked for {', '.join(NAMES)}")
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(examples: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of five settings, one of which holds hostile text, and two that went wrong."""
    records = [examples.failed(text=HOSTILE)]
    records += [examples.done(defence=k) for k in (0, 2, 4, 6)]
    evil = examples.done(defence=5)
    leakage = tuple(replace(each, attack=HOSTILE) for each in evil.leakage)
    labels = {**evil.labels, "defence": HOSTILE}
    records.append(replace(evil, labels=labels, leakage=leakage, doubts=[HOSTILE]))
    records.append(examples.skipped())
    picture = Picture(HOSTILE, PIXEL, HOSTILE, task="sst2")
    text = page(records, f"a run {HOSTILE}", [picture], Shown({"name": HOSTILE}))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text)
    return path.as_uri()


class Opened:
    """A page that was opened, and all that it asked for or complained about."""

    def __init__(self, browser: Any, address: str, clock: bool = False, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.failed: dict[str, str] = {}
        self.said: list[str] = []
        self.page.on("request", lambda each: self.requests.append(each.url))
        self.page.on("requestfailed", lambda each: self.failed.update({each.url: each.failure}))
        self.page.on("console", lambda each: self.said.append(each.text))
        self.page.on("pageerror", lambda each: self.said.append(str(each)))
        self.page.on("dialog", lambda each: (self.said.append("a dialog"), each.dismiss()))
        if clock:
            self.page.clock.install()
        self.page.goto(address)

    def names(self) -> list[str]:
        """The first words of every row that can be seen, in their order."""
        rows = self.page.locator("#settings tbody tr:visible th")
        return [each.split("\n")[0] for each in rows.all_inner_texts()]

    def axe(self) -> list[str]:
        """The serious findings of axe-core."""
        found = axe.Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {each['nodes']}" for each in found if each["impact"] in BAD]


@pytest.fixture(scope="module")
def wide(browser: Any, address: str) -> Opened:
    return Opened(browser, address, viewport={"width": 1280, "height": 900})


def test_nothing_is_asked_for_and_hostile_text_stays_text(wide: Opened, address: str) -> None:
    others = [each for each in wide.requests if not each.startswith("data:image/png;base64,")]
    assert others == [address] and wide.said == []
    assert wide.page.evaluate("window.broken === undefined && document.scripts.length === 1")
    assert HOSTILE.split("<")[0] + "<img" in wide.page.inner_text("#settings")
    assert wide.page.locator('img[src="x"]').count() == 0


def test_the_policy_holds_in_the_browser(browser: Any, address: str) -> None:
    opened = Opened(browser, address)
    seen = opened.page.evaluate(
        """async () => {
          const broken = [];
          addEventListener("securitypolicyviolation", (e) => broken.push(e.effectiveDirective));
          const add = (name, fill) => {
            const element = document.createElement(name);
            fill(element); document.body.append(element);
          };
          add("script", (it) => { it.textContent = "window.broken = 1"; });
          add("style", (it) => { it.textContent = "body { display: none }"; });
          add("img", (it) => { it.src = "https://example.invalid/x.png"; });
          try { await fetch("https://example.invalid/"); } catch (error) { /* as it should */ }
          await new Promise((done) => setTimeout(done, 50));
          return [broken, window.broken, getComputedStyle(document.body).display];
        }"""
    )
    kinds = {each.split("-")[0] for each in seen[0]}
    assert {"script", "style", "img", "connect"} <= kinds
    assert seen[1] is None and seen[2] == "block"
    others = [each for each in opened.requests if "example.invalid" in each]
    assert {opened.failed[each] for each in others} <= {"csp"}


def test_the_table_sorts_and_comes_back_to_the_grids_order(wide: Opened) -> None:
    first = wide.names()
    head = wide.page.get_by_role("columnheader", name="Utility")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rising = wide.names()
    assert sorted(rising) == sorted(first) and rising != first and rising[-3] == "none"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert wide.names()[0] == "none"
    assert rising[-2:] == wide.names()[-2:] == [first[0], first[-1]]  # not measured: always last
    wide.page.get_by_label("Order").select_option("by forward view: guaranteed")
    assert wide.names()[0] == "gaussian token, eps 2"
    wide.page.get_by_role("button", name="Turn round").click()
    assert wide.names()[0] != "gaussian token, eps 2"
    wide.page.get_by_label("Order").select_option("of the grid")
    assert wide.names() == first


def test_the_table_is_filtered_by_words_and_says_how_many_are_left(wide: Opened) -> None:
    every = len(wide.names())
    field = wide.page.get_by_label("Filter")
    field.fill("GAUSSIAN  token eps")
    found = [f"gaussian token, eps {each}" for each in (1, 16, 2)]
    assert wide.names() == found
    assert wide.page.inner_text("output") == f"3 of {every} settings"
    field.fill("no such words")
    assert wide.names() == []
    field.fill("")
    assert len(wide.names()) == every


def test_all_can_be_done_by_keys(browser: Any, address: str) -> None:
    opened = Opened(browser, address)
    tab = opened.page
    tab.get_by_label("Filter").focus()
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.closest('th') !== null"):
            break
    tab.keyboard.press("Enter")
    assert tab.locator("th[aria-sort]").inner_text().startswith("Setting")
    fold = tab.locator("summary", has_text="The answer for each view by itself")
    inside = tab.locator("details", has=fold).locator("li").first
    assert not inside.is_visible()
    fold.focus()
    tab.keyboard.press("Enter")
    assert inside.is_visible() and "forward view" in inside.inner_text()
    hint = tab.get_by_role("button", name="What epsilon means")
    hint.focus()
    tab.keyboard.press("Enter")
    meaning = tab.locator(".meaning:popover-open")
    assert meaning.inner_text().startswith("epsilon: how far any outcome")
    tab.keyboard.press("Escape")
    assert meaning.count() == 0 and opened.said == []


def test_what_was_filtered_and_sorted_outlives_a_page_written_anew(
    browser: Any, examples: Any, tmp_path: Path
) -> None:
    records = [examples.done(defence=k) for k in (0, 2, 4)]
    path = tmp_path / "report.html"
    path.write_text(page(records[:2], "live", (), Shown(going=True)))
    opened = Opened(browser, path.as_uri(), clock=True)
    opened.page.get_by_label("Filter").fill("gaussian")
    path.write_text(page(records, "live", (), Shown(going=True)))
    opened.page.get_by_role("button", name="Stop looking for news").click()
    opened.page.clock.run_for(21_000)
    assert opened.page.inner_text("output") == "1 of 2 settings"
    opened.page.get_by_role("button", name="Look for news again").click()
    with opened.page.expect_navigation():
        opened.page.clock.run_for(21_000)
    assert opened.page.inner_text("output") == "2 of 3 settings"
    assert opened.axe() == [] and opened.said == []


def test_without_script_everything_is_there(browser: Any, address: str, wide: Opened) -> None:
    plain = Opened(browser, address, java_script_enabled=False)
    assert plain.page.locator("#settings tbody tr").count() == len(wide.names())
    assert plain.page.locator("#settings button").count() == 0
    assert plain.page.get_by_role("heading", name="May I ship?").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling_and_axe_finds_nothing(
    browser: Any, address: str, scheme: str, wide: Opened
) -> None:
    size = {"width": 390, "height": 800}
    phone = Opened(browser, address, viewport=size, color_scheme=scheme)
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    label = phone.page.locator("#settings td[data-label]").first
    assert label.evaluate("(it) => getComputedStyle(it, '::before').content").startswith('"Decis')
    assert phone.axe() == []
    wide.page.emulate_media(color_scheme=scheme)
    dark = wide.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(15, 20, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
    wide.page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert wide.page.evaluate("document.documentElement.scrollWidth") == 1280
    assert wide.axe() == []


def test_print_is_black_on_white_without_tools(wide: Opened) -> None:
    wide.page.emulate_media(media="print", color_scheme="dark")
    ink = wide.page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(0, 0, 0)"
    assert (
        not wide.page.locator("#tools").is_visible() and not wide.page.locator("nav").is_visible()
    )
    assert wide.page.locator("#settings tbody tr").first.is_visible()
    wide.page.emulate_media(media="screen", color_scheme="light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_card_on_a_phone(browser: Any, scheme: str, tmp_path: Path) -> None:
    leak = Leak("forward", HOSTILE, "inversion", "token_accuracy", Estimate(0.4, 0.3, 0.5, n=9),
                "token", 0.1)  # fmt: skip
    checks = (Check("a claim about records", VIOLATES, HOSTILE), Check("noise", CONSISTENT, "d"))
    path = tmp_path / "audit.html"
    path.write_text(as_html(Card({"name": HOSTILE}, ("a claim",), checks, (leak,))))
    card = Opened(browser, path.as_uri(), viewport={"width": 390, "height": 800},
                  color_scheme=scheme)  # fmt: skip
    assert card.page.evaluate("document.documentElement.scrollWidth") == 390
    assert card.page.evaluate("window.broken === undefined") and card.requests == [path.as_uri()]
    assert card.axe() == [] and card.said == []
