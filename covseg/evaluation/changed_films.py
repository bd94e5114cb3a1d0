"""The figures that are compared between films as they are and films that were changed."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

from covseg import metrics
from covseg.evaluation import protocols, statistics

Figures = dict[str, float | None]
# Of N films, uint8 (N, H, W), each changed, uint8 (H, W). It goes to other processes, so it is no lambda.
ChangeOfFilms = Callable[[np.ndarray], Iterable[np.ndarray]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scores:
  """What the figures of N films follow from.

  Attributes:
    counts: confusion counts of pixels, int (N, 4): true positive, false positive, false negative, true negative.
    of_films: {head: float32 (N,)}, probabilities of heads that predict no pixels, as "involvement".
  """

  counts: np.ndarray
  of_films: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def figures(scores: Scores, labels: Sequence[str]) -> Figures:
  """Figures of a model for N films.

  Args:
    scores: of the films.
    labels: N names of classes; empty where a film's is not known.

  Returns:
    "films", N; "dice", the mean per image over films with an infection; "sensitivity" and "specificity" of any infected
    pixel, "area_auc" of the infected area, and of each head that predicts no pixels its AUC, as "involvement_auc", over
    all films; for each class the share of its films on which any pixel is marked, as "marked_Normal". None where a
    figure is undefined.
  """
  tp, fp, fn, _ = counts = np.asarray(scores.counts, np.int64).T
  infected, marked = tp + fn > 0, tp + fp > 0
  ranked = {"area": tp + fp, **scores.of_films}
  return {
    "films": len(labels),
    "dice": _mean(metrics.dice(counts.T[infected])),
    "sensitivity": _mean(marked[infected]),
    "specificity": _mean(~marked[~infected]),
    **{f"{name}_auc": statistics.auc_of(values, infected) for name, values in ranked.items()},
    **{f"marked_{name}": _mean(marked[films]) for name, films in protocols.films_of_classes(labels).items()},
  }


def _mean(values: np.ndarray) -> float | None:
  return float(values.mean()) if len(values) else None
