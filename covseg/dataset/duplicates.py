"""Films that a dataset holds more than once: exactly, or shifted, scaled, mirrored, at another exposure.

Every pair is compared at 32 pixels, where a film and its copy are near whatever was done to it. Each
film's nearest ones are then laid on one another at 64 pixels, and what fits there at 128. There the
films are reduced to their fine structure, a band of scales at a common contrast: all chests have
the same coarse shadows, but only one has these ribs and vessels.
"""

import hashlib
import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage
from PIL import Image
from tqdm import tqdm

from input_pipeline.scaling import resize_image

# Of the pairs among 4,660 films of COVID-QU-Ex, those above it show the same film or the same patient,
# and hardly any below 0.7 do; copies altered on purpose come to 0.9.
THRESHOLD = 0.75

_COARSE, _FINE = 32, 128
_COARSE_MARGIN = 1  # Pixels of shift that are tried at the coarse size: 8 of 256.
_NEIGHBOURS = 5  # Films that are compared closely with each, mirrored and not.
_MARGIN = 1 / 8  # Border, as a share of the side, that a film may be shifted over and that is not compared.
# The comparisons of a pair: size, changes of the scale that are tried, correlation from which it goes on.
_STEPS = (
  (64, (0.0,), 0.55),
  (64, (-0.05, -0.025, 0.0, 0.025, 0.05), 0.7),
  (_FINE, (-0.02, -0.01, 0.0, 0.01, 0.02), THRESHOLD),
)
_BATCH = 512


class Pair(NamedTuple):
  """Two films of which one is a copy of the other.

  Attributes:
    first: index of a film.
    second: index of a film that comes before it.
    correlation: of their fine structures where they lie on one another, up to 1.
    shift_x: pixels that the first is moved to the right, once mirrored and scaled, to lie on the second.
    shift_y: the same, downwards.
    scale: factor of the first's size, about its centre.
    mirrored: whether left and right of the first are swapped.
    is_exact: whether they are equal pixel for pixel.
  """

  first: int
  second: int
  correlation: float
  shift_x: float
  shift_y: float
  scale: float
  mirrored: bool
  is_exact: bool


def find_duplicates(images: np.ndarray) -> list[Pair]:
  """All pairs of equal or nearly equal films, the highest correlation first.

  Found are copies that are shifted by up to 8 pixels of 256, scaled by up to 5 %, mirrored,
  cropped at the border, encoded with loss or exposed otherwise, and in any combination of these.

  Args:
    images: uint8 (N, H, H).
  """
  exact = _equal_pairs(images)
  pairs = {(i, j): Pair(i, j, 1.0, 0.0, 0.0, 1.0, False, True) for i, j in exact}
  small = np.stack([resize_image(image, _FINE) for image in images]).astype(np.float32)
  near = _near_films(_reduced(small, _COARSE))
  candidates = np.array([c for c in sorted(near) if c[:2] not in exact], int).reshape(-1, 3)
  scale = np.ones(len(candidates))
  for size, changes, least in _STEPS:
    films, indices = np.unique(candidates[:, :2], return_inverse=True)
    structure = _fine_structure(_reduced(small[films], size))
    to_fit = np.concatenate([indices.reshape(-1, 2), candidates[:, 2:]], axis=1)
    fits = _fit(structure, to_fit, scale[:, None] + np.array(changes))
    good = fits[0] >= least
    candidates, fits = candidates[good], fits[:, good]
    scale = fits[3]
  correlation, x, y, scale = fits
  x, y = (shift * images.shape[1] / _FINE for shift in (x, y))
  for (i, j, mirrored), *found in zip(candidates.tolist(), correlation, x, y, scale, strict=True):
    correlation_of_pair, shift_x, shift_y, scale_of_pair = map(float, found)
    pair = Pair(i, j, correlation_of_pair, shift_x, shift_y, scale_of_pair, bool(mirrored), is_exact=False)
    pairs[i, j] = max(pairs.get((i, j), pair), pair, key=lambda pair: pair.correlation)
  return sorted(pairs.values(), key=lambda pair: -pair.correlation)


def laid_on_second(pixels: np.ndarray, pair: Pair) -> np.ndarray:
  """Image or mask (H, W) of the first film of a pair, mirrored, scaled and shifted onto the second."""
  height, width = pixels.shape
  x, y = (side / 2 - (side / 2 + shift) / pair.scale for side, shift in ((width, pair.shift_x), (height, pair.shift_y)))
  image = Image.fromarray((pixels[:, ::-1] if pair.mirrored else pixels).astype(np.uint8))
  moved = image.transform(image.size, Image.Transform.AFFINE, (1 / pair.scale, 0, x, 0, 1 / pair.scale, y))
  return np.asarray(moved).astype(pixels.dtype)


def _equal_pairs(images: np.ndarray) -> set[tuple[int, int]]:
  groups = defaultdict(list)
  for i, image in enumerate(images):
    groups[hashlib.sha256(image).digest()].append(i)
  return {(i, j) for group in groups.values() for i in group for j in group if j < i}


