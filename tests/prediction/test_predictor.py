import jax
import matplotlib
import numpy as np
import pytest
from PIL import Image

import covseg
from covseg.models.inference import to_network
from covseg.prediction.predictor import Predictor
from covseg.prediction.reading.film_files import Radiograph
from covseg.trained import trained_model
from input_pipeline.turns import Turn
from tests.film_makers import dicom, film, picture, real_films

_FILM = film(96)


@pytest.fixture(scope="module")
def model(whole_run):
  return covseg.load(str(whole_run))


class Stub:
  """A network with a lung head that can be foretold: two lungs, infected where `infection` says."""

  def __init__(self, infection):
    self._infection = infection

  def apply(self, variables, images, train):
    del variables, train
    n = images.shape[1]
    beside = np.abs(np.arange(n) - (n - 1) / 2) / n
    lungs = np.zeros((n, n))
    lungs[n // 8 : -n // 8, (beside > 0.05) & (beside < 0.4)] = 1
    lungs = np.broadcast_to(lungs[None, ..., None], images.shape)
    return {"infection": self._infection(images), "lung": 10 * jax.numpy.asarray(lungs) - 5}


def _stub(whole_run, infection):
  config = trained_model.load(str(whole_run)).config
  return Predictor(trained_model.TrainedModel("stub", config, Stub(infection), {}, 0))


@pytest.fixture(scope="module")
def with_lungs(whole_run):
  """A predictor that calls infected what is bright."""
  return _stub(whole_run, lambda images: 40 * (images - 0.5))


def test_it_is_what_the_network_says_scaled_as_in_evaluation(model):
  trained = model.trained
  small = np.asarray(Image.fromarray(_FILM).resize((32, 32), Image.Resampling.BILINEAR))
  logits = trained.network.apply(trained.variables, to_network(small[None]), train=False)["infection"]
  expected = jax.image.resize(logits[0, ..., 0], _FILM.shape, "bilinear")
  result = model.predict(_FILM)
  np.testing.assert_allclose(result.probability, jax.nn.sigmoid(expected), atol=1e-4)
  assert np.array_equal(result.mask, result.probability > 0.5)
  assert result.lungs is None and result.severity is None
  assert np.array_equal(result.film, _FILM)


def test_array_png_and_dicom_give_the_same(model, tmp_path):
  expected = model.predict(_FILM)
  for name, content in [
    ("a.png", picture(_FILM)),
    ("a.dcm", dicom(_FILM)),
    ("a.tif", picture(_FILM, "TIFF")),
  ]:
    (tmp_path / name).write_bytes(content)
    assert np.array_equal(model.predict(tmp_path / name).logits, expected.logits)
  assert model.predict(tmp_path / "a.dcm").is_dicom


def _dice(a, b):
  return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
  ("change", "back"),
  [
    (lambda f: np.rot90(f), lambda m: np.rot90(m, -1)),
    (lambda f: np.rot90(f, 2), lambda m: np.rot90(m, 2)),
    (lambda f: np.pad(f, ((0, 0), (40, 40))), lambda m: m[:, 40:-40]),
    (lambda f: np.pad(f, 20, constant_values=255), lambda m: m[20:-20, 20:-20]),
    (lambda f: np.asarray(Image.fromarray(f).resize((512, 512))), lambda m: m[::2, ::2]),
    (lambda f: np.asarray(Image.fromarray(f).resize((128, 128))), lambda m: m.repeat(2, 0).repeat(2, 1)),
  ],
  ids=["turned", "upside_down", "padded", "framed_in_white", "twice", "half"],
)
def test_changed_films_give_the_same_mask_once_mapped_back(with_lungs, real_data, change, back):
  original = real_films(real_data, 3)[0]
  expected = with_lungs.predict(original)
  found = with_lungs.predict(np.ascontiguousarray(change(original)))
  assert found.mask.shape == change(original).shape
  assert _dice(back(found.mask), expected.mask) > 0.95
  assert _dice(back(found.lungs), expected.lungs) > 0.95
  assert found.severity.percent == pytest.approx(expected.severity.percent, abs=1.5)


