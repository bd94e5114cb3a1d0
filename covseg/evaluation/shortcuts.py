"""What a model predicts without the lungs, and from the lungs alone: `python -m covseg evaluate --shortcuts`.

A model that finds disease is at a loss without the lungs: its AUC there should be 0.5. One that recognises where a film
comes from needs none (Maguolo and Nanni 2020, https://arxiv.org/abs/2004.12823; DeGrave et al. 2021,
https://doi.org/10.1038/s42256-021-00338-7). The floor, what classifiers that see no anatomy reach on a dataset, is in
`python -m covseg dataset`.
"""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from covseg.evaluation import changed_films
from covseg.evaluation.changed_films import ChangeOfFilms, Figures, Scores

PANELS = {"as_they_are": "As they are", "lungs_black": "Lungs blacked out", "lungs_alone": "Lungs alone"}


def changes(lung_masks: np.ndarray) -> list[ChangeOfFilms]:
  """The changes whose scores `assess` takes, of films with these masks of the lungs, bool (N, H, W), the truth."""
  return [functools.partial(np.multiply, shown) for shown in (~lung_masks, lung_masks)]


def assess(scores: Iterable[Scores], clean: Scores, labels: Sequence[str]) -> dict[str, Figures]:
  """{panel: figures} of a model for films as they are, with black lungs, and with all but the lungs black.

  Args:
    scores: of N films under each of `changes`.
    clean: scores of the films as they are.
    labels: N names of classes; empty where a film's is not known.
  """
  of_panels = zip(PANELS, (clean, *scores), strict=True)
  return {panel: changed_films.figures(of_panel, labels) for panel, of_panel in of_panels}
