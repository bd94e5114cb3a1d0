"""What the README promises, run as it stands there."""

import functools
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from covseg.commands import COMMANDS
from covseg.prediction import predictor
from covseg.training import train
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
DATASETS = (ROOT / "docs" / "dataset.md").read_text()
PAGES = [
  page
  for folder in (".", "docs", "benchmarks", "covseg/trained/released")
  for page in sorted((ROOT / folder).glob("*.md"))
]


def _blocks(page, language):
  return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_a_builder_of_ones_own_trains_by_configuration_alone(tiny_config, tmp_path, monkeypatch):
  (builder,) = [block for block in _blocks(DATASETS, "python") if "GeneratorBasedBuilder" in block]
  assert len(builder.strip().splitlines()) <= 25
  (tmp_path / "my_films.py").write_text(builder)
  rng = np.random.default_rng(0)
  for split, count in {"train": 5, "validation": 2, "test": 3}.items():
    for i in range(count):
      size = rng.integers(30, 90, 2)  # Films of any size.
      film = rng.integers(0, 256, size, dtype=np.uint8)
      for name, pixels in {"images": film, "masks": np.uint8(255 * (film > 128))}.items():
        path = tmp_path / "films" / split / name / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

  monkeypatch.chdir(tmp_path)
  (command,) = [block for block in _blocks(DATASETS, "sh") if "my_films" in block]
  for field, value in re.findall(r"--config\.([\w.]+)=(\w+)", command):
    tiny_config.update_from_flattened_dict({field: value})
  tiny_config.dataset.manual_dir = "films"
  tiny_config.num_epochs = 1
  train.train_and_evaluate(tiny_config, "run")
  assert (tmp_path / "run" / "evaluation" / "test" / "metrics.json").exists()


def test_the_lines_for_a_notebook_work(whole_run, tmp_path, monkeypatch):
  (lines,) = [block for block in _blocks(README, "python") if "covseg.load" in block]
  matplotlib.use("Agg")
  monkeypatch.chdir(tmp_path)
  load = functools.partial(predictor.load, str(whole_run))
  monkeypatch.setattr(predictor, "load", load)  # A small model in place of the one that ships.
  Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (70, 1))).save("film.png")
  names = {}
  exec(lines, names)
  for name in ("mask", "probability", "lungs", "severity", "confidence", "warnings"):
    assert hasattr(names["result"], name)
  assert names["result"].mask.shape == (70, 90)


def test_the_dataset_is_a_plain_tfds_dataset(real_data, tmp_path, monkeypatch):
  (lines,) = [block for block in _blocks(DATASETS, "python") if "tfds.data_source" in block]
  assert len([line for line in lines.splitlines() if line]) == 5
  names = {}
  exec(
    lines.replace("FOLDER", str(real_data)).replace(
      '"covid_qu_ex/covid",', f'"covid_qu_ex/covid", data_dir={str(tmp_path)!r},'
    ),
    names,
  )
  assert len(names["films"]) == 1864
  assert names["films"][0]["infection_mask"].shape == (256, 256, 1)


def _sections(page):
  """What links call the sections of a page, as GitHub does."""
  titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
  return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_section_and_command_that_a_page_names_exists(page):
  text = page.read_text()
  for path, section in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
    target = page.parent / path if path else page
    assert target.exists(), path
    assert not section or section in _sections(target), f"{path}#{section}"
  for path in re.findall(r"configs/[\w/]+\.py", text):
    assert (ROOT / path).exists(), path
  for command in re.findall(r"python -m covseg ([\w-]+)", text):
    assert command in COMMANDS, command


def test_the_readme_is_short():
  assert len(README.splitlines()) <= 120
