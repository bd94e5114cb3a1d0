"""Whether probabilities mean what they say, and what the threshold does, from histograms of pixels."""

import dataclasses
from typing import Any

import numpy as np

from covseg import metrics

# Thresholds are tried in steps of 1 / NUM_LEVELS; the reliability diagram has NUM_BINS bins.
NUM_LEVELS = 100
NUM_BINS = 10
_REGIONS = {"all": slice(None), "outside_lungs": slice(0, 1), "inside_lungs": slice(1, 2)}


@dataclasses.dataclass(frozen=True)
class Histograms:
  """Pixels of each film by place (outside or inside the lungs), truth and level of probability.

  All are (N, 2, 2, NUM_LEVELS). Level k holds the probabilities in (k, k + 1] / NUM_LEVELS; 0 is in
  level 0.

  Attributes:
    counts: pixels.
    probabilities: the sum of their probabilities.
    squared_errors: the sum of (probability - truth) squared.
    has_lungs: whether the place is known; else every pixel counts as outside.
  """

  counts: np.ndarray
  probabilities: np.ndarray
  squared_errors: np.ndarray
  has_lungs: bool


def histograms(probabilities: np.ndarray, masks: np.ndarray, lungs: np.ndarray | None) -> Histograms:
  """Histograms of probabilities (N, H, W) in [0, 1] against masks, bool (N, H, W).

  `lungs`, bool (N, H, W), tells pixels inside the lungs from those outside; None where they are not known.
  """
  shape = (2, 2, NUM_LEVELS)
  tables = []
  for i, (probability, mask) in enumerate(zip(probabilities, masks, strict=True)):
    probability = probability.astype(np.float32).ravel()
    truth = mask.ravel()
    cell = np.clip(np.ceil(probability * NUM_LEVELS) - 1, 0, NUM_LEVELS - 1).astype(np.int64)
    cell += NUM_LEVELS * truth
    if lungs is not None:
      cell += 2 * NUM_LEVELS * lungs[i].ravel()
    columns = (None, probability, (probability - truth) ** 2)
    tables.append([np.bincount(cell, column, np.prod(shape)).reshape(shape) for column in columns])
  counts, sums, errors = np.moveaxis(np.array(tables, np.float64).reshape(-1, 3, *shape), 1, 0)
  return Histograms(counts, sums, errors, lungs is not None)


def counts_by_threshold(found: Histograms) -> tuple[np.ndarray, np.ndarray]:
  """Thresholds (T,) and the confusion counts of each film at each of them, int64 (N, T, 4)."""
  by_truth = found.counts.sum(axis=1).astype(np.int64)  # (N, 2, NUM_LEVELS)
  above = np.cumsum(by_truth[..., ::-1], axis=-1)[..., ::-1]
  fp, tp = np.moveaxis(above[..., 1:], 1, 0)
  negatives, positives = np.moveaxis(above[..., :1], 1, 0)
  thresholds = np.arange(1, NUM_LEVELS) / NUM_LEVELS
  return thresholds, np.stack([tp, fp, positives - tp, negatives - fp], axis=-1)


def threshold_curve(found: Histograms) -> dict[str, Any]:
  """{"threshold": [...], "dice": [...], "best": the threshold with the highest Dice}.

  The Dice is the mean per image over films with an infection; of equal ones, the threshold nearest to
  0.5 is the best. None where no film has an infection.
  """
  thresholds, counts = counts_by_threshold(found)
  infected = found.counts[:, :, 1].sum(axis=(1, 2)) > 0
  if not infected.any():
    return {"threshold": thresholds.tolist(), "dice": None, "best": None}
  dice = metrics.dice(counts[infected]).mean(axis=0)
  best = max(zip(dice, -np.abs(thresholds - 0.5), thresholds, strict=True))[-1]
  return {"threshold": thresholds.tolist(), "dice": dice.tolist(), "best": float(best)}


def calibration(found: Histograms) -> dict[str, Any]:
  """For all pixels, and for those inside and outside the lungs where they are known:

  - expected_calibration_error: the mean, over pixels, of the distance between the mean probability and
    the infected share in NUM_BINS bins of equal width (Guo et al. 2017, equation 3);
  - brier_score: the mean squared error of the probability;
  - bins: number of pixels, mean probability and infected share of each; None in an empty one.
  """
  names = _REGIONS if found.has_lungs else ["all"]
  return {name: _calibration_of(found, _REGIONS[name]) for name in names}


def _calibration_of(found: Histograms, region: slice) -> dict[str, Any]:
  counts, probabilities = (
    table[:, region].sum(axis=(0, 1)).reshape(2, NUM_BINS, -1).sum(axis=-1)  # (2, NUM_BINS)
    for table in (found.counts, found.probabilities)
  )
  pixels, total = counts.sum(axis=0), counts.sum()
  if not total:
    return {"num_pixels": 0, "expected_calibration_error": None, "brier_score": None, "bins": []}
  gaps = np.abs(probabilities.sum(axis=0) - counts[1])
  return {
    "num_pixels": int(total),
    "expected_calibration_error": float(gaps.sum() / total),
    "brier_score": float(found.squared_errors[:, region].sum() / total),
    "bins": [
      {
        "num_pixels": int(n),
        "mean_probability": float(probability / n) if n else None,
        "infected_share": float(infected / n) if n else None,
      }
      for n, probability, infected in zip(pixels, probabilities.sum(axis=0), counts[1], strict=True)
    ],
  }
