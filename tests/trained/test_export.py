import functools
import json

import jax
import numpy as np
import pytest

from covseg import metrics
from covseg.models import levels, thresholds
from covseg.models.inference import to_network
from covseg.trained import export, trained_model
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films


@pytest.fixture(scope="module", autouse=True)
def load_once():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trained_model, "load", functools.cache(trained_model.load))
    yield


@pytest.fixture(scope="module", params=["stablehlo", "onnx"])
def written(request, whole_run, tmp_path_factory):
  """A file of each kind."""
  if request.param == "onnx":
    pytest.importorskip("jax2onnx")
  path = tmp_path_factory.mktemp("exported") / f"unet.{request.param}"
  export.run(str(whole_run), str(path))
  return path


def _read(path):
  return export.read_onnx(path) if path.suffix == ".onnx" else export.read_stablehlo(path)


def test_it_gives_the_models_probabilities_for_any_batch(whole_run, written):
  trained = trained_model.load(str(whole_run))
  images = np.random.default_rng(1).random((7, 32, 32, 1), np.float32)
  logits = _logits(trained, images)
  for count in (2, 7):
    found = np.asarray(_read(written)(images[:count])["infection"])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits[:count])), atol=1e-4)


@pytest.mark.parametrize("kind", ["stablehlo", "onnx"])
def test_mirror_images_moved_grey_levels_and_thresholds_of_films_are_in_the_file(whole_run, tmp_path, kind):
  if kind == "onnx":
    pytest.importorskip("jax2onnx")
  path = tmp_path / f"unet.{kind}"
  changes = ("eval.flip=True", "eval.match_levels=0.3", "eval.own_threshold=True")
  export.run(str(whole_run), str(path), changes)
  images = np.random.default_rng(1).random((3, 32, 32, 1), np.float32) ** 3
  trained = trained_model.load(str(whole_run), changes)
  matched = levels.match(images, 0.3)
  logits = (_logits(trained, images) + _logits(trained, matched[:, :, ::-1])[:, :, ::-1]) / 2
  own = np.asarray(thresholds.of_films(logits))
  assert (own < -0.1).any()
  np.testing.assert_allclose(np.asarray(_read(path)(images)["infection"]), 1 / (1 + np.exp(own - logits)), atol=1e-4)


def _logits(trained, images):
  apply = jax.jit(lambda images: trained.network.apply(trained.variables, images, train=False))
  return np.asarray(apply(images)["infection"])


def test_what_it_takes_is_said(written):
  if written.suffix == ".onnx":
    import onnx

    model = onnx.load(written)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "infection"]
  else:
    about = json.loads(written.with_name("unet.stablehlo.json").read_text())
  assert about["input"] == "float32 (batch, 32, 32, 1) in [0, 1]"
  assert "bone white" in about["preprocessing"]
  assert float(about["threshold"]) == 0.5


def test_another_result_is_refused_and_not_left_behind(whole_run, tmp_path, monkeypatch):
  monkeypatch.setattr(export, "read_stablehlo", lambda path: lambda x: {"infection": x})
  with pytest.raises(ValueError, match=r"differed from the model by .*, and was removed"):
    export.run(str(whole_run), str(tmp_path / "unet.stablehlo"))
  assert list(tmp_path.iterdir()) == []
  (tmp_path / "unet.stablehlo").write_bytes(b"of an earlier export")
  with pytest.raises(ValueError, match="differed"):
    export.run(str(whole_run), str(tmp_path / "unet.stablehlo"))
  assert (tmp_path / "unet.stablehlo").read_bytes() == b"of an earlier export"


def test_a_file_of_another_kind_is_refused(whole_run, tmp_path):
  with pytest.raises(ValueError, match=r"expected a file that ends in \.stablehlo or \.onnx"):
    export.run(str(whole_run), str(tmp_path / "unet.pt"))


def test_its_dice_is_the_models(whole_run, written):
  trained = trained_model.load(str(whole_run))
  config = trained.config
  films = load_films(FilmReader(datasets.prepare(config.dataset), "validation", config.dataset, 32))
  images = np.asarray(to_network(films.images))

  def dice(probabilities):
    return np.asarray(metrics.dice(np.asarray(metrics.confusion_counts(probabilities[..., 0] > 0.5, films.masks))))

  expected = dice(1 / (1 + np.exp(-_logits(trained, images))))
  np.testing.assert_array_equal(dice(np.asarray(_read(written)(images)["infection"])), expected)
