import functools
import json

import jax
import numpy as np
import pytest

from covseg import export_command, metrics, trained_model
from covseg.inference import to_network
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films, resize_image


@pytest.fixture(scope="module", autouse=True)
def load_once():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trained_model, "load", functools.cache(trained_model.load))
    yield


@pytest.fixture(scope="module")
def written(whole_run, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exported")
  export_command.run(str(whole_run), str(folder / "unet.stablehlo"))
  return folder


@pytest.fixture(scope="module")
def written_onnx(whole_run, tmp_path_factory):
  pytest.importorskip("jax2onnx")
  path = tmp_path_factory.mktemp("exported") / "unet.onnx"
  export_command.run(str(whole_run), str(path))
  return path


@pytest.mark.parametrize("kind", ["stablehlo", "onnx"])
def test_it_gives_the_models_probabilities_for_any_batch(whole_run, written, written_onnx, kind):
  read = {
    "stablehlo": lambda: export_command.read_stablehlo(written / "unet.stablehlo"),
    "onnx": lambda: export_command.read_onnx(written_onnx),
  }[kind]()
  trained = trained_model.load(str(whole_run))
  images = np.random.default_rng(1).random((7, 32, 32, 1), np.float32)
  logits = _logits(trained, images)
  for count in (2, 7):
    found = np.asarray(read(images[:count])["infection"])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits[:count])), atol=1e-4)


def _logits(trained, images):
  apply = jax.jit(lambda images: trained.network.apply(trained.variables, images, train=False))
  return np.asarray(apply(images)["infection"])


def test_what_it_takes_is_said(written, written_onnx):
  about = json.loads((written / "unet.stablehlo.json").read_text())
  assert about["input"] == "float32 (batch, 32, 32, 1) in [0, 1]"
  assert "bone white" in about["preprocessing"]
  onnx = pytest.importorskip("onnx")
  model = onnx.load(written_onnx)
  properties = {entry.key: entry.value for entry in model.metadata_props}
  assert {key: str(value) for key, value in about.items()} == properties
  assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "infection"]


def test_another_result_is_refused_and_not_left_behind(whole_run, tmp_path, monkeypatch):
  monkeypatch.setattr(export_command, "read_stablehlo", lambda path: lambda x: {"infection": x})
  with pytest.raises(ValueError, match=r"differed from the model by .*, and was removed"):
    export_command.run(str(whole_run), str(tmp_path / "unet.stablehlo"))
  assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_refused(whole_run, tmp_path):
  with pytest.raises(ValueError, match=r"expected a file that ends in \.stablehlo or \.onnx"):
    export_command.run(str(whole_run), str(tmp_path / "unet.pt"))


def test_its_dice_is_the_models(whole_run, written, written_onnx):
  trained = trained_model.load(str(whole_run))
  config = trained.config
  films = load_films(FilmReader(datasets.prepare(config.dataset), "validation", config.dataset, 32))
  images = to_network(np.stack([resize_image(image, 32) for image in films.images]))

  def dice(probabilities):
    return np.asarray(
      metrics.dice(metrics.confusion_counts(np.asarray(probabilities)[..., 0] > 0.5, films.masks))
    )

  logits = _logits(trained, images)
  for read in (
    export_command.read_stablehlo(written / "unet.stablehlo"),
    export_command.read_onnx(written_onnx),
  ):
    np.testing.assert_allclose(dice(read(np.asarray(images))["infection"]), dice(1 / (1 + np.exp(-logits))))
