"""Evaluation of a network on the films of a split."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from covseg.evaluation import results
from covseg.evaluation.assessment import Origin, assess, choose_threshold
from covseg.evaluation.evaluator import Evaluator
from covseg.evaluation.predictions import Predictions
from covseg.runtime import devices
from covseg.trained.trained_model import TrainedModel
from input_pipeline.films import Films


def evaluate_model(
  trained: TrainedModel,
  evaluator: Evaluator,
  films: Films,
  split: str,
  folder: pathlib.Path,
  validation: Films | None = None,
  *,
  predictions: Predictions | None = None,
  changed: Mapping[str, Any] | None = None,
  near_duplicates: np.ndarray | None = None,
  chosen_films: Sequence[str] = (),
) -> None:
  """Evaluates what a model predicts, by its evaluator, for the films of a split.

  `changed`, `near_duplicates` and `chosen_films` are those of `evaluate`.

  `predictions` are what it predicts, where that is known. Where `validation`, other films, is given, the threshold of a
  second set of figures is chosen on them. What an earlier evaluation in the folder, with the same settings, has of
  `changed` is kept.
  """
  origin = origin_of(trained, split)
  kept, different = results.earlier(folder, origin, films)
  predictions = predictions or evaluator.predict(trained.variables, films, split)
  on_validation = (validation, evaluator.predict(trained.variables, validation, "threshold")) if validation else None
  changed = ({} if different else kept) | dict(changed or {})
  evaluate(
    films,
    predictions,
    origin,
    folder,
    on_validation=on_validation,
    near_duplicates=near_duplicates,
    chosen_films=chosen_films,
    changed=changed,
  )


def origin_of(trained: TrainedModel, split: str) -> Origin:
  """The origin of what a model predicts for the films of a split."""
  threshold = trained.config.eval.threshold
  return Origin(split, threshold, trained.name, trained.config, trained.step, trained.fingerprint, trained.workdir)


def evaluate(
  films: Films,
  predictions: Predictions,
  origin: Origin,
  folder: pathlib.Path,
  *,
  on_validation: tuple[Films, Predictions] | None = None,
  near_duplicates: np.ndarray | None = None,
  chosen_films: Sequence[str] = (),
  changed: Mapping[str, Any] | None = None,
) -> None:
  """Assesses predictions for the films of a split, prints the figures, and writes all there is into a folder.

  Args:
    films: the films of the split.
    predictions: a model's, or those of another system.
    origin: where the predictions come from.
    folder: where the results go.
    on_validation: films and predictions on which the threshold of a second set of figures is chosen; None for no
      such set. On the validation split, it is chosen there.
    near_duplicates: bool (N,), the films that resemble a training film; None where it is not known.
    chosen_films: ids of films for a figure of their own.
    changed: {"robustness": what `robustness.assess` returns, "shortcuts": what `shortcuts.assess` returns}; those that
      were not evaluated are left out.
  """
  if not devices.is_main_process():
    return
  if origin.split == "validation":
    on_validation = films, predictions
  chosen = choose_threshold(*on_validation, "validation") if on_validation else None
  assessment = assess(films, predictions, chosen, near_duplicates)
  assessment.summary.update({"robustness": None, "shortcuts": None, **(changed or {})})
  results.write(folder, films, predictions, assessment, origin, chosen_films)
