"""What classifiers that see no anatomy reach on a dataset: the floor below which a specificity says nothing.

Each tells films with an infection from those without by a few numbers of how a film was scaled, stored, framed or
exposed. Where they succeed, a network can succeed without looking at lungs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

from covseg.evaluation import statistics
from input_pipeline.films import Films

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

  Returns:
    Rows of "classifier", "numbers" (how many it sees of a film), "split", "films", "auc", and
    "specificity_at_95_sensitivity".
  """
  infected = {split: films.masks.any(axis=(1, 2)) for split, films in splits.items()}
  scored = [split for split, kinds in infected.items() if split != "train" and 0 < kinds.sum() < len(kinds)]
  if not scored or "train" not in splits or not 0 < infected["train"].sum() < len(infected["train"]):
    return []
  rows = []
  for name, features_of in CLASSIFIERS.items():
    features = {split: features_of(splits[split].images) for split in ("train", *scored)}
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0) + 1e-9
    features = {split: (x - mean) / deviation for split, x in features.items()}
    weights = logistic_regression(features["train"], infected["train"])
    for split in scored:
      scores, kinds = features[split] @ weights[:-1] + weights[-1], infected[split]
      bound = np.quantile(scores[kinds], 1 - _SENSITIVITY, method="lower")
      rows.append(
        {
          "classifier": name,
          "numbers": len(mean),
          "split": split,
          "films": len(kinds),
          "auc": round(float(statistics.auc(scores, kinds)(np.ones((1, len(kinds))))[0]), 4),
          "specificity_at_95_sensitivity": round(float((scores[~kinds] < bound).mean()), 4),
        }
      )
  return rows


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
