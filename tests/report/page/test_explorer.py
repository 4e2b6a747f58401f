"""The page to look around in, in a real browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from sc2bench.records import load_records, read_record
from sc2bench.report import explorer_page
from sc2bench.report.figures.style import first_records, looks
from sc2bench.report.tables.points import curves
from tests import EMBEDDED

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1400,1000",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Names that would end the script, be taken for a place of the template, or for HTML.
NASTY = "</script><b>& /* script */ 'x' \u2028"


@pytest.fixture(scope="module")
def records():
    """The committed records of three methods, and no column of curves; one has a cost that is not known."""
    folder = EMBEDDED / "image_classification"
    frame = load_records(folder).query("method in ['input_codec', 'channel_reduction', 'teacher']")
    frame = frame.reset_index(drop=True)
    frame.loc[0, "device_macs"] = None
    frame.loc[0, "teacher"] = NASTY
    return frame


@pytest.fixture(scope="module")
def browser(tmp_path_factory, records) -> Iterator[webdriver.Chrome]:
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    assert all(programs), "this test needs Chromium and its driver: apt-get install chromium chromium-driver"
    folder = tmp_path_factory.mktemp("page")
    page = folder / "explorer.html"
    page.write_text(explorer_page(records, NASTY, "top1"), encoding="utf-8")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.binary_location = str(programs[0])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(programs[1])))
    driver.get(page.as_uri())
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def _fresh(browser) -> None:
    browser.refresh()


def points(browser) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, "#plot .point")


def places(browser) -> list[str]:
    return [point.get_attribute("transform") for point in points(browser)]


def shown(browser, name: str) -> str:
    return browser.find_element(By.ID, name).text


def choose(browser, name: str, value: str) -> None:
    Select(browser.find_element(By.ID, name)).select_by_value(value)


def centre(browser, curve: str, index: int) -> WebElement:
    return browser.find_elements(By.CSS_SELECTOR, f"[data-curve^='{curve}'] .point")[index]


def test_every_record_is_a_point_in_its_look(browser, records):
    assert len(points(browser)) == len(records)
    assert browser.title.startswith("</script><b>& /* script */ 'x'")
    count = records.groupby(["method", "codec", "teacher"], dropna=False).ngroups
    assert shown(browser, "count") == f"{len(records)} points, {count} curves"
    named = records.assign(curve=records["codec"].fillna("cr"))
    first = first_records(curves(named))
    colours = {label: look.colour for label, look in looks(first, [first]).items()}
    for codec in ("webp", "avif", "jpeg_xl"):
        group = browser.find_element(By.CSS_SELECTOR, f"[data-curve='input_codec, {codec}, fashion_resnet']")
        assert colours[codec] in group.get_attribute("style").upper()
        # Its points are joined by one line.
        assert len(group.find_elements(By.CLASS_NAME, "line")) == 1


@pytest.mark.slow
def test_axes_can_be_chosen(browser, records):
    before = places(browser)
    choose(browser, "x", "device_macs")
    assert "Device MACs" in shown(browser, "plot")
    # One cost is not known; all others have a place, those of zero left of the first tick.
    assert len(points(browser)) == len(records) - 1
    assert f"{len(records) - 1} of {len(records)} points" in shown(browser, "count")
    assert set(places(browser)).isdisjoint(before)
    ticks = browser.find_elements(By.CSS_SELECTOR, "#plot .x-tick")
    zero = next(tick for tick in ticks if tick.text == "0")
    assert zero.rect["x"] == min(tick.rect["x"] for tick in ticks)
    webp = centre(browser, "input_codec, webp", 0).rect
    assert webp["x"] + webp["width"] / 2 == pytest.approx(zero.rect["x"] + zero.rect["width"] / 2, abs=2)
    logarithmic = places(browser)
    browser.find_element(By.ID, "x-log").click()
    assert places(browser) != logarithmic


def test_filters_hide_what_they_name(browser, records):
    browser.find_element(By.CSS_SELECTOR, "#methods input[value='input_codec']").click()
    left = (records["method"] != "input_codec").sum()
    assert len(points(browser)) == left
    browser.find_element(By.CSS_SELECTOR, "#curves input[value='channel_reduction, fashion_resnet']").click()
    assert (
        len(points(browser))
        == left - (records["method"].eq("channel_reduction") & records.index.to_series().gt(0)).sum()
    )
    assert browser.find_element(By.ID, "tasks").is_displayed() is False


def test_a_click_shows_the_record_as_it_is_in_its_file(browser, records):
    first = records.query("codec == 'avif'").sort_values("bytes_mean").iloc[0]
    assert not browser.find_element(By.ID, "panel").is_displayed()
    centre(browser, "input_codec, avif", 0).click()
    assert json.loads(shown(browser, "json")) == read_record(Path(first["path"]))
    assert shown(browser, "panel-title") == f"input_codec, avif, fashion_resnet, quality {first['rate']:g}"
    browser.find_element(By.ID, "close").click()
    assert not browser.find_element(By.ID, "panel").is_displayed()


def test_pointing_shows_the_main_numbers(browser, records):
    first = records.query("codec == 'avif'").sort_values("bytes_mean").iloc[0]
    ActionChains(browser).move_to_element(centre(browser, "input_codec, avif", 0)).perform()
    lines = shown(browser, "tip").splitlines()
    assert lines[0] == "input_codec, avif, fashion_resnet"
    numbers = dict(zip(lines[1::2], lines[2::2], strict=True))
    assert float(numbers["Bytes"]) == pytest.approx(first["bytes_mean"], rel=1e-4)
    assert float(numbers["Top-1 [%]"]) == pytest.approx(first["top1"], rel=1e-4)
    assert numbers["Device MACs"] == "0"
    ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert not browser.find_element(By.ID, "tip").is_displayed()


@pytest.mark.slow
def test_the_keyboard_reaches_every_point(browser, records):
    # One stop of the tabulator, behind the controls; arrows go on.
    area = browser.find_element(By.ID, "area")
    area.send_keys(Keys.TAB)
    seen = set()
    for _ in range(len(records)):
        focused = browser.switch_to.active_element
        seen.add(focused.get_attribute("aria-label"))
        focused.send_keys(Keys.ARROW_RIGHT)
    assert len(seen) == len(records)
    assert browser.find_element(By.ID, "tip").is_displayed()
    focused = browser.switch_to.active_element
    focused.send_keys(Keys.ENTER)
    assert browser.find_element(By.ID, "panel").is_displayed()
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.find_element(By.ID, "panel").is_displayed()
    assert browser.switch_to.active_element == focused


def test_dragging_enlarges(browser, records):
    ground = browser.find_element(By.CSS_SELECTOR, "#plot .ground")
    width, height = ground.rect["width"], ground.rect["height"]
    actions = ActionChains(browser).move_to_element_with_offset(ground, int(-width * 0.4), int(-height * 0.49))
    actions.click_and_hold().move_by_offset(int(width * 0.3), int(height * 0.4)).release().perform()
    assert 0 < len(points(browser)) < len(records)
    browser.find_element(By.ID, "whole").click()
    assert len(points(browser)) == len(records)


def test_no_errors_and_no_network(browser):
    choose(browser, "area", "device_macs")
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    # The browser's own first tab is left out.
    asked = {request["request"]["url"] for request in sent if request["documentURL"] == browser.current_url}
    assert {url for url in asked if not url.startswith("data:")} == {browser.current_url}


def test_dark_ground_where_the_reader_prefers_it(browser):
    page, point = browser.find_element(By.TAG_NAME, "html"), centre(browser, "input_codec, heic", 0)
    colours = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        colours.append([page.value_of_css_property("background-color"), point.value_of_css_property("fill")])
    assert colours[0] == ["rgba(255, 255, 255, 1)", "rgb(0, 0, 0)"]
    assert colours[1][0] == "rgba(20, 22, 26, 1)"
    # Black is lifted to where it is seen.
    assert colours[1][1].startswith("oklch(0.55 ")
