"""Changes of how films were exposed, scaled and stored, against other implementations."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from input_pipeline import acquisition
from input_pipeline.cxr_phantom import phantom


@pytest.fixture(scope="module")
def films():
  """float32 (3, 72, 80, 1) of whole grey levels."""
  small = [Image.fromarray(phantom.draw((0, i), infected=True).image).resize((80, 72)) for i in range(3)]
  return np.stack([np.asarray(film, np.float32)[..., None] / 255 for film in small])


def _amounts(*values):
  return jnp.array(values, jnp.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("quality", [5, 15, 50, 90])
def test_jpeg_is_that_of_libjpeg(films, quality):
  stripes = np.broadcast_to(np.float32([0, 1, 1])[np.arange(80) % 3][:, None], (1, 72, 80, 1))  # High frequencies.
  films = np.concatenate([films, stripes])
  changed = np.asarray(acquisition.jpeg(jnp.asarray(films), _amounts(*[1 - quality / 100] * len(films))))
  for film, found in zip(films, changed, strict=True):
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.round(255 * film[..., 0]))).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file), float)
    lost = np.abs(expected - 255 * film[..., 0]).mean()
    assert np.abs(255 * found[..., 0] - expected).mean() < 0.2 * lost  # Rounding differs, not the quantisation.


def test_nothing_is_lost_where_the_amount_is_0(films):
  zero, one, images = _amounts(0, 0, 0), _amounts(1, 1, 1), jnp.asarray(films)

  @jax.jit
  def all_changed(images):
    others = images[::-1]
    return (
      acquisition.blur(images, zero),
      acquisition.sharpen(images, zero, 0.01 * one),
      acquisition.resample(images, zero, one, one),
      acquisition.jpeg(images, zero),
      acquisition.match_histogram(images, zero, others),
      acquisition.match_spectrum(images, zero, others),
    )

  for changed in all_changed(images):
    np.testing.assert_allclose(changed, films, atol=1e-6)


def test_resampling_is_that_of_pillow_where_the_kernels_are_triangles(films):
  changed = acquisition.resample(jnp.asarray(films), _amounts(0.5, 0.5, 0.5), _amounts(1, 1, 1), _amounts(1, 1, 1))
  for film, found in zip(films, changed, strict=True):
    image = Image.fromarray(film[..., 0]).resize((40, 36), Image.Resampling.BILINEAR)
    expected = np.asarray(image.resize((80, 72), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-4)


def test_a_matched_film_has_the_grey_levels_of_the_other(films):
  others = films[::-1]
  changed = acquisition.match_histogram(jnp.asarray(films), _amounts(1, 1, 1), jnp.asarray(others))
  for found, other in zip(changed, others, strict=True):
    quantiles = np.linspace(5, 95, 10)
    assert np.abs(np.percentile(found, quantiles) - np.percentile(other, quantiles)).max() < 0.03


def test_a_matched_film_has_the_spectrum_of_the_other(films):
  rng = np.random.default_rng(0)
  noisy = np.clip(films + 0.05 * rng.normal(size=films.shape), 0, 1).astype(np.float32)
  smooth = np.asarray(acquisition.blur(jnp.asarray(films), _amounts(0.02, 0.02, 0.02)))
  changed = acquisition.match_spectrum(jnp.asarray(noisy), _amounts(1, 1, 1), jnp.asarray(smooth))

  def high(images):
    spectrum = np.abs(np.fft.fft2(np.asarray(images)[..., 0])) ** 2
    return spectrum[:, 18:54, 20:60].mean(axis=(1, 2))  # About the highest frequencies.

  assert (high(changed) < high(noisy) / 20).all()  # At most by a factor of e**4 each.
  assert np.abs(np.asarray(changed) - films).mean() < np.abs(noisy - films).mean()


def test_sharpening_adds_what_blur_takes(films):
  images, deviations = jnp.asarray(0.25 + films / 2), _amounts(0.01, 0.01, 0.01)
  expected = images + 0.5 * (images - acquisition.blur(images, deviations))
  np.testing.assert_allclose(acquisition.sharpen(images, _amounts(0.5, 0.5, 0.5), deviations), expected, atol=1e-6)
