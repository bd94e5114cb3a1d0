"""How much of the lungs is infected: of both, of each, and of the upper, middle and lower zone of each."""

import dataclasses

import numpy as np
from scipy import ndimage

# A part of the mask smaller than this share of the largest is no lung of its own.
_LEAST_LUNG = 0.1


@dataclasses.dataclass(frozen=True)
class Severity:
  """Infected percent of the lung's area in [0, 100]; None where there is no lung.

  Left and right are the patient's: his right lung is on the left of the film. The zones are the thirds
  of a lung's height.
  """

  percent: float | None
  right: float | None
  left: float | None
  right_upper: float | None
  right_middle: float | None
  right_lower: float | None
  left_upper: float | None
  left_middle: float | None
  left_lower: float | None


def severity(infection: np.ndarray, lungs: np.ndarray) -> Severity:
  """Infected percent of the lungs and of their parts; infected pixels outside the lungs do not count.

  Args:
    infection: bool (H, W).
    lungs: bool (H, W).
  """
  infection = infection & lungs
  right, left = split_lungs(lungs)
  parts = [lungs, right, left, *_zones(right), *_zones(left)]
  return Severity(*(_percent(infection, part) for part in parts))


def split_lungs(lungs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The patient's right and left lung, bool (H, W) each, of a mask of both.

  Lungs that do not touch are told apart as wholes, so that one may reach over the midline. Where there
  is one part only, it is one lung if nine tenths of it lie on one side of the film's middle; otherwise
  it is two lungs that touch, cut at the column, in the middle third of the part, with the fewest pixels.
  """
  labels, count = ndimage.label(lungs)
  if not count:
    return lungs, lungs
  sizes = np.bincount(labels.ravel())[1:]
  sums = np.bincount(labels.ravel(), np.tile(np.arange(lungs.shape[1]), len(lungs)))[1:]
  columns = sums / sizes  # Where the middle of each part lies.
  first, *rest = np.argsort(-sizes, kind="stable")
  if rest and sizes[rest[0]] >= _LEAST_LUNG * sizes[first]:
    is_right = columns < columns[[first, rest[0]]].mean()
    right = lungs & np.concatenate([[False], is_right])[labels]
  else:
    right = lungs & (np.arange(lungs.shape[1]) < _midline(labels == first + 1))
  return right, lungs & ~right


def _midline(part: np.ndarray) -> int:
  """The column that parts the right from the left lung, of a mask in one part."""
  per_column = part.sum(axis=0)
  share_on_the_left_of_the_film = per_column[: len(per_column) // 2].sum() / per_column.sum()
  if share_on_the_left_of_the_film >= 0.9:
    return len(per_column)
  if share_on_the_left_of_the_film <= 0.1:
    return 0
  start, stop = np.flatnonzero(per_column)[[0, -1]] + [0, 1]
  third = (stop - start) // 3
  return start + third + int(np.argmin(per_column[start + third : max(stop - third, start + third + 1)]))


def _zones(lung: np.ndarray) -> list[np.ndarray]:
  """Upper, middle and lower third of the rows that a lung takes, bool (H, W) each."""
  rows = np.flatnonzero(lung.any(axis=1))
  if not len(rows):
    return [lung] * 3
  thirds = 3 * (np.arange(len(lung)) - rows[0]) // (rows[-1] + 1 - rows[0])
  return [lung & (thirds == i)[:, None] for i in range(3)]


def _percent(infection: np.ndarray, part: np.ndarray) -> float | None:
  area = int(part.sum())
  return 100 * int((infection & part).sum()) / area if area else None
