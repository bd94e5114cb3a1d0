"""The report as a browser shows it, and as it stands in the file."""

import html.parser
import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from configs import default
from covseg.evaluation import report_tables, results
from covseg.evaluation.assessment import ChosenThreshold, assess
from covseg.evaluation.predictions import Predictions
from input_pipeline.films import Films

_NAMES = ["covid_2", "covid_10", "Normal (1)", '<b>&"quoted"', "covid_1"]

# Run in the page, which must allow no other code than its own: what a user does, and what is seen then.
_SCRIPT = """
<script>
addEventListener("load", () => {
  const names = () => [...document.querySelectorAll("#films li:not([hidden])")].map(card => card.dataset.id);
  const choose = (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event("change"));
  };
  const found = { first: names(), width: document.documentElement.scrollWidth - innerWidth };
  choose("sort", "trueInfectedPercent");
  found.byArea = names();
  document.getElementById("order").click();
  found.byAreaDown = names();
  choose("sort", "id");
  document.getElementById("order").click();
  found.byName = names();
  choose("show", "Normal");
  found.normalOnly = names();
  found.status = document.getElementById("status").textContent;
  document.querySelector("#films li:not([hidden]) button").click();
  found.large = [document.getElementById("large").open, document.getElementById("large-name").textContent];
  found.broken = [...document.images].filter(i => i.getAttribute("src") && !i.naturalWidth).length;
  found.fetched = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:"));
  const said = document.createElement("pre");
  said.id = "found";
  said.textContent = JSON.stringify(found);
  document.body.append(said);
});
</script>
</body>
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  """A report on five films, and their Dice."""
  rng = np.random.default_rng(0)
  masks = np.zeros((5, 32, 32), bool)
  for i in (0, 1, 3, 4):
    masks[i, 8 : 12 + 3 * i, 6:26] = True
  probabilities = np.clip(0.6 * masks + 0.5 * rng.random(masks.shape), 0, 1).astype(np.float16)
  images = rng.integers(0, 256, masks.shape, dtype=np.uint8)
  labels = ["COVID-19", "COVID-19", "Normal", "COVID-19", "COVID-19"]
  films = Films(images, masks, masks | (rng.random(masks.shape) < 0.5), _NAMES, labels)
  predictions = Predictions(probabilities > 0.6, probabilities)
  found = assess(films, predictions, ChosenThreshold(0.4, "validation"), np.arange(5) == 0)
  folder = tmp_path_factory.mktemp("report")
  origin = results.Origin("validation", 0.6, "runs/<unet>", default.get_config(), 3)
  results.write(folder, films, predictions, found, origin, ["covid_10"])
  return folder / "report.html", found.table


class _Elements(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.found, self._open = [], []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.found.append((tag, dict(attributes)))


def test_the_file_needs_nothing_beside_it_and_every_picture_has_words(report):
  text = report[0].read_text()
  elements = _Elements(text).found
  for tag, attributes in elements:
    for name in ("src", "href"):
      assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, attributes)
    assert tag not in ("script", "link") or "src" not in attributes
  pictures = [attributes for tag, attributes in elements if tag == "img" and attributes.get("src")]
  assert len(pictures) >= 10
  assert all(picture["alt"] for picture in pictures)
  assert "url(" not in text
  assert "@import" not in text
  assert [attributes for tag, attributes in elements if tag == "html"] == [{"lang": "en"}]


def test_the_report_tells_protocols_intervals_configuration_environment_and_command(report):
  text = report[0].read_text()
  for said in (
    "mean per image over the 4 films",
    "95 % interval",
    "Deduplicated",
    "Quartile 4",
    "base_features",
  ):
    assert said in text
  for said in (
    "At threshold 0.4, chosen on validation",
    "Brier score",
    "Both lungs",
    "<pre",
    "jax: ",
    html.escape(shlex.join(["python", *sys.orig_argv[1:]])),
  ):
    assert said in text
  assert "runs/&lt;unet&gt;" in text
  assert "<unet>" not in text
  assert '<b>&"quoted' not in text


@pytest.fixture
def browser():
  command = shutil.which("chromium") or shutil.which("google-chrome")
  if command is None:
    pytest.skip("there is no chromium; apt-get install chromium")
  return command


def test_in_a_browser_the_gallery_sorts_and_nothing_is_fetched(report, browser, tmp_path):
  file, table = report
  (tmp_path / "page.html").write_text(file.read_text().replace("</body>", _SCRIPT))
  asked = []

  class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
      super().__init__(*arguments, directory=str(tmp_path))

    def log_message(self, *arguments):
      asked.append(self.path)

  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/page.html"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command = [browser, *options, "--virtual-time-budget=5000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    server.shutdown()
  (said,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
  found = json.loads(html.unescape(said))

  order = np.argsort(table["dice"], kind="stable")
  assert found["first"] == [_NAMES[i] for i in order]  # The worst first.
  by_area = [_NAMES[i] for i in np.argsort(table["true_infected_percent"], kind="stable")]
  assert found["byArea"] == by_area
  assert found["byAreaDown"] == by_area[::-1]
  assert [name for name in found["byName"] if name.startswith("covid")] == ["covid_1", "covid_2", "covid_10"]
  assert found["normalOnly"] == ["Normal (1)"]
  assert found["status"] == "1 films"
  assert found["large"] == [True, "Normal (1)"]
  assert found["broken"] == 0
  assert found["width"] <= 0  # No sideways scrolling of the whole page.
  assert found["fetched"] == []
  assert asked == ["/page.html"]


def test_it_says_where_each_film_has_a_threshold_of_its_own():
  means = {"num_images": 2, "dice": 0.5, "intervals": {"dice": (0.4, 0.6)}}
  summary = {"eval": {"own_threshold": True}, "threshold": 0.5, "per_image": means}
  assert "at threshold 0.5 (0.5 is each film's own)" in report_tables.headline(summary)
  assert "at threshold 0.5.</p>" in report_tables.headline({**summary, "eval": {"own_threshold": False}})
