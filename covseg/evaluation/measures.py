"""The measures of a mask against the truth: each with its heading, its decimals and its functions, once.

Whatever stands here is computed under every protocol, and is in metrics.json, per_image.csv and the report.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from covseg import metrics
from covseg.evaluation import surface
from covseg.evaluation.statistics import Statistic
from covseg.evaluation.surface import BorderDistances


@dataclasses.dataclass(frozen=True)
class Measure:
  """A measure, either of pixel counts or of distances between borders.

  Attributes:
    heading: in the report.
    decimals: that are printed.
    of_counts: float (...) of confusion counts (..., 4); pooled, it is the same function of their sums.
    of_borders: float of the border distances of one film.
    pooled: the statistic, a function of weights (R, N), of the border distances of all films together.
  """

  heading: str
  decimals: int = 3
  of_counts: Callable[[np.ndarray], np.ndarray] | None = None
  of_borders: Callable[[BorderDistances], float] | None = None
  pooled: Callable[[Sequence[BorderDistances]], Statistic] | None = None


MEASURES = {
  "dice": Measure("Dice", of_counts=metrics.dice),
  "iou": Measure("IoU", of_counts=metrics.iou),
  "pixel_accuracy": Measure("Pixel accuracy", of_counts=metrics.pixel_accuracy),
  "pixel_accuracy_all_background": Measure(
    "Pixel accuracy of an empty mask", of_counts=metrics.pixel_accuracy_all_background
  ),
  "precision": Measure("Precision", of_counts=metrics.precision),
  "recall": Measure("Recall", of_counts=metrics.recall),
  "hd95_px": Measure("HD95 [px]", 1, of_borders=BorderDistances.hd95_px, pooled=surface.pooled_hd95),
  "assd_px": Measure("ASSD [px]", 1, of_borders=BorderDistances.assd_px, pooled=surface.pooled_assd),
  "nsd": Measure("NSD", of_borders=BorderDistances.nsd, pooled=surface.pooled_nsd),
}


def of_films(counts: np.ndarray, borders: Sequence[BorderDistances] | None) -> dict[str, np.ndarray]:
  """{measure: float (N,)} of counts (N, 4) and N border distances; without these, measures of pixels only."""
  found = {}
  for name, measure in MEASURES.items():
    if measure.of_counts:
      found[name] = measure.of_counts(counts)
    elif borders is not None:
      found[name] = np.array([measure.of_borders(distances) for distances in borders])
  return found


def pooled(counts: np.ndarray, borders: Sequence[BorderDistances] | None) -> Statistic:
  """The statistic (see `statistics`) of every measure of all films together."""
  of_borders = {name: m.pooled(borders) for name, m in MEASURES.items() if m.pooled and borders is not None}

  def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
    sums = weights @ counts
    found = {name: m.of_counts(sums) for name, m in MEASURES.items() if m.of_counts}
    return found | {name: of_weights(weights) for name, of_weights in of_borders.items()}

  return statistic
