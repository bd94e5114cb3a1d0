"""Estimates over films with bootstrap intervals.

A statistic is a function of weights (R, N), how often each of N films occurs in each of R samples, that
returns an array (R,) for each of its names. Weights of one give the estimate itself; the weights of
samples drawn with replacement give its distribution, all samples at once.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

NUM_RESAMPLES = 1000
_WEIGHTS_AT_ONCE = 1_000_000
_SEED = 0


def estimate(statistic: Statistic, num_films: int, resamples: int = NUM_RESAMPLES) -> dict[str, Any]:
  """{name: value, ..., "intervals": {name: [low, high], ...}} of a statistic.

  The intervals are the 2.5 and 97.5 percentiles over samples of the films, drawn with replacement from
  a fixed seed. A value or an interval that is undefined is None.

  Args:
    statistic: as above.
    num_films: N.
    resamples: R; 0 for no intervals.
  """
  values = statistic(np.ones((1, num_films)))
  found = {name: _number(value[0]) for name, value in values.items()}
  if resamples:
    parts = [statistic(weights) for weights in _resampled(num_films, resamples)]
    found["intervals"] = {name: _interval(np.concatenate([part[name] for part in parts])) for name in values}
  return found


def means(columns: Mapping[str, np.ndarray]) -> Statistic:
  """The mean of each column (N,)."""
  return lambda weights: {name: divide(weights @ column, weights.sum(axis=1)) for name, column in columns.items()}


def auc(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
  """Area under the ROC curve: how often a positive film scores higher than a negative one, ties half.

  Args:
    scores: (N,).
    positive: bool (N,).

  Returns:
    A function of weights (R, N) to an array (R,); NaN where one of the two kinds is missing.
  """
  groups = _Groups(scores)

  def statistic(weights: np.ndarray) -> np.ndarray:
    positives, negatives = groups.sums(weights * positive), groups.sums(weights * ~positive)
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return divide((positives * (below + negatives / 2)).sum(axis=1), pairs)

  return statistic


def auc_of(scores: np.ndarray, positive: np.ndarray) -> float | None:
  """`auc` of all films; None where it is undefined."""
  return _number(auc(scores, positive)(np.ones((1, len(scores))))[0])


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
  """Spearman's rank correlation, ties at their mean rank.

  Args:
    x, y: (N,).

  Returns:
    A function of weights (R, N) to an array (R,); NaN where x or y is constant.
  """
  groups_of_x, groups_of_y = _Groups(x), _Groups(y)

  def statistic(weights: np.ndarray) -> np.ndarray:
    # Each of the films that a weight stands for has the same rank.
    a, b = (groups.mean_ranks(weights) for groups in (groups_of_x, groups_of_y))
    a, b = (ranks - divide((weights * ranks).sum(axis=1), weights.sum(axis=1))[:, None] for ranks in (a, b))
    covariance, of_a, of_b = ((weights * products).sum(axis=1) for products in (a * b, a * a, b * b))
    return divide(covariance, np.sqrt(of_a * of_b))

  return statistic


class _Groups:
  """Groups of films that have equal values (N,), from low to high."""

  def __init__(self, values: np.ndarray):
    _, self._group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    self._order = np.argsort(self._group, kind="stable")
    self._starts = np.cumsum(sizes) - sizes

  def sums(self, weights: np.ndarray) -> np.ndarray:
    """Sum of the weights (R, N) in each of G groups, (R, G)."""
    if not len(self._order):
      return np.zeros((len(weights), 0))
    return np.add.reduceat(weights[:, self._order], self._starts, axis=1)

  def mean_ranks(self, weights: np.ndarray) -> np.ndarray:
    """Mean rank, from 0, of the films of each group, where film i is there weights[:, i] times; (R, N)."""
    sums = self.sums(weights)
    return (np.cumsum(sums, axis=1) - (sums + 1) / 2)[:, self._group]


def agreement(truth: np.ndarray, prediction: np.ndarray) -> Statistic:
  """How well two measurements (N,) of the same films agree.

  - mean_absolute_error;
  - icc: intraclass correlation ICC(2,1), two-way random effects, absolute agreement, single measurement
    (Shrout and Fleiss 1979);
  - bias, lower_limit, upper_limit: mean of prediction - truth, and the limits of agreement, 1.96
    standard deviations from it (Bland and Altman 1986).
  """
  middle, difference = (truth + prediction) / 2, prediction - truth
  middle = middle - (middle.mean() if len(middle) else 0)  # For precision; nothing depends on it.

  def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
    n = weights.sum(axis=1)
    bias = divide(weights @ difference, n)
    between = 2 * divide(_squares(weights, middle), n - 1)  # Mean squares of films,
    residual = divide(_squares(weights, difference), n - 1) / 2  # of the rest,
    measurement = n * bias**2 / 2  # and of the two measurements.
    spread = 1.96 * np.sqrt(2 * residual)
    return {
      "mean_absolute_error": divide(weights @ np.abs(difference), n),
      "icc": divide(between - residual, between + residual + 2 * divide(measurement - residual, n)),
      "bias": bias,
      "lower_limit": bias - spread,
      "upper_limit": bias + spread,
    }

  return statistic


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """numerator / denominator; NaN where the denominator is not above 0."""
  return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def _squares(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Sum of squared deviations from the mean, (R,)."""
  total = weights @ values
  return np.maximum(weights @ values**2 - divide(total**2, weights.sum(axis=1)), 0)


def _resampled(num_films: int, resamples: int) -> Iterator[np.ndarray]:
  """Weights of samples of N films, drawn with replacement: R in all, as many (r, N) at a time as fit into memory."""
  rng = np.random.default_rng(_SEED)
  at_once = max(1, _WEIGHTS_AT_ONCE // max(num_films, 1))
  for start in range(0, resamples, at_once):
    rows = min(at_once, resamples - start)
    cells = rng.integers(0, max(num_films, 1), (rows, num_films)) + num_films * np.arange(rows)[:, None]
    yield np.bincount(cells.ravel(), minlength=rows * num_films).reshape(rows, -1).astype(float)


def _interval(samples: np.ndarray) -> list[float] | None:
  samples = samples[~np.isnan(samples)]
  return np.percentile(samples, [2.5, 97.5]).tolist() if len(samples) else None


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)
