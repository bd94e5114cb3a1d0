"""Augmentation: images and masks changed at random, together, on the device."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from input_pipeline import acquisition

# Points a side of the grid whose random shifts make an elastic deformation.
_ELASTIC_POINTS = 5

# A lung is clean below the first part of its area that is infected, and infected above the second.
CLEAN_LUNG, INFECTED_LUNG = 0.005, 0.03

# Strengths with a highest value: parts of a way, up to all of it, and parts that are lost, of which some must stay.
_HIGHEST = {
  "scale": 0.99,
  "crop": 0.99,
  "histogram": 1,
  "window": 0.49,
  "resolution": 0.99,
  "spectrum": 1,
  "jpeg": 0.99,
}
_WITHOUT_STRENGTH = ("symmetry", "flip")

TRANSFORMS = (
  "symmetry",
  "flip",
  "rotation",
  "scale",
  "shift",
  "crop",
  "elastic",
  "histogram",
  "brightness",
  "contrast",
  "gamma",
  "window",
  "noise",
  "blur",
  "sharpen",
  "resolution",
  "spectrum",
  "jpeg",
)


def check(config: ConfigDict, heads: Sequence[str]) -> None:
  """Raises ValueError if a probability or strength is out of range, or a transform needs masks that no head reads."""
  for name in TRANSFORMS:
    if not 0 <= config[name].probability <= 1:
      raise ValueError(f"augment.{name}.probability={config[name].probability} must be between 0 and 1.")
    highest = _HIGHEST.get(name, float("inf"))
    if not 0 <= config[name].strength <= highest:
      bounds = f"between 0 and {highest}" if name in _HIGHEST else "at least 0"
      raise ValueError(f"augment.{name}.strength={config[name].strength} must be {bounds}.")
    if name in _WITHOUT_STRENGTH and config[name].strength != 1:
      raise ValueError(f"augment.{name} has no strength; set augment.{name}.probability, and leave the strength at 1.")
  if config.symmetry.probability and "lung" not in heads:
    raise ValueError("augment.symmetry needs masks of the lungs, which are read for the head 'lung'; see model.heads.")


def augment(config: ConfigDict, key: jax.Array, images: jax.Array, masks: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Images and masks, each film changed in its own way; what comes in from outside it is black.

  Args:
    config: `config.augment`: of each transform, its probability and its strength.
    key: from which alone the changes follow.
    images: float32 (B, H, W, 1) in [0, 1].
    masks: float32 (B, H, W, M) in [0, 1], which move with the image: of the infection, and, for "symmetry", of the
      lungs after it.

  Returns:
    Both, of the same shapes and ranges.
  """
  # One draw of all random numbers but those of grids and pixels, as each draw takes a while to compile: 8 for each
  # transform, which needs 3 at most, and 8 others.
  numbers_key, grid_key, noise_key = jax.random.split(key, 3)
  *of_transforms, others = jax.random.uniform(numbers_key, (len(TRANSFORMS) + 1, len(images), 8))
  draws = _Draws(config, dict(zip(TRANSFORMS, of_transforms, strict=True)), others)
  if _any(config, "symmetry", "flip", "rotation", "scale", "shift", "crop", "elastic"):
    images, masks = _moved(draws, grid_key, images, masks)
  return _exposed(draws, noise_key, images), masks


@dataclasses.dataclass(frozen=True)
class _Draws:
  """Random numbers for B films, uniform in [0, 1).

  Attributes:
    config: `config.augment`.
    of_transforms: {name: (B, 8)}.
    others: (B, 8).
  """

  config: ConfigDict
  of_transforms: dict[str, jax.Array]
  others: jax.Array

  def amounts(self, name: str, n: int = 1) -> jax.Array:
    """(B, n), uniform in [-strength, strength]; 0 for films that the transform passes over."""
    transform, numbers = self.config[name], self.of_transforms[name]
    return (numbers[:, :1] < transform.probability) * transform.strength * (2 * numbers[:, 1 : 1 + n] - 1)


