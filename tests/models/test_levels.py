import jax
import numpy as np
import pytest
from PIL import Image, ImageOps

from covseg.models import levels


@pytest.fixture(scope="module")
def films():
  """uint8 (3, 64, 48): smooth, with noise, each of another range."""
  rng = np.random.default_rng(0)
  coarse = rng.random((3, 5, 4)) * np.array([60, 120, 180])[:, None, None] + np.array([90, 60, 30])[:, None, None]
  smooth = [Image.fromarray(x.astype(np.float32)).resize((48, 64), Image.Resampling.BICUBIC) for x in coarse]
  return np.clip(np.stack(smooth) + rng.normal(0, 2, (3, 64, 48)), 0, 255).astype(np.uint8)


def _match(films, part=1.0):
  return np.asarray(jax.jit(levels.match)(films[..., None].astype(np.float32) / 255, part))[..., 0]


def test_levels_are_moved_to_the_target_at_equal_quantiles_as_numpy_moves_them(films):
  matched = _match(films)
  for film, found in zip(films / np.float32(255), matched, strict=True):
    middle = film[np.linspace(6.4, 56.6, 48).astype(int)][:, np.linspace(4.8, 42.2, 48).astype(int)]
    source = np.quantile(middle, np.linspace(0, 1, len(levels.TARGET)), method="lower")
    expected = np.interp(film, [0, *source, 1], [0, *levels.TARGET, 1])
    # Levels that many pixels share are a step, on which either end is right.
    is_tied = np.isin(film, source[:-1][np.diff(source) < 1e-4])
    np.testing.assert_allclose(found[~is_tied], expected[~is_tied], atol=1e-3)
    assert is_tied.mean() < 0.2


@pytest.mark.parametrize(
  "change",
  [
    lambda film: 255 * (film / 255) ** 2,
    lambda film: 255 * (film / 255) ** 0.5,
    lambda film: 40 + 0.6 * film,
    lambda film: np.asarray(ImageOps.equalize(Image.fromarray(film))),
  ],
  ids=["gamma_2", "gamma_half", "contrast", "equalised"],
)
def test_what_exposure_changes_is_undone(films, change):
  changed = np.stack([change(film) for film in films]).round().astype(np.uint8)
  assert np.abs(changed / 255 - films / 255).mean() > 0.03
  assert np.abs(_match(changed) - _match(films)).mean() < 0.01


def test_a_black_frame_hardly_moves_the_levels_of_the_rest(films):
  framed = np.zeros_like(films)
  inside = np.s_[:, 5:-5, 4:-4]
  framed[inside] = films[inside]
  assert np.abs(_match(framed) - _match(films))[inside].max() < 0.02
  assert (_match(framed)[:, :5] == 0).all()


def test_half_way_is_the_mean_of_both(films):
  np.testing.assert_allclose(_match(films, 0.5), (films / 255 + _match(films)) / 2, atol=1e-5)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_film_of_one_level_stays_one(level):
  matched = _match(np.full((1, 32, 32), level, np.uint8))
  assert np.isfinite(matched).all()
  assert len(np.unique(matched)) == 1
