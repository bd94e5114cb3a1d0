"""What tests share: small archives and datasets, and the way to the real data."""

import io
import os
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from configs import default
from covseg.drawing import figure_style
from covseg.runtime import compilation
from covseg.training import train
from input_pipeline.cxr_phantom import phantom

ROOT = pathlib.Path(__file__).parent.parent
# The longest files, first, so that none is left to one process at the end.
_LONGEST = ("test_train", "test_tour", "test_main", "test_devices", "test_evaluation_command", "test_datasets")


def pytest_configure(config):
  config.option.loadscopereorder = False  # Of pytest-xdist, which would begin with the files that have the most tests.


def pytest_collection_modifyitems(items):
  items.sort(key=lambda item: item.path.stem not in _LONGEST)


@pytest.fixture(scope="session", autouse=True)
def compilation_cache():
  compilation.set_up()


@pytest.fixture(scope="session", autouse=True)
def small_figures():
  """Draws figures at 20 dpi, which saves half a second a run."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(figure_style, "DPI", 20)
    yield


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
  """Folder of the COVID-QU-Ex archive: $COVSEG_TEST_DATA, or shared/data beside the project."""
  folder = pathlib.Path(os.environ.get("COVSEG_TEST_DATA", ROOT.parent / "shared" / "data"))
  if not list(folder.glob("*.zip")):
    pytest.skip(f"the real data is not in {folder}; name its folder with COVSEG_TEST_DATA")
  return folder


@pytest.fixture
def tiny_config(tmp_path):
  """A configuration that trains in seconds, on the films of tests/tiny_films.py."""
  return tiny_config_in(tmp_path)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> pathlib.Path:
  """Workdir of an undisturbed run of `tiny_config`; to be read only."""
  folder = tmp_path_factory.mktemp("whole")
  train.train_and_evaluate(tiny_config_in(folder), str(folder / "run"))
  return folder / "run"


@pytest.fixture(scope="session")
def recipe_run(tmp_path_factory) -> pathlib.Path:
  """Workdir of a run with two heads, averaged parameters, augmentation and a schedule; to be read only."""
  folder = tmp_path_factory.mktemp("recipe")
  config = tiny_config_in(folder)
  config.model.heads = ("infection", "lung")
  config.loss.name = "bce_dice"
  config.optimizer.name, config.optimizer.schedule = "adamw", "cosine"
  config.optimizer.ema_decay = 0.9
  config.augment.flip.probability = config.augment.rotation.probability = 0.5
  config.eval.flip = config.eval.lung_only = True
  train.train_and_evaluate(config, str(folder / "run"))
  return folder / "run"


def tiny_config_in(folder: pathlib.Path):
  config = default.get_config()
  config.dataset.name = "tests.tiny_films"
  config.dataset.data_dir = str(folder / "tfds")
  config.image_size = 32
  config.batch_size = 4
  config.num_epochs = 2
  config.model.base_features = 2
  config.eval.batch_size = 4
  return config


def png(pixels: np.ndarray) -> bytes:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format="PNG")
  return file.getvalue()


def archive_members(num_films: dict[str, int], labels=("COVID-19",)) -> dict[str, bytes]:
  """Files as in COVID-QU-Ex, {name: content}: films of each split ("Train", "Val", "Test")."""
  members = {"COVID-QU-Ex dataset.txt": b"text"}
  for split_index, (split, count) in enumerate(num_films.items()):
    for label in labels:
      for i in range(count):
        film = phantom.draw((split_index, i), infected=label == "COVID-19")
        folder = f"Infection Segmentation Data/Infection Segmentation Data/{split}/{label}"
        name = f"{label.lower().replace('-', '_')} ({split_index}{i}).png"
        members[f"{folder}/images/{name}"] = png(film.image)
        members[f"{folder}/infection masks/{name}"] = png(255 * film.infection_mask.astype("u1"))
        members[f"{folder}/lung masks/{name}"] = png(255 * film.lung_mask.astype("u1"))
  return members


def write_zip(path: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(path, "w") as file:
    for name, content in members.items():
      file.writestr(name, content)
  return path


def write_tree(root: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
  for name, content in members.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return root
