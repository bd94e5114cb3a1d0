"""Overlap of predicted and true masks, from the four counts of a confusion matrix.

Counts are an array (..., 4): true positives, false positives, false negatives, true negatives. With
a row per image the metrics are per image; summed over images, they are pooled. `confusion_counts` takes
JAX and NumPy arrays alike, the metrics take NumPy counts.
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray


def confusion_counts(prediction: Array, target: Array) -> jax.Array:
  """Counts of pixels, int32 (B, 4), of bool (B, H, W) predictions and targets."""
  pairs = (
    (prediction, target),
    (prediction, ~target),
    (~prediction, target),
    (~prediction, ~target),
  )
  return jnp.stack([(p & t).sum(axis=(1, 2), dtype=jnp.int32) for p, t in pairs], axis=-1)


def dice(counts: np.ndarray) -> np.ndarray:
  """Dice coefficient, 2|P∩T| / (|P|+|T|), float64 (...); 1 where both masks are empty."""
  tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
  return _ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: np.ndarray) -> np.ndarray:
  """Intersection over union, |P∩T| / |P∪T|, float64 (...); 1 where both masks are empty."""
  tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
  return _ratio(tp, tp + fp + fn)


def precision(counts: np.ndarray) -> np.ndarray:
  """|P∩T| / |P|, float64 (...); where nothing is predicted, 1 if the target is empty too, else 0."""
  tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
  return np.where(tp + fp == 0, fn == 0, _ratio(tp, tp + fp))


def recall(counts: np.ndarray) -> np.ndarray:
  """|P∩T| / |T|, float64 (...); 1 where the target is empty."""
  tp, _, fn, _ = np.moveaxis(counts, -1, 0)
  return _ratio(tp, tp + fn)


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
  """Share of pixels that are labelled right, float64 (...)."""
  tp, _, _, tn = np.moveaxis(counts, -1, 0)
  return _ratio(tp + tn, counts.sum(axis=-1))


def pixel_accuracy_all_background(counts: np.ndarray) -> np.ndarray:
  """The pixel accuracy that a map without any infection would have, float64 (...)."""
  _, fp, _, tn = np.moveaxis(counts, -1, 0)
  return _ratio(fp + tn, counts.sum(axis=-1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """numerator / denominator in float64; 1 where the denominator is 0."""
  return np.where(denominator == 0, 1.0, numerator / np.maximum(denominator, 1))
