"""Everything that is measured of one system's predictions for the films of a split."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from covseg import metrics
from covseg.evaluation import calibration, measures, protocols, statistics, surface
from covseg.evaluation.predictions import Predictions
from covseg.severity import Severity, severity
from covseg.workdir import Workdir
from input_pipeline.films import Films

_PARTS = [field.name for field in dataclasses.fields(Severity)]


@dataclasses.dataclass(frozen=True)
class Assessment:
  """What is known of predictions for N films.

  Attributes:
    summary: what metrics.json holds.
    table: the columns of per_image.csv, N values each; None where one is undefined.
  """

  summary: dict[str, Any]
  table: dict[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where predictions come from.

  Attributes:
    split: the split of the films.
    threshold: the probability above which a pixel is called infected; None for given masks.
    name: what the user called the model, or the folder of the masks.
    config: the configuration.
    step: batches that the weights have learnt from; None for given masks.
    fingerprint: of the weights and of how they predict; None for given masks.
    workdir: of the run that trained the model; None if there is none.
  """

  split: str
  threshold: float | None
  name: str
  config: ConfigDict
  step: int | None = None
  fingerprint: str | None = None
  workdir: Workdir | None = None


@dataclasses.dataclass(frozen=True)
class ChosenThreshold:
  """The threshold with the highest Dice on a split."""

  value: float
  split: str


def choose_threshold(films: Films, predictions: Predictions, split: str) -> ChosenThreshold | None:
  """The threshold with the highest mean Dice per image; None where it is undefined."""
  if predictions.probabilities is None:
    return None
  pixels = calibration.histograms(predictions.probabilities, films.masks, None)
  best = calibration.threshold_curve(pixels)["best"]
  return None if best is None else ChosenThreshold(best, split)


def assess(
  films: Films,
  predictions: Predictions,
  chosen_threshold: ChosenThreshold | None = None,
  near_duplicates: np.ndarray | None = None,
) -> Assessment:
  """All measures of the predictions.

  Args:
    films: N films.
    predictions: the system's predictions for them.
    chosen_threshold: a threshold that a second set of figures is given for; None for no such set.
    near_duplicates: bool (N,), the films that resemble a training film; None where it is not known.
  """
  counts, borders, overlaps = _compare(films, predictions.masks, near_duplicates, "surfaces")
  tp, fp, fn, _ = counts.T
  table = {
    "id": films.ids,
    "label": films.labels,
    **measures.of_films(counts, borders),
    "true_pixels": tp + fn,
    "predicted_pixels": tp + fp,
    "true_infected_percent": 100 * (tp + fn) / counts.sum(axis=1),
    "predicted_infected_percent": 100 * (tp + fp) / counts.sum(axis=1),
  }
  if near_duplicates is not None:
    table["near_duplicate_of_training"] = near_duplicates.astype(int)
  summary = {
    "surface_tolerance_px": surface.TOLERANCE_PX,
    "num_predictions_empty": int((tp + fp == 0).sum()),
    "num_predictions_full": int((fn + counts[:, 3] == 0).sum()),
    **overlaps,
    "at_chosen_threshold": None,
    "calibration": None,
    "threshold_curve": None,
  }
  if predictions.probabilities is not None:
    pixels = calibration.histograms(predictions.probabilities, films.masks, films.lung_masks)
    summary["calibration"] = calibration.calibration(pixels)
    summary["threshold_curve"] = calibration.threshold_curve(pixels)
    table["brier_score"] = pixels.squared_errors.sum(axis=(1, 2, 3)) / counts.sum(axis=1)
    table["largest_probability"] = predictions.probabilities.max(axis=(1, 2)).astype(float)
  if predictions.probabilities is not None and chosen_threshold is not None:
    masks = np.stack([p.astype(np.float32) > chosen_threshold.value for p in predictions.probabilities])
    counts, _, overlaps = _compare(films, masks, near_duplicates, "chosen threshold")
    chosen = {"threshold": chosen_threshold.value, "chosen_on": chosen_threshold.split}
    summary["at_chosen_threshold"] = chosen | overlaps
    table["dice_at_chosen_threshold"] = metrics.dice(counts)
  table |= {f"probability_of_{head}": list(map(float, values)) for head, values in predictions.of_films.items()}
  severities, table_of_severity = _severity(films, predictions)
  return Assessment(summary | {"severity": severities}, table | table_of_severity)


