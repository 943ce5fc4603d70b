"""The page in a real browser: sort, filter, hover, samples, dialogs; nothing asked of a network."""

from __future__ import annotations

import shutil

import pytest
from fake_records import EVIL, fake

from ldmbench.report import render

pytestmark = pytest.mark.slow
PATIENCE = 120_000
"""Milliseconds: a busy machine is no failure."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # without --disable-gpu chromium, where there is none, now and then stops drawing for good
        args = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        browser.close()


class Visit:
    """A page that was opened, and everything it complained about or asked for."""

    def __init__(self, browser, path, **options) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, **options)
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on(
            "console",
            lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None,
        )
        self.page.on("dialog", lambda d: self.errors.append(f"dialog {d.message}"))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.getElementById('count').textContent")

    def walk(self) -> None:
        """Scroll through the whole page, so that everything is drawn."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for y in range(0, height + 900, 600):
            self.page.evaluate(f"window.scrollTo({{top: {y}, behavior: 'instant'}})")
            self.page.wait_for_timeout(120)
        for chart in self.page.locator("[data-chart]").all():
            chart.evaluate("e => e.scrollIntoView({behavior: 'instant', block: 'center'})")
            chart.locator("svg").first.wait_for(state="attached")

    def clean(self) -> None:
        outside = [u for u in self.requests if not u.startswith(("file:", "data:", "blob:"))]
        assert self.errors == []
        assert outside == []
        assert sum(u.startswith("file:") for u in self.requests) == 1


def _page(tmp_path_factory, name, **options):
    folder = tmp_path_factory.mktemp(name)
    path = folder / "report.html"
    path.write_text(render(*fake(folder, **options), folder=folder, format="html"))
    return path


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return _page(tmp_path_factory, "sweep", failed=(32,))


@pytest.fixture
def visit(browser, sweep):
    visit = Visit(browser, sweep)
    yield visit
    visit.clean()
    visit.page.close()


def _column(page, heading):
    heads = page.eval_on_selector_all("#table thead th", "ths => ths.map(t => t.textContent)")
    place = next(i for i, h in enumerate(heads) if h.startswith(heading)) + 1
    return page.eval_on_selector_all(
        f"#table tbody tr:not([hidden]) > :nth-child({place})",
        "tds => tds.map(t => t.dataset.v === undefined ? t.textContent : Number(t.dataset.v))",
    )


def test_headings_sort_with_the_keyboard(visit):
    page = visit.page
    button = page.get_by_role("button", name="FID ↓").first
    button.focus()
    page.keyboard.press("Enter")
    values = [v for v in _column(page, "FID") if not isinstance(v, str)]
    assert values == sorted(values)
    assert isinstance(_column(page, "FID")[-1], str)
    assert button.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    values = [v for v in _column(page, "FID") if not isinstance(v, str)]
    assert values == sorted(values, reverse=True)
    page.get_by_role("button", name="Throughput").first.click()
    values = [v for v in _column(page, "Throughput") if not isinstance(v, str)]
    assert values == sorted(values, reverse=True)


def test_filters_reach_table_and_figures(visit):
    page = visit.page
    visit.walk()
    page.locator('[data-filter="dataset"][data-value="shapes"]').click()
    page.locator('[data-filter="series"][data-value="ldm[f=4]"]').click()
    assert page.locator("#count").text_content() == "5 of 60 cells"
    assert set(_column(page, "Dataset")) == {"shapes"}
    page.wait_for_timeout(300)
    marks = page.locator("#figure-quality_throughput .mark-symbol.role-mark path")
    assert marks.count() == 5
    page.locator('[data-filter="steps"][data-value="50"]').click()
    assert page.locator("#count").text_content() == "1 of 60 cells"
    page.locator("#reset").click()
    assert page.locator("#count").text_content() == "60 cells"
    page.locator("#search").fill("f=32]/shapes_fine")
    assert page.locator("#count").text_content() == "5 of 60 cells"


def test_columns_come_and_go(visit):
    page = visit.page
    cost = page.locator("#table thead th.g-training").first
    assert not cost.is_visible()
    page.locator('[data-group="training"]').click()
    assert cost.is_visible()


