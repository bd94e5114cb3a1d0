"""Random changes of how a film was exposed, scaled and stored: what hospitals differ in, and disease does not.

Each function takes images, float32 (B, H, W, 1) in [0, 1], and an amount for each film, float32 (B, 1, 1, 1),
where 0 leaves the film as it is. All work under `jit`, at one cost whatever the amounts.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Quantisation of luminance at quality 50 (ITU-T T.81, table K.1).
_JPEG_TABLE = np.array([
  [16, 11, 10, 16, 24, 40, 51, 61],
  [12, 12, 14, 19, 26, 58, 60, 55],
  [14, 13, 16, 24, 40, 57, 69, 56],
  [14, 17, 22, 29, 51, 87, 80, 62],
  [18, 22, 37, 56, 68, 109, 103, 77],
  [24, 35, 55, 64, 81, 104, 113, 92],
  [49, 64, 78, 87, 103, 121, 120, 101],
  [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
_QUANTILES = 33
_BANDS = 24


def blur(images: jax.Array, deviations: jax.Array) -> jax.Array:
  """Images through Gaussian filters of these standard deviations, part of the side."""

  def weights(n: int) -> jax.Array:
    """(B, n, n) of n pixels in each of n; within the image they sum to 1."""
    distances = jnp.arange(n)[:, None] - jnp.arange(n)
    pixels = jnp.maximum(n * deviations[:, :, 0], 1e-3)  # At 0 it would be 0 / 0.
    return jax.nn.softmax(-((distances / pixels) ** 2) / 2)

  return _separable(images, weights)


def sharpen(images: jax.Array, amounts: jax.Array, deviations: jax.Array) -> jax.Array:
  """Images plus `amounts` times what a Gaussian filter takes from them (unsharp masking)."""
  return jnp.clip(images + amounts * (images - blur(images, deviations)), 0, 1)


def resample(images: jax.Array, lost: jax.Array, down: jax.Array, up: jax.Array) -> jax.Array:
  """Images scaled down, and up again.

  Args:
    images: the films.
    lost: part of the side that is lost in between, in [0, 1).
    down, up: half the width of both triangular kernels, in pixels of the smaller size; 0.5 repeats or drops
      pixels, 1 interpolates without aliasing.
  """
  amounts = jnp.concatenate([lost, down, up], axis=-1)[:, 0, 0]  # (B, 3)

  def weights(n: int) -> jax.Array:
    def of_film(amounts: jax.Array) -> jax.Array:
      lost, down, up = amounts
      small = jnp.maximum(jnp.round(n * (1 - lost)), 1)  # Rows beyond it are not used.
      centers = (jnp.arange(n) + 0.5) * n / small  # In pixels of the film.
      distances = jnp.abs(centers[:, None] - (jnp.arange(n) + 0.5)) * small / n  # (small, film)
      in_use = (jnp.arange(n) < small)[:, None]
      to_small = _normalised(jnp.maximum(0, 1 - distances / down) * in_use, axis=1)
      to_film = _normalised(jnp.maximum(0, 1 - distances / up) * in_use, axis=0)
      return jnp.where(lost > 0, to_film.T @ to_small, jnp.eye(n))

    return jax.vmap(of_film)(amounts)

  return _separable(images, weights)


def jpeg(images: jax.Array, lost_quality: jax.Array) -> jax.Array:
  """Images as JPEG of quality 100 (1 - lost_quality) gives them back; 8 bits a pixel, without its coding."""
  b, h, w, _ = images.shape
  padded = jnp.pad(images[..., 0], ((0, 0), (0, -h % 8), (0, -w % 8)), mode="edge")
  quality = jnp.clip(100 * (1 - lost_quality), 1, 100)
  scale = jnp.where(quality < 50, 50 / quality, 2 - quality / 50)  # As libjpeg does it.
  table = jnp.clip(jnp.round(_JPEG_TABLE * scale.reshape(b, 1, 1, 1, 1)), 1, 255)  # As in baseline JPEG.
  k = np.arange(8)
  dct = np.sqrt(np.where(k == 0, 1, 2) / 8)[:, None] * np.cos(np.pi * k[:, None] * (2 * k + 1) / 16)
  blocks = padded.reshape(b, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8) * 255 - 128
  dct = jnp.asarray(dct, images.dtype)
  table = table.reshape(b, 1, 8, 1, 8)
  frequencies = jnp.einsum("ui,byixj,vj->byuxv", dct, blocks, dct)
  frequencies = jnp.round(frequencies / table) * table
  restored = jnp.einsum("ui,byuxv,vj->byixj", dct, frequencies, dct).reshape(padded.shape)
  restored = jnp.clip(jnp.round(restored + 128), 0, 255)[:, :h, :w, None] / 255
  return jnp.where(lost_quality > 0, restored, images)


def match_histogram(images: jax.Array, amounts: jax.Array, others: jax.Array) -> jax.Array:
  """Images whose grey levels are moved, by a part in [0, 1], to those of other films at equal quantiles."""
  step = max(1, images.shape[1] // 48)

  def quantiles(x: jax.Array) -> jax.Array:
    values = jnp.sort(x[:, ::step, ::step, 0].reshape(len(x), -1))
    return values[:, np.linspace(0, values.shape[1] - 1, _QUANTILES).astype(int)]

  source, target = quantiles(images), quantiles(others)
  mapped = target[:, :1, None, None] + piecewise_linear(images, source, jnp.diff(target))
  return jnp.clip(images + amounts * (mapped - images), 0, 1)


def piecewise_linear(images: jax.Array, points: jax.Array, rises: jax.Array) -> jax.Array:
  """Grey levels through a function of each film: 0 at its first point, and `rises` from each point to the next.

  Args:
    images: the films.
    points: levels, rising, float32 (B, Q + 1). At two that are equal, the function is steep.
    rises: float32 (B, Q), or (1, Q) for all films.
  """
  runs = jnp.maximum(jnp.diff(points), 1e-4)
  total = jnp.zeros_like(images)
  for i in range(rises.shape[1]):  # A sum of ramps: a table would be read a pixel at a time.
    start, run, rise = (x[:, i, None, None, None] for x in (points, runs, rises))
    total += rise * jnp.clip((images - start) / run, 0, 1)
  return total


def match_spectrum(images: jax.Array, amounts: jax.Array, others: jax.Array) -> jax.Array:
  """Images whose power in each band of frequencies is moved, by a part in [0, 1], to that of other films."""
  _, h, w, _ = images.shape
  frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))  # Cycles a pixel.
  band = np.minimum(frequency / 0.5 * _BANDS, _BANDS - 1)
  low = np.floor(band).astype(int)
  weights = np.zeros((*band.shape, _BANDS), np.float32)  # Of each band in each frequency; they sum to 1.
  np.put_along_axis(weights, low[..., None], 1 - (band - low)[..., None].astype(np.float32), -1)
  high = np.minimum(low + 1, _BANDS - 1)[..., None]
  np.put_along_axis(weights, high, np.take_along_axis(weights, high, -1) + (band - low)[..., None], -1)
  weights = jnp.asarray(weights.reshape(-1, _BANDS))
  spectrum = jnp.fft.rfft2(images[..., 0])
  power, other = (
    (jnp.abs(s) ** 2).reshape(len(s), -1) @ weights / weights.sum(axis=0)
    for s in (spectrum, jnp.fft.rfft2(others[..., 0]))
  )
  gain = jnp.clip(jnp.log((other + 1e-3) / (power + 1e-3)) / 2, -2, 2).at[:, 0].set(0)  # (B, bands)
  gain = jnp.exp(amounts[:, :, 0, 0] * gain) @ weights.T
  changed = jnp.fft.irfft2(spectrum * gain.reshape(spectrum.shape), (h, w))[..., None]
  return jnp.where(amounts > 0, jnp.clip(changed, 0, 1), images)


def _separable(images: jax.Array, weights) -> jax.Array:
  """Rows and columns as products with `weights(n)`, (B, n, n), of n pixels in each of n."""
  _, h, w, _ = images.shape
  return jnp.einsum("bhwc,bih,bjw->bijc", images, weights(h), weights(w))


def _normalised(weights: jax.Array, axis: int) -> jax.Array:
  return weights / jnp.maximum(weights.sum(axis=axis, keepdims=True), 1e-6)
