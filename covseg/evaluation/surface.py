"""Distances in pixels between the borders of predicted and true masks.

The border of a mask are its pixels with one of their four neighbours, or the edge of the image, outside
the mask. These definitions are MONAI's. What the libraries leave undefined is defined here: where one
mask is empty, each border pixel of the other is as far off as the image's diagonal; where both are
empty, there is no distance (0), and everything agrees (1).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage, sparse, spatial

from covseg.evaluation.statistics import divide

# Borders that lie this near to each other count as the same: about 3 mm on an adult's film of 256 pixels.
TOLERANCE_PX = 2.0


@dataclasses.dataclass(frozen=True)
class BorderDistances:
  """How far each border pixel of one mask is from the border of the other, float (P,) and (T,)."""

  of_prediction: np.ndarray
  of_truth: np.ndarray

  @property
  def all(self) -> np.ndarray:
    return np.concatenate([self.of_prediction, self.of_truth])

  def hd95_px(self) -> float:
    """Hausdorff distance at 95 %: the larger of the two 95th percentiles."""
    return max(float(np.percentile(d, 95)) if len(d) else 0.0 for d in (self.of_prediction, self.of_truth))

  def assd_px(self) -> float:
    """Average symmetric surface distance: the mean over both borders."""
    return float(self.all.mean()) if len(self.all) else 0.0

  def nsd(self) -> float:
    """Normalised surface Dice: the share of both borders that lies within the tolerance of the other."""
    return float((self.all <= TOLERANCE_PX).mean()) if len(self.all) else 1.0


def border_distances(prediction: np.ndarray, truth: np.ndarray) -> BorderDistances:
  """Distances between the borders of two masks, bool (H, W)."""
  borders = [_border(prediction), _border(truth)]
  if all(len(border) for border in borders):
    trees = [spatial.KDTree(border) for border in borders]
    return BorderDistances(trees[1].query(borders[0])[0], trees[0].query(borders[1])[0])
  return BorderDistances(*(np.full(len(border), np.hypot(*truth.shape)) for border in borders))


Pooled = Callable[[np.ndarray], np.ndarray]


def pooled_hd95(films: Sequence[BorderDistances]) -> Pooled:
  """HD95 over the borders of all films together: a function of weights (R, N) of the films to (R,)."""
  directions = [_percentile([d.of_prediction for d in films]), _percentile([d.of_truth for d in films])]
  return lambda weights: np.maximum(*(direction(weights) for direction in directions))


def pooled_assd(films: Sequence[BorderDistances]) -> Pooled:
  """The mean distance over all borders, in the same way; 0 where there is none."""
  return _mean_over_borders(films, lambda distances: distances, if_none=0.0)


def pooled_nsd(films: Sequence[BorderDistances]) -> Pooled:
  """The share of all borders within the tolerance, in the same way; 1 where there is none."""
  return _mean_over_borders(films, lambda distances: distances <= TOLERANCE_PX, if_none=1.0)


def _mean_over_borders(
  films: Sequence[BorderDistances], value: Callable[[np.ndarray], np.ndarray], if_none: float
) -> Pooled:
  sums = np.array([[len(d.all), value(d.all).sum()] for d in films]).reshape(-1, 2)

  def statistic(weights: np.ndarray) -> np.ndarray:
    number, total = (weights @ sums).T
    return np.where(number > 0, divide(total, number), if_none)

  return statistic


def _percentile(distances: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
  """Function of weights to the distance, (R,), that 95 % of those of all films do not exceed."""
  film = np.repeat(np.arange(len(distances)), [len(d) for d in distances])
  values, place = np.unique(np.concatenate([*distances, np.zeros(0)]), return_inverse=True)
  table = sparse.csr_array((np.ones(len(film)), (place, film)), shape=(len(values), len(distances)))

  def statistic(weights: np.ndarray) -> np.ndarray:
    if not len(values):
      return np.zeros(len(weights))
    up_to = np.cumsum(table @ weights.T, axis=0)  # (values, R)
    return values[np.minimum((up_to < 0.95 * up_to[-1]).sum(axis=0), len(values) - 1)]

  return statistic


def _border(mask: np.ndarray) -> np.ndarray:
  """Rows and columns (P, 2) of the border pixels of a mask, bool (H, W)."""
  rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
  if not len(rows):
    return np.zeros((0, 2))
  part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  return np.argwhere(part & ~ndimage.binary_erosion(part)) + np.array([rows[0], columns[0]])
