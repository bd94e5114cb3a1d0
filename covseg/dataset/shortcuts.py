"""What classifiers that see no anatomy reach on a dataset: the floor below which a specificity says nothing.

Each tells two kinds of films apart by a few numbers of how a film was scaled, stored, framed or exposed. Where they
succeed, a network can succeed without looking at lungs.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

from covseg.evaluation import statistics
from input_pipeline.films import Films

# The kinds that masks tell apart; others are classes.
ANY_INFECTION = ("any infection", "no infection")

_BORDER_PX = 8
_SENSITIVITY = 0.95


def spectrum(images: np.ndarray) -> np.ndarray:
  """Logarithms of the power in 16 rings of frequencies above 0.25 cycles a pixel, float (N, 16), of uint8 (N, H, W)."""
  _, h, w = images.shape
  frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))
  edges = np.linspace(0.25, frequency.max(), 17)
  ring = np.digitize(frequency, edges[1:-1])
  rings = np.stack([(frequency >= 0.25) & (ring == i) for i in range(16)]).reshape(16, -1).astype(np.float32)
  rings /= rings.sum(axis=1, keepdims=True)
  power = (rings @ np.abs(np.fft.rfft2(image)).ravel() ** 2 for image in images.astype(np.float32))
  return np.log(np.stack(list(power)) + 1)


def border(images: np.ndarray) -> np.ndarray:
  """Means of the squares of 8 x 8 pixels along the four sides, float (N, ...), of uint8 (N, H, W)."""
  n, h, w = images.shape
  rows, columns = h // _BORDER_PX, w // _BORDER_PX
  whole = images[:, : rows * _BORDER_PX, : columns * _BORDER_PX]
  squares = whole.reshape(n, rows, _BORDER_PX, columns, _BORDER_PX).mean(axis=(2, 4))
  is_outer = np.ones((rows, columns), bool)
  is_outer[1:-1, 1:-1] = False
  return squares[:, is_outer]


def grey_levels(images: np.ndarray) -> np.ndarray:
  """Shares of the pixels in 32 bins of grey levels, float (N, 32), of uint8 (N, H, W)."""
  return np.stack([np.bincount(image.ravel() // 8, minlength=32) / image.size for image in images])


CLASSIFIERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "spectrum": spectrum,
  "border": border,
  "grey_levels": grey_levels,
}


def floor(splits: Mapping[str, Films]) -> list[dict[str, Any]]:
  """Figures of each classifier, fitted on "train", on every other split; none where a kind of film is missing.

  They tell films with an infection from those without and, where there are more than two classes, each two of them.

  Returns:
    Rows of "classifier", "numbers" (how many it sees of a film), "positive" and "negative" (the two kinds), "split",
    "films", "auc", and "specificity_at_95_sensitivity".
  """
  of_pairs = {pair: kinds for pair, kinds in _kinds(splits).items() if _has_both(kinds.get("train"))}
  if not any(_has_both(found) for kinds in of_pairs.values() for split, found in kinds.items() if split != "train"):
    return []
  rows = []
  for name, features_of in CLASSIFIERS.items():
    features = {split: features_of(films.images) for split, films in splits.items()}
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0) + 1e-9
    features = {split: (x - mean) / deviation for split, x in features.items()}
    for (positive, negative), kinds in of_pairs.items():
      seen = kinds["train"] >= 0
      weights = logistic_regression(features["train"][seen], kinds["train"][seen] == 1)
      for split, found in kinds.items():
        if split != "train" and _has_both(found):
          scores = features[split][found >= 0] @ weights[:-1] + weights[-1]
          of = {"classifier": name, "numbers": len(mean), "positive": positive, "negative": negative, "split": split}
          rows.append({**of, **_figures(scores, found[found >= 0] == 1)})
  return rows


def _figures(scores: np.ndarray, is_positive: np.ndarray) -> dict[str, Any]:
  """Of scores, float (N,), and whether each film is of the positive kind, bool (N,)."""
  bound = np.quantile(scores[is_positive], 1 - _SENSITIVITY, method="lower")
  return {
    "films": len(scores),
    "auc": round(statistics.auc_of(scores, is_positive), 4),
    "specificity_at_95_sensitivity": round(float((scores[~is_positive] < bound).mean()), 4),
  }


def _kinds(splits: Mapping[str, Films]) -> dict[tuple[str, str], dict[str, np.ndarray]]:
  """{(kind, another): {split: int (N,), 1 for films of the first, 0 of the other, -1 of neither}}."""
  found = {ANY_INFECTION: {split: films.masks.any(axis=(1, 2)).astype(int) for split, films in splits.items()}}
  classes = sorted({label for films in splits.values() for label in films.labels})
  for first, second in itertools.combinations(classes, 2) if len(classes) > 2 else ():
    number = {first: 1, second: 0}
    found[first, second] = {
      split: np.array([number.get(label, -1) for label in films.labels]) for split, films in splits.items()
    }
  return found


def _has_both(kinds: np.ndarray | None) -> bool:
  return kinds is not None and {0, 1} <= set(kinds)


def logistic_regression(features: np.ndarray, positive: np.ndarray) -> np.ndarray:
  """Weights, and the intercept after them, float (F + 1,), of the log-loss summed over films plus |weights|^2 / 2.

  Args:
    features: float (N, F).
    positive: bool (N,).
  """
  signs = np.where(positive, 1.0, -1.0)

  def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
    margins = signs * (features @ weights[:-1] + weights[-1])
    slopes = -signs * scipy.special.expit(-margins)
    penalised = np.append(weights[:-1], 0)
    gradient = np.append(features.T @ slopes, slopes.sum()) + penalised
    return np.logaddexp(0, -margins).sum() + penalised @ penalised / 2, gradient

  found = scipy.optimize.minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B", tol=1e-10)
  return found.x