def _moved(draws: _Draws, grid_key: jax.Array, images: jax.Array, masks: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Images and masks, turned, scaled, shifted, bent and mirrored."""
  cropped = 1 - jnp.abs(draws.amounts("crop"))  # Side of the window that is kept, (B, 1).
  place = 2 * draws.others[:, 1:3] - 1
  center = (1 - cropped) * place + 2 * draws.amounts("shift", 2)  # (B, 2) in units of half a side, as all below.
  angle = jnp.deg2rad(draws.amounts("rotation"))
  zoom = cropped / (1 + draws.amounts("scale"))  # (B, 1)
  sine, cosine = ((zoom * f(angle))[:, :, None] for f in (jnp.sin, jnp.cos))  # (B, 1, 1)
  y, x = _pixel_centers(images.shape[1])[:, None], _pixel_centers(images.shape[2])
  flip = jnp.where(draws.amounts("flip") == 0, 1, -1)[:, :, None]
  sources = jnp.stack([cosine * y - sine * x, flip * (sine * y + cosine * x)], axis=-1)  # (B, H, W, 2)
  sources += center[:, None, None]
  if draws.config.elastic.probability:
    sources += _displacements(grid_key, 2 * draws.amounts("elastic"), sources.shape)
  if draws.config.symmetry.probability:
    middle, side = _lung_to_mirror(draws.others[:, :1] < 0.5, masks)
    middle, side, chosen = (values[:, None] for values in (middle, side, draws.amounts("symmetry") != 0))
    mirrored = middle + side * jnp.abs(sources[..., 1] - middle)
    sources = sources.at[..., 1].set(jnp.where(chosen, mirrored, sources[..., 1]))
  return _bilinear(images, sources), _nearest(masks, sources)


def _exposed(draws: _Draws, noise_key: jax.Array, images: jax.Array) -> jax.Array:
  """Images with other grey levels, noise, sharpness and compression."""
  config, batch = draws.config, len(images)
  comes_first, down, up, radius = (x[:, None, None] for x in jnp.split(draws.others[:, 3:7], 4, axis=-1))
  steps = 1 + (draws.others[0, 7] * max(batch - 1, 1)).astype(int)  # From each film to another one of the batch.
  others = jnp.take(images, (jnp.arange(batch) + steps) % batch, axis=0)

  def amounts(name: str, n: int = 1) -> jax.Array:
    return draws.amounts(name, n)[:, None, None]  # (B, 1, 1, n)

  if config.histogram.probability:
    images = acquisition.match_histogram(images, jnp.abs(amounts("histogram")), others)
  if _any(config, "brightness", "contrast", "gamma"):
    mean = images.mean(axis=(1, 2), keepdims=True)
    images = mean + (images - mean) * jnp.exp(amounts("contrast")) + amounts("brightness")
    images = jnp.clip(images, 1e-6, 1) ** jnp.exp(amounts("gamma"))
  if config.window.probability:
    low, high = jnp.split(jnp.abs(amounts("window", 2)), 2, axis=-1)
    images = jnp.clip((images - low) / (1 - low - high), 0, 1)
  has_noise = config.noise.probability and config.noise.strength
  if has_noise:
    # Of each order of magnitude as often: a tenth of a grey level is in every film, ten are in few.
    chosen = jnp.abs(amounts("noise"))
    deviations = config.noise.strength * 0.01 ** (1 - chosen / config.noise.strength) * (chosen > 0)
    noise = deviations * jax.random.normal(noise_key, images.shape)
    images = jnp.clip(images + noise * (comes_first < 0.5), 0, 1)
  if config.blur.probability:
    images = acquisition.blur(images, jnp.abs(amounts("blur")))
  if config.sharpen.probability:
    images = acquisition.sharpen(images, jnp.abs(amounts("sharpen")), 0.002 + 0.008 * radius)
  if config.resolution.probability:
    lost = jnp.abs(amounts("resolution"))
    images = jnp.clip(acquisition.resample(images, lost, 0.5 + 0.7 * down, 0.5 + 0.7 * up), 0, 1)
  if config.spectrum.probability:
    images = acquisition.match_spectrum(images, jnp.abs(amounts("spectrum")), others)
  if has_noise:
    images = jnp.clip(images + noise * (comes_first >= 0.5), 0, 1)
  if config.jpeg.probability:
    images = acquisition.jpeg(images, jnp.abs(amounts("jpeg")))
  return images


def _lung_to_mirror(left_if_either: jax.Array, masks: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The column between the lungs, between -1 and 1, and which lung to keep, -1 for that on the left or 1; (B, 1) both.

  It is the clean one where the other is infected, else the left one where `left_if_either`, bool (B, 1).
  """
  columns = (masks[..., :2] > 0.5).sum(axis=1)  # (B, W, 2)
  x = _pixel_centers(masks.shape[2])
  infection, lungs = columns[..., 0], columns[..., 1]
  middle = (lungs * x).sum(axis=1, keepdims=True) / jnp.maximum(lungs.sum(axis=1, keepdims=True), 1)  # (B, 1)
  halves = jnp.stack([x < middle, x >= middle], axis=1)  # (B, 2, W)
  share = (halves * infection[:, None]).sum(axis=2) / jnp.maximum((halves * lungs[:, None]).sum(axis=2), 1)  # (B, 2)
  clean, infected = share < CLEAN_LUNG, share > INFECTED_LUNG
  left, right = clean[:, :1] & infected[:, 1:], clean[:, 1:] & infected[:, :1]
  return middle, jnp.where(left | (left_if_either & ~right), -1, 1)


def _any(config: ConfigDict, *names: str) -> bool:
  return any(config[name].probability for name in names)


def _pixel_centers(n: int) -> jax.Array:
  """Where pixels lie between the borders, -1 and 1."""
  return (2 * jnp.arange(n) + 1) / n - 1


def _displacements(key: jax.Array, strength: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Smooth shifts (B, H, W, 2): those of a coarse grid of points, each up to `strength` (B, 1)."""
  batch = shape[0]
  grid = jax.random.uniform(key, (batch, _ELASTIC_POINTS, _ELASTIC_POINTS, 2), minval=-1.0)
  return jax.image.resize(grid * strength[:, :, None, None], shape, "cubic")


def _bilinear(x: jax.Array, points: jax.Array) -> jax.Array:
  """(B, H, W, C) read at points (B, H, W, 2) between -1 and 1; 0 outside."""
  size = jnp.array(x.shape[1:3])
  at = (points + 1) / 2 * size - 0.5  # In pixels.
  corner = jnp.floor(at).astype(jnp.int32)
  fraction = at - corner
  total = jnp.zeros((), x.dtype)
  for dy in (0, 1):
    for dx in (0, 1):
      weight = jnp.abs(jnp.array([1 - dy, 1 - dx]) - fraction).prod(axis=-1)
      total += weight[..., None] * _read(x, corner + jnp.array([dy, dx]))
  return total


def _nearest(x: jax.Array, points: jax.Array) -> jax.Array:
  """The same without interpolation."""
  return _read(x, jnp.floor((points + 1) / 2 * jnp.array(x.shape[1:3])).astype(jnp.int32))


def _read(x: jax.Array, pixels: jax.Array) -> jax.Array:
  """(B, H, W, C) at pixels, int32 (B, H, W, 2); 0 outside."""
  b, h, w, c = x.shape
  inside = ((pixels >= 0) & (pixels < jnp.array([h, w]))).all(axis=-1, keepdims=True)
  index = jnp.clip(pixels[..., 0], 0, h - 1) * w + jnp.clip(pixels[..., 1], 0, w - 1)
  values = jnp.take_along_axis(x.reshape(b, h * w, c), index.reshape(b, -1, 1), axis=1, mode="clip")
  return inside * values.reshape(b, *pixels.shape[1:3], c)