def test_severity_is_of_the_upright_film_and_masks_are_of_the_stored_one(whole_run):
  def right_half(images):  # On the left of the film.
    return jax.numpy.where(np.arange(images.shape[2])[:, None] < images.shape[2] / 2, 9.0, -9.0) + 0 * images

  model = _stub(whole_run, right_half)
  for mirrored in (False, True):
    framed = model.frame(Radiograph(_FILM, Turn(0, mirrored)))
    logits = {head: np.asarray(values)[0] for head, values in model.logits(framed.seen[None]).items()}
    result = model.finish(framed, logits)
    assert (result.severity.right, result.severity.left) == (100, 0)
    assert result.severity.percent == pytest.approx(50)
    left_half = result.mask[:, :48].mean(), result.mask[:, 48:].mean()
    assert left_half == ((0, 1) if mirrored else (1, 0))


def test_confidence_is_the_mean_over_what_is_called_infected(with_lungs):
  film_of_two = np.full((32, 32), 0, np.uint8)
  film_of_two[:16] = 140
  expected = 1 / (1 + np.exp(-40 * (140 / 255 - 0.5)))
  assert with_lungs.predict(film_of_two).confidence == pytest.approx(expected, abs=1e-3)
  assert with_lungs.predict(np.full((32, 32), 9, np.uint8)).confidence is None


def test_the_overlay_says_in_words_what_was_found(with_lungs, model):
  lines = with_lungs.predict(_FILM).in_words()
  assert lines[0].endswith("% of the lungs") and lines[1].startswith("Right lung") and len(lines) == 3
  assert "% of the film" in model.predict(_FILM).in_words()[0]


@pytest.mark.parametrize("size", [(5, 7), (96, 96), (3000, 300), (40, 900)])
def test_the_overlay_shows_the_outlines_and_stays_small(with_lungs, size):
  pixels = np.asarray(Image.fromarray(_FILM).resize(size[::-1]))
  result = with_lungs.predict(pixels)
  picture = result.overlay().convert("RGB")
  assert max(picture.size) < 2500
  colours = {tuple(colour) for colour in np.asarray(picture).reshape(-1, 3)}
  assert {(86, 180, 233), (230, 159, 0)} <= colours


def test_plot_draws_into_axes(model):
  matplotlib.use("Agg")
  axes = model.predict(_FILM).plot()
  assert len(axes.images) == 1


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK"])
def test_a_pil_image_is_what_it_shows(model, mode):
  grey = Image.fromarray(film())
  shown = grey.convert("RGB").quantize(256) if mode == "P" else grey.convert(mode)
  found, expected = model.predict(shown), model.predict(np.asarray(shown.convert("L")))
  assert np.abs(found.film.astype(int) - expected.film).max() <= 1


def test_a_pil_image_of_16_bits_is_what_it_shows_in_either_order_of_bytes(model, tmp_path):
  deep = (film().astype(">u2") * 257).tobytes()
  image = Image.frombytes("I;16B", film().shape[::-1], deep)
  assert np.array_equal(model.predict(image).film, film())


def test_colours_in_an_array_are_remarked_upon(model):
  colours = np.stack([film(), 255 - film(), np.roll(film(), 20, 0)], axis=-1)
  assert "is in colours" in model.predict(colours).warnings


def test_what_cannot_be_read_is_named(model, tmp_path):
  (tmp_path / "a.png").write_bytes(b"text")
  with pytest.raises(ValueError, match=r"a\.png is no PNG, .* or DICOM file"):
    model.predict(tmp_path / "a.png")
  with pytest.raises(FileNotFoundError):
    model.predict(str(tmp_path / "b.png"))
  with pytest.raises(ValueError, match="complex128"):
    model.predict(np.zeros((4, 4), complex))


def test_what_covseg_lacks_is_named():
  with pytest.raises(AttributeError, match="no attribute 'lod'"):
    covseg.lod  # noqa: B018
