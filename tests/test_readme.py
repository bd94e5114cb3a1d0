"""What the README promises, run as it stands there."""

import re

import matplotlib
import numpy as np
from PIL import Image

from covseg.training import train
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
_PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_a_builder_of_ones_own_trains_by_configuration_alone(tiny_config, tmp_path, monkeypatch):
  (builder,) = [block for block in _PYTHON if "GeneratorBasedBuilder" in block]
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
  (command,) = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "my_films" in block]
  for field, value in re.findall(r"--config\.([\w.]+)=(\w+)", command):
    tiny_config.update_from_flattened_dict({field: value})
  tiny_config.dataset.manual_dir = "films"
  tiny_config.num_epochs = 1
  train.train_and_evaluate(tiny_config, "run")
  assert (tmp_path / "run" / "evaluation" / "test" / "metrics.json").exists()


def test_the_lines_for_a_notebook_work(whole_run, tmp_path, monkeypatch):
  (lines,) = [block for block in _PYTHON if "covseg.load" in block]
  matplotlib.use("Agg")
  monkeypatch.chdir(tmp_path)
  (tmp_path / "runs").mkdir()
  (tmp_path / "runs" / "unet").symlink_to(whole_run)
  Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (70, 1))).save("film.png")
  names = {}
  exec(lines, names)
  for name in ("mask", "probability", "lungs", "severity", "confidence", "warnings"):
    assert hasattr(names["result"], name)
  assert names["result"].mask.shape == (70, 90)


def test_every_file_it_names_exists():
  for path in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"configs/\w+\.py", README):
    assert (ROOT / path).exists(), path