def _near_films(images: np.ndarray) -> set[tuple[int, int, int]]:
  """(film, an earlier film, whether mirrored) of the nearest neighbours of each film.

  Args:
    images: float32 (N, 32, 32).
  """
  m, n = _COARSE_MARGIN, len(images)
  targets = _unit(images[:, m:-m, m:-m]).reshape(n, -1).T
  neighbours = min(_NEIGHBOURS, n - 1)
  candidates = set()
  for start in tqdm(range(0, n, _BATCH), "near films", disable=None):
    for mirrored in (0, 1):
      block = images[start : start + _BATCH, :, :: -1 if mirrored else 1]
      similarity = np.full((len(block), n), -1, np.float32)
      for y in range(2 * m + 1):
        for x in range(2 * m + 1):
          shifted = block[:, y : y + _COARSE - 2 * m, x : x + _COARSE - 2 * m]
          np.maximum(similarity, _unit(shifted).reshape(len(block), -1) @ targets, out=similarity)
      similarity[np.arange(len(block)), start + np.arange(len(block))] = -np.inf  # A film and itself.
      nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
      for i, others in enumerate(nearest.tolist(), start):
        candidates |= {(max(i, j), min(i, j), mirrored) for j in others if i != j}
  return candidates


def _fit(films: np.ndarray, pairs: np.ndarray, scales: np.ndarray) -> np.ndarray:
  """Where the middle of the first film of each pair fits best on the second.

  Args:
    films: float32 (N, S, S), what the pairs are of.
    pairs: int (P, 3): indices of two films, and whether the first is mirrored.
    scales: float (P, K), what is tried.

  Returns:
    float (4, P): normalised cross-correlation, shift to the right and downwards in pixels, scale.
  """
  size = films.shape[-1]
  margin = int(size * _MARGIN)
  inner, num_shifts = size - 2 * margin, 2 * margin + 1
  threads = os.cpu_count()
  fits = [np.empty((4, 0))]
  for start in tqdm(range(0, len(pairs), _BATCH), f"pairs at {size} px", disable=None):
    i, j, mirrored = pairs[start : start + _BATCH].T
    first, second = films[i], films[j]
    first[mirrored == 1] = first[mirrored == 1, :, ::-1]
    variance = _window_sums(second**2, inner) - _window_sums(second, inner) ** 2 / inner**2
    deviation = np.sqrt(np.maximum(variance, 1e-6 * inner**2))
    spectrum = scipy.fft.rfft2(second, workers=threads)
    tried = []
    for scale in scales[start : start + _BATCH].T:
      operator = _scaling(size, scale)[:, margin:-margin]
      template = _unit(operator @ first @ operator.swapaxes(1, 2))
      product = spectrum * np.conj(scipy.fft.rfft2(template, (size, size), workers=threads))
      product = scipy.fft.irfft2(product, (size, size), workers=threads)[:, :num_shifts, :num_shifts]
      correlation = (product / deviation).reshape(len(first), -1)
      y, x = np.divmod(correlation.argmax(axis=1), num_shifts)
      tried.append([correlation.max(axis=1), x - margin, y - margin, scale])
    tried = np.array(tried)  # (K, 4, P)
    best = tried[:, 0].argmax(axis=0)
    fits.append(np.take_along_axis(tried, best[None, None], axis=0)[0])
  return np.concatenate(fits, axis=1)


def _scaling(size: int, scale: np.ndarray) -> np.ndarray:
  """Matrices (P, size, size) that scale a line of pixels about its middle, bilinear."""
  source = (np.arange(size) + 0.5 - size / 2) / scale[:, None] + size / 2 - 0.5
  distance = np.abs(source.clip(0, size - 1)[..., None] - np.arange(size))
  return np.maximum(0, 1 - distance).astype(np.float32)


def _window_sums(x: np.ndarray, window: int) -> np.ndarray:
  """Sums over every window x window of (P, S, S)."""
  total = np.pad(x, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
  total = total[:, window:] - total[:, :-window]
  return total[:, :, window:] - total[:, :, :-window]


def _fine_structure(images: np.ndarray) -> np.ndarray:
  """Images (N, S, S) without their coarse shadows and exposure, at a common local contrast."""
  fine = scipy.ndimage.gaussian_filter(images, (0, 0.7, 0.7)) if images.shape[1] == _FINE else images
  fine = fine - scipy.ndimage.gaussian_filter(fine, (0, 3, 3), mode="nearest")
  contrast = np.sqrt(scipy.ndimage.gaussian_filter(fine**2, (0, 6, 6), mode="nearest"))
  return fine / (contrast + 1)


def _reduced(images: np.ndarray, size: int) -> np.ndarray:
  """Images (N, S, S) as means over blocks, (N, size, size)."""
  n, block = len(images), images.shape[1] // size
  return images.reshape(n, size, block, size, block).mean(axis=(2, 4))


def _unit(images: np.ndarray) -> np.ndarray:
  """Images (N, H, W) with mean 0 and norm 1; all 0 where they are uniform."""
  centred = images - images.mean(axis=(1, 2), keepdims=True)
  return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-6)
