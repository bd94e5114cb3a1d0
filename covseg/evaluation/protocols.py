"""Every measure under every protocol, from the pixel counts and the border distances of each film."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from covseg.evaluation import measures, statistics
from covseg.evaluation.surface import BorderDistances


def summarize(
  counts: np.ndarray,
  borders: Sequence[BorderDistances] | None = None,
  near_duplicates: np.ndarray | None = None,
  resamples: int = 0,
  labels: Sequence[str] = (),
) -> dict[str, Any]:
  """Every protocol, with its measures and their intervals.

  - per_image: the mean over films with an infection (on COVID-QU-Ex: the COVID-19 films);
  - pooled: all pixels, and all borders, of those films counted together; None where there is no such film;
  - with_negatives: the mean over all films, where empty on empty counts as 1, with image-level
    sensitivity and specificity of any infected pixel, and the area under the ROC curve of the predicted
    infected area; None where every film has an infection;
  - deduplicated: as per_image, without near-duplicates of training films; None where these are not known;
  - by_infected_area: as per_image, in quartiles of the true infected area;
  - marked_by_class: the share of the films of each class on which any pixel is marked.

  Args:
    counts: confusion counts, int (N, 4), of all films.
    borders: N distances; None for no measures of surfaces.
    near_duplicates: bool (N,), the films that resemble a training film.
    resamples: samples for the bootstrap intervals; 0 for none.
    labels: N names of classes; empty where a film's is not known.
  """
  areas = counts[:, 0] + counts[:, 2]
  infected = np.flatnonzero(areas)
  by_area = infected[np.argsort(areas[infected], kind="stable")]

  def mean_over(films: np.ndarray) -> dict[str, Any]:
    return _means(counts[films], _of(borders, films), resamples)

  deduplicated = None
  if near_duplicates is not None:
    left = infected[~near_duplicates[infected]]
    deduplicated = {"num_left_out": len(infected) - len(left), **mean_over(left)}
  return {
    "per_image": mean_over(infected),
    "pooled": _pooled(counts[infected], _of(borders, infected), resamples) if len(infected) else None,
    "with_negatives": None if len(infected) == len(counts) else _with_negatives(counts, borders, resamples),
    "deduplicated": deduplicated,
    "by_infected_area": [
      {
        "least_percent": float(100 * areas[films[0]] / counts[0].sum()),
        "largest_percent": float(100 * areas[films[-1]] / counts[0].sum()),
        **mean_over(films),
      }
      for films in np.array_split(by_area, 4)
      if len(films)
    ],
    "marked_by_class": {name: _marked(counts[films], resamples) for name, films in films_of_classes(labels).items()},
  }


def films_of_classes(labels: Sequence[str]) -> dict[str, np.ndarray]:
  """{class: bool (N,), the films of it}, from the names of N films' classes; empty names are of none."""
  return {name: np.array(labels) == name for name in sorted(set(filter(None, labels)))}


def _means(counts: np.ndarray, borders: Sequence[BorderDistances] | None, resamples: int) -> dict[str, Any]:
  mean = statistics.means(measures.of_films(counts, borders))
  return _about(counts, borders) | statistics.estimate(mean, len(counts), resamples)


def _with_negatives(counts: np.ndarray, borders: Sequence[BorderDistances] | None, resamples: int) -> dict[str, Any]:
  tp, fp, fn, _ = counts.T
  infected, called = tp + fn > 0, tp + fp > 0
  mean = statistics.means(measures.of_films(counts, borders))
  auc = statistics.auc(tp + fp, infected)

  def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
    return {
      **mean(weights),
      "sensitivity": statistics.divide(weights @ (infected & called), weights @ infected),
      "specificity": statistics.divide(weights @ ~(infected | called), weights @ ~infected),
      "auc": auc(weights),
    }

  return _about(counts, borders) | statistics.estimate(statistic, len(counts), resamples)


def _marked(counts: np.ndarray, resamples: int) -> dict[str, Any]:
  share = statistics.means({"share": counts[:, 0] + counts[:, 1] > 0})
  return _about(counts, None) | statistics.estimate(share, len(counts), resamples)


def _pooled(counts: np.ndarray, borders: Sequence[BorderDistances] | None, resamples: int) -> dict[str, Any]:
  return _about(counts, borders) | statistics.estimate(measures.pooled(counts, borders), len(counts), resamples)


def _about(counts: np.ndarray, borders: Sequence[BorderDistances] | None) -> dict[str, int]:
  """Number of films, and of those whose distances are set by definition because a mask is empty."""
  tp, fp, fn, _ = counts.T
  found = {"num_images": len(counts)}
  if borders is not None:
    empty = np.array([tp + fp == 0, tp + fn == 0]).sum(axis=0)
    found |= {"num_one_mask_empty": int((empty == 1).sum()), "num_both_masks_empty": int((empty == 2).sum())}
  return found


def _of(borders: Sequence[BorderDistances] | None, films: np.ndarray) -> list[BorderDistances] | None:
  return None if borders is None else [borders[i] for i in films]