def test_hover_links_points_and_rows(visit):
    page = visit.page
    figure = page.locator("#figure-quality_throughput")
    figure.scroll_into_view_if_needed()
    figure.locator("svg").wait_for()
    figure.locator(".mark-symbol.role-mark path").nth(3).hover(force=True)
    page.wait_for_selector("#table tr.lit", state="attached")
    assert page.locator("#table tr.lit").count() == 1


def test_a_cell_says_how_its_numbers_were_made(visit):
    page = visit.page
    page.locator("#table tbody tr th .link").nth(2).click()
    text = page.locator("#detail").inner_text()
    for part in ("feat:shapes-net@6726825d", "ref:shapes-reference@a1b2c3d4", "Keys of the stages",
                 "torch", "2.15.0", "x86_64", "bootstrap", "no energy counter"):  # fmt: skip
        assert part in text
    page.keyboard.press("Escape")
    assert not page.locator("#detail").is_visible()


def test_the_sample_browser_shows_one_seed_across_models(visit):
    page = visit.page
    page.locator("#samples").scroll_into_view_if_needed()
    page.locator("#browser .tile").first.wait_for()
    who = page.locator("#browser .who b").all_text_contents()
    assert who == ["Real images", "ldm[f=1]", "ldm[f=2]", "ldm[f=4]", "ldm[f=8]", "ldm[f=16]"]
    page.locator("#s-fixed").select_option("10")
    assert "ldm[f=32]" in page.locator("#browser .who b").all_text_contents()
    assert page.locator("#s-range").text_content() == "seeds 0–7 of 24"
    page.locator("#s-next").click()
    assert page.locator("#browser .seed").first.text_content() == "seed 8"
    tile = page.locator('#browser .tile[data-seed="9"]').nth(2)
    assert "circle" in (tile.get_attribute("aria-label") or "") or tile.get_attribute("title")
    tile.click()
    assert page.locator("#zoom figure").count() == 7
    page.keyboard.press("Escape")
    page.locator("#s-mode").select_option("steps")
    assert page.locator("#browser .who b").all_text_contents()[1:] == [
        f"{s} steps" for s in (10, 20, 50, 100, 200)
    ]


def test_figures_and_tables_can_be_taken_away(visit):
    page = visit.page
    for selector, name in (
        ('[data-save="csv"]', "downsampling_sweep.csv"),
        ('[data-save="tex"]', "downsampling_sweep.tex"),
        ('[data-figure="quality_throughput"][data-as="svg"]', "-quality_throughput.svg"),
        ('[data-figure="quality_throughput"][data-as="png"]', "-quality_throughput.png"),
    ):
        with page.expect_download() as download:
            page.locator(selector).click()
        assert download.value.suggested_filename.endswith(name)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_figure_is_drawn_in_both_themes(browser, sweep, mode):
    visit = Visit(browser, sweep, color_scheme=mode)
    visit.walk()
    assert visit.page.evaluate("document.documentElement.dataset.theme") == mode
    # waits for no frame, which a busy machine may not draw
    visit.page.locator("#theme").dispatch_event("click")
    visit.walk()
    assert visit.page.evaluate("document.documentElement.dataset.theme") != mode
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1400
    visit.clean()
    visit.page.close()


def test_hostile_names_are_inert(browser, tmp_path_factory):
    names = (*EVIL, '"><img src=x onerror=alert(1)>', "__proto__")
    path = _page(
        tmp_path_factory, "evil", models=names, downsampling=(4,), steps=(10, 50),
        datasets=("shapes",),
    )  # fmt: skip
    visit = Visit(browser, path)
    visit.walk()
    visit.page.locator("#table tbody tr th .link").first.click()
    assert EVIL[0] in visit.page.locator("#detail").inner_text()
    visit.page.keyboard.press("Escape")
    visit.page.locator(f"[data-filter='series'][data-value='{EVIL[0]}[f=4]']").click()
    assert visit.page.locator("#count").text_content() == "2 of 8 cells"
    assert visit.page.locator("img").count() == 0
    visit.clean()


def test_two_hundred_cells_are_all_shown(browser, tmp_path_factory):
    path = _page(tmp_path_factory, "big", steps=tuple(range(5, 90, 5)), side=48)
    visit = Visit(browser, path)
    assert visit.page.locator("#count").text_content() == "204 cells"
    assert visit.page.locator("#table tbody tr").count() == 204
    visit.walk()
    visit.clean()
