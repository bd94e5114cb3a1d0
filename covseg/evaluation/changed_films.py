"""The figures that are compared between films as they are and films that were changed."""

import numpy as np

from covseg import metrics
from covseg.evaluation import statistics
from covseg.evaluation.predictions import Predictions

Figures = dict[str, float | None]


def figures(predictions: Predictions, masks: np.ndarray) -> Figures:
  """Figures of predictions for N films.

  Args:
    predictions: for the films.
    masks: bool (N, H, W), the truth.

  Returns:
    "films", N; "dice", the mean per image over films with an infection; "sensitivity" and "specificity" of any infected
    pixel, "area_auc" of the infected area, and of each head that predicts no pixels its AUC, as "involvement_auc", over
    all films. None where it is undefined.
  """
  counts = np.asarray(metrics.confusion_counts(predictions.masks, masks), np.int64)
  tp, fp, fn, _ = counts.T
  infected, called = tp + fn > 0, tp + fp > 0
  scores = {"area": tp + fp, **predictions.of_films}
  return {
    "films": len(masks),
    "dice": _mean(metrics.dice(counts[infected])),
    "sensitivity": _mean(called[infected]),
    "specificity": _mean(~called[~infected]),
    **{f"{name}_auc": _auc(score, infected) for name, score in scores.items()},
  }


def _mean(values: np.ndarray) -> float | None:
  return float(values.mean()) if len(values) else None


def _auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
  found = float(statistics.auc(scores, positive)(np.ones((1, len(scores))))[0])
  return None if np.isnan(found) else found
