"""The report in a browser: Chromium and playwright, where both are installed."""

import contextlib
import json
import shutil

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import evaluate
from synergynet_tf.evaluation.report.page import write_html_report
from synergynet_tf.evaluation.report.slices import NAME
from tests.evaluation.reported_runs import HOSTILE, IDS, write_codes, write_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    reason = "the report is tried in a browser: pip install playwright"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("the report is tried in Chromium, and there is none on PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("run"))
    write_codes(run)
    return write_html_report(runs.Run(run)).as_uri()


@contextlib.contextmanager
def opened(browser, address):
    """Opens a report; whatever it says on the console or fetches is an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    noise, requests = [], []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: (noise.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    yield page
    assert noise == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    page.close()


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as page:
        yield page


def column(page, number):
    rows = page.locator("#case-table tbody tr:visible")
    return [row.locator("th, td").nth(number).inner_text() for row in rows.all()]


def test_rows_are_sorted_by_any_column(page):
    heads = page.locator("#case-table thead th")
    heads.nth(0).get_by_role("button").click()
    # Numbers within text are numbers, and what is no letter comes first.
    assert column(page, 0) == [HOSTILE, "case9", "case10", "empty", "missed"]
    assert heads.nth(0).get_attribute("aria-sort") == "ascending"
    for number in range(3, heads.count()):
        heads.nth(number).get_by_role("button").click()
        rising = [float(text) for text in column(page, number) if text != "-"]
        assert rising == sorted(rising)
        assert column(page, number)[-1] == "-"  # What is undefined comes last.
        heads.nth(number).get_by_role("button").click()
        falling = [float(text) for text in column(page, number) if text != "-"]
        assert falling == rising[::-1]
        assert column(page, number)[-1] == "-"
    assert page.locator("[aria-sort]").count() == 1


def test_rows_are_filtered_by_text_and_class(page):
    text, choice = page.locator("#case-text"), page.locator("#case-class")
    count = page.locator("#case-count")
    # In all, the case that has no class is not hidden: it is a case.
    assert column(page, 0) == list(IDS) and count.inner_text() == "5 of 5 cases"
    text.fill("CASE1")
    assert column(page, 0) == ["case10"] and count.inner_text() == "1 of 5 cases"
    text.fill("<img")
    assert column(page, 0) == [HOSTILE]
    text.fill("patient 0")
    assert column(page, 0) == ["case10", "case9"]
    text.fill("")
    assert column(page, 0) == list(IDS)
    before = column(page, 3)
    choice.select_option("lv")
    assert column(page, 2) == ["false"] * 3
    assert count.inner_text() == "3 of 5 cases"
    choice.select_option("rv")
    assert column(page, 2) == ["found", "found", "found", "missed"]
    choice.select_option("mean of classes")
    assert column(page, 3) == before


def test_no_case_of_the_only_class_is_hidden(browser, squares_run):
    evaluate.main(["--run", str(squares_run), "--report", "--workers", "0"])
    with opened(browser, (squares_run / "report.html").as_uri()) as page:
        text, count = page.locator("#case-text"), page.locator("#case-count")
        text.fill("noth")
        assert column(page, 2) == ["in neither"]
        assert count.inner_text() == "1 of 4 cases"
        text.fill("")
        assert count.inner_text() == "4 of 4 cases"


def test_the_slider_fades_and_the_toggle_hides(page):
    article = page.locator("article").first
    slider, layer = article.get_by_role("slider"), article.locator(".prediction")
    assert layer.evaluate("e => getComputedStyle(e).opacity") == "0.6"
    slider.focus()
    page.keyboard.press("Home")
    assert layer.evaluate("e => getComputedStyle(e).opacity") == "0"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert layer.evaluate("e => getComputedStyle(e).opacity") == "0.03"
    assert article.locator("output").inner_text() == "3 %"
    reference = article.locator(".reference")
    assert reference.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert not reference.is_visible()
    # The other cases are left as they are.
    assert page.locator("article .reference").nth(1).is_visible()


def test_all_can_be_done_with_the_keyboard(page):
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "() => { const e = document.activeElement;"
            "return [e.id || e.className || e.tagName, e.tagName,"
            "getComputedStyle(e).outlineStyle]; }"
        )
        if focus[1] == "BODY":
            break
        assert focus[2] != "none", focus
        reached.append(focus[1])
    assert {"A", "SUMMARY", "INPUT", "SELECT", "BUTTON"} <= set(reached)
    button = page.locator("#case-table thead button").nth(3)
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#case-table [aria-sort]").count() == 1


def test_a_code_is_marked_where_it_stands(page):
    choice, text = page.locator("#code-choice"), page.locator("#code-text")
    marked = page.locator("#code-slices .chosen")
    assert marked.count() == 3 * 10 and text.inner_text().startswith("Code 7: 62.50 %")
    choice.focus()
    page.keyboard.press("ArrowDown")
    assert marked.count() == 3 * 4
    assert "best case 4, median case 4, worst case 4" in text.inner_text()
    page.locator("#code-slices [data-code='9']").first.click()
    assert marked.count() == 3 and choice.evaluate("e => e.value") in ("2", "3")
    assert text.inner_text().startswith("Code 9: 6.25 %")


def test_a_code_of_the_shown_slices_alone_is_marked_too(browser, tmp_path):
    run = write_run(tmp_path)
    write_codes(run)
    slices = json.loads((run / NAME).read_text("utf-8"))
    slices["best"]["codes"][0][:2] = [17, 17]
    slices["worst"]["codes"][0][0] = 17
    runs.write_json(run / NAME, slices)
    with opened(browser, write_html_report(runs.Run(run)).as_uri()) as page:
        choice, text = page.locator("#code-choice"), page.locator("#code-text")
        marked = page.locator("#code-slices .chosen")
        page.locator("#code-slices [data-code='17']").first.click()
        assert marked.count() == 3 and choice.input_value() == ""
        assert text.inner_text() == (
            "Code 17 is not used on the 5 cases that were looked into. Positions here: "
            "best case 2, median case 0, worst case 1."
        )
        choice.select_option("0")
        assert text.inner_text().startswith("Code 7: 62.50 %")


def test_nothing_is_cut_off_and_nothing_moves(page):
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    place = "() => document.getElementById('case-table').getBoundingClientRect().top"
    before = page.evaluate(place)
    page.locator("#case-class").select_option("lv")
    page.locator("#case-table thead button").nth(4).click()
    page.locator("#case-text").fill("case")
    scrolled = page.evaluate("scrollY")
    assert page.evaluate(place) + scrolled == pytest.approx(before, abs=0.5)


def test_what_is_folded_is_printed(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details table").first.is_visible()
    assert not page.locator("#case-text").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, scheme):
    reason = "faults of access are looked for: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [(fault["id"], fault["help"]) for fault in found] == []