def _compare(
  films: Films, masks: np.ndarray, near_duplicates: np.ndarray | None, title: str
) -> tuple[np.ndarray, list[surface.BorderDistances], dict[str, Any]]:
  """Counts and border distances of each film, and every protocol."""
  counts = np.asarray(metrics.confusion_counts(masks, films.masks), np.int64)
  pairs = tqdm(zip(masks, films.masks, strict=True), title, len(films), unit="film", disable=None)
  borders = [surface.border_distances(*pair) for pair in pairs]
  overlaps = protocols.summarize(counts, borders, near_duplicates, statistics.NUM_RESAMPLES, films.labels)
  return counts, borders, overlaps


def _severity(films: Films, predictions: Predictions) -> tuple[dict[str, Any] | None, dict[str, list]]:
  """How true and predicted infected percent of the lung agree over films with an infection; and both.

  A predicted lung is used where there is one, else the dataset's; for the truth the other way round.
  """
  known = {"stored": films.lung_masks, "predicted": predictions.lung_masks}
  known = {origin: masks for origin, masks in known.items() if masks is not None}
  if not known:
    return None, {}
  origins = {"truth": next(iter(known)), "prediction": list(known)[-1]}
  table = {}
  for kind, masks in (("true", films.masks), ("predicted", predictions.masks)):
    lungs = known[origins["truth" if kind == "true" else "prediction"]]
    found = [dataclasses.astuple(severity(*pair)) for pair in zip(masks, lungs, strict=True)]
    table |= {_column(kind, part): list(v) for part, v in zip(_PARTS, zip(*found, strict=True), strict=True)}

  infected = films.masks.any(axis=(1, 2))
  parts = {}
  for part in _PARTS:
    pairs = np.array([table[_column(kind, part)] for kind in ("true", "predicted")], float)  # NaN for None.
    pairs = pairs[:, infected & ~np.isnan(pairs).any(axis=0)]
    agreement = statistics.agreement(*pairs)
    parts[part] = {"num_images": pairs.shape[1], **statistics.estimate(agreement, pairs.shape[1])}
  return {"lungs": origins, "parts": parts}, table


def _column(kind: str, part: str) -> str:
  return f"{kind}_percent_of_{'lungs' if part == 'percent' else part}"


def headline(summary: dict[str, Any]) -> str:
  """The figures of an evaluation in one line, with the protocol."""
  means = summary["per_image"]
  if not means["num_images"]:
    return f"{summary['split']}: no film has an infection, so there is no per-image Dice"
  low, high = means["intervals"]["dice"]
  return (
    f"{summary['split']}, mean per image over {means['num_images']} films with infection: "
    f"Dice {means['dice']:.4f} (95 % interval {low:.3f} to {high:.3f}), IoU {means['iou']:.4f}, "
    f"pixel accuracy {means['pixel_accuracy']:.4f}; all pixels pooled: "
    f"Dice {summary['pooled']['dice']:.4f}"
  )


def empty_and_full(summary: dict[str, Any], num_films: int) -> str:
  """A sentence that counts empty masks where there is an infection, and full masks; empty if none is."""
  empty, full = summary["num_predictions_empty"], summary["num_predictions_full"]
  missed = summary["per_image"]["num_one_mask_empty"]
  told = []
  if missed:
    told.append(f"{empty} of {num_films} predicted masks are empty, {missed} of them on films with an infection.")
  if full:
    told.append(f"{full} of {num_films} predicted masks are full.")
  return " ".join(told)
