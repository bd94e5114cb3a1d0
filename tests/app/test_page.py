"""The page in a real browser."""

import csv
import io
import shutil
import time
import urllib.request
import zipfile

import numpy as np
import pytest

from tests.film_makers import film, picture

_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({type: "layout-shift"});
"""
_SLIDE = """
const slider = document.getElementById("threshold");
slider.value = arguments[0];
slider.dispatchEvent(new Event("input"));
"""
_COLORED = """
const {width, height} = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
let count = 0;
for (let i = 0; i < data.length; i += 4) count += data[i] === %d && data[i + 1] === %d && data[i + 2] === %d;
return count;
"""
_INFECTION, _LUNGS, _TRUTH = (230, 159, 0), (86, 180, 233), (204, 121, 167)


@pytest.fixture
def browser(tmp_path):
  webdriver = pytest.importorskip("selenium.webdriver")
  chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
  if not chromium or not driver:
    pytest.skip("there is no chromium with its driver; apt-get install chromium chromium-driver")
  options = webdriver.ChromeOptions()
  options.binary_location = chromium
  for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
    options.add_argument(argument)
  options.add_argument(f"--user-data-dir={tmp_path}/profile")
  browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
  yield browser
  browser.quit()


def _wait(condition, seconds=30):
  began = time.monotonic()
  while not condition():
    assert time.monotonic() < began + seconds
    time.sleep(0.02)


def _open(browser, address):
  browser.get(address)
  _wait(lambda: browser.execute_script("return !document.querySelector('main').inert"))
  browser.execute_script(_SHIFTS)


def _text(browser, name):
  return browser.find_element("id", name).text


def _colored(browser, color):
  return browser.execute_script("const canvas = document.getElementById('canvas');" + _COLORED % color)


def test_upload_outlines_threshold_and_zip(browser, address, tmp_path):
  _open(browser, address)
  names = ["<b>one<b>.png", "two.png", "bad.png"]
  for i, name in enumerate(names):
    (tmp_path / name).write_bytes(picture(np.roll(film(256), 20 * i, axis=1)) if name != "bad.png" else b"bad")
  browser.find_element("id", "files").send_keys("\n".join(str(tmp_path / name) for name in names))
  _wait(lambda: "2 of 3 films done" in _text(browser, "status"))
  assert "bad.png is no PNG" in _text(browser, "problems")
  assert _text(browser, "name") == names[0]
  assert len(browser.find_elements("css selector", "#gallery button")) == 2

  _wait(lambda: _colored(browser, _LUNGS) > 0)
  browser.find_element("id", "show-lungs").click()
  assert _colored(browser, _LUNGS) == 0

  numbers, outlines = [], []
  for threshold in ("0.02", "0.5"):
    before = [_text(browser, "of-film")]
    browser.execute_script(_SLIDE, threshold)
    outlines.append(_colored(browser, _INFECTION))  # At once, before any answer.
    _wait(lambda before=before: _text(browser, "of-film") not in before)
    numbers.append(_text(browser, "of-film"))
  assert outlines[0] != outlines[1] and numbers[0] != numbers[1]

  link = browser.find_element("id", "save").get_attribute("href")
  archive = zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(link).read()))
  rows = list(csv.DictReader(io.StringIO(archive.read("predictions.csv").decode())))
  assert [row["file"] for row in rows] == names[:2]
  assert f"{float(rows[0]['infected_percent_of_film']):.1f} %" == numbers[1]

  origins = browser.execute_script(
    "return performance.getEntriesByType('resource').map((e) => new URL(e.name)).filter((u) => u.protocol != 'data:')"
    ".map((u) => u.origin)"
  )
  assert set(origins) == {address}


def test_an_example_by_keyboard_without_a_shift_of_the_layout(browser, address):
  from selenium.webdriver import ActionChains
  from selenium.webdriver.common.keys import Keys

  browser.set_window_size(1600, 1300)
  _open(browser, address)
  button = browser.find_element("id", "try")
  button.send_keys(Keys.ENTER)
  _wait(lambda: "1 of 1 film done" in _text(browser, "status"))
  _wait(lambda: _colored(browser, _TRUTH) > 0)
  assert browser.execute_script("return window.shifts") < 0.02
  reached = set()
  for _ in range(30):
    ActionChains(browser).send_keys(Keys.TAB).perform()
    reached.add(browser.execute_script("return document.activeElement.id"))
  assert {"files", "example", "try", "model", "show-truth", "threshold", "save", "clear"} <= reached
  assert "infected, at threshold" in browser.find_element("id", "canvas").get_attribute("aria-label")


def test_lots_keep_their_model_and_their_problems_until_all_is_removed(browser, address, tmp_path):
  def is_kept():
    return browser.execute_script("""
      const leaving = new Event("beforeunload", {cancelable: true});
      dispatchEvent(leaving);
      return leaving.defaultPrevented;
    """)

  _open(browser, address)
  assert not is_kept()
  (tmp_path / "bad.png").write_bytes(b"bad")
  browser.find_element("id", "files").send_keys(str(tmp_path / "bad.png"))
  browser.execute_script("""
    const [button, model] = ["try", "model"].map((id) => document.getElementById(id));
    button.click();
    model.add(new Option("absent"));
    model.value = "absent";
  """)
  assert is_kept()
  _wait(lambda: "1 of 1 film done" in _text(browser, "status"))  # Not by "absent".
  assert is_kept()
  browser.find_element("id", "clear").click()
  _wait(lambda: "All films are removed" in _text(browser, "status"))
  assert not is_kept()
  assert _text(browser, "name") == "No film yet"
  assert not browser.find_elements("css selector", "[data-film]")
  browser.find_element("id", "try").click()
  _wait(lambda: "no model 'absent'" in _text(browser, "problems"))
  assert "bad.png" not in _text(browser, "problems")  # It was of the films before.


@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_is_wider_than_the_window(browser, address, width):
  browser.execute_cdp_cmd(
    "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
  )
  _open(browser, address)
  browser.find_element("id", "try").click()
  _wait(lambda: "1 of 1 film done" in _text(browser, "status"))
  assert browser.execute_script("return document.documentElement.scrollWidth") <= width
