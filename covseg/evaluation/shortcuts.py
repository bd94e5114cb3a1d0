"""What a model predicts without the lungs, and from the lungs alone: `python -m covseg evaluate --shortcuts`.

A model that finds disease is at a loss without the lungs: its AUC there should be 0.5. One that recognises where a film
comes from needs none (Maguolo and Nanni 2020, https://arxiv.org/abs/2004.12823; DeGrave et al. 2021,
https://doi.org/10.1038/s42256-021-00338-7). The floor, what classifiers that see no anatomy reach on a dataset, is in
`python -m covseg dataset`.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from covseg.evaluation import changed_films
from covseg.evaluation.changed_films import Figures, Scores

PANELS = {"as_they_are": "As they are", "lungs_black": "Lungs blacked out", "lungs_alone": "Lungs alone"}


def assess(
  score: Callable[[Iterable[np.ndarray]], Scores],
  clean: Scores,
  images: np.ndarray,
  lung_masks: np.ndarray,
  labels: Sequence[str],
) -> dict[str, Figures]:
  """{panel: figures} of a model for films as they are, with black lungs, and with all but the lungs black.

  Args:
    score: scores of films, N times uint8 (H, W).
    clean: scores of the films as they are.
    images: uint8 (N, H, W).
    lung_masks: bool (N, H, W), the truth.
    labels: N names of classes; empty where a film's is not known.
  """
  found = {"as_they_are": changed_films.figures(clean, labels)}
  for panel, shown in (("lungs_black", ~lung_masks), ("lungs_alone", lung_masks)):
    found[panel] = changed_films.figures(score(images * shown), labels)
  return found
