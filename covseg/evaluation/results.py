"""What an evaluation leaves in its folder: metrics.json, per_image.csv, figures/ and report.html."""

import csv
import dataclasses
import io
import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from covseg.evaluation.assessment import Assessment
from covseg.evaluation.predictions import Predictions
from covseg.workdir import Workdir, write_whole
from input_pipeline.films import Films

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where predictions come from.

  Attributes:
    split: the split of the films.
    threshold: the probability above which a pixel is called infected; None for given masks.
    name: what the user called the model, or the folder of the masks.
    config: the configuration.
    step: updates that the weights have seen; None for given masks.
  """

  split: str
  threshold: float | None
  name: str
  config: ConfigDict
  step: int | None = None


def write(
  folder: pathlib.Path,
  films: Films,
  predictions: Predictions,
  assessment: Assessment,
  origin: Origin,
  chosen_films: Sequence[str] = (),
) -> None:
  """Writes the whole evaluation, and prints its headline.

  Args:
    folder: where to.
    films: what was evaluated on.
    predictions: what a system says of them.
    assessment: what has been measured.
    origin: where the predictions come from.
    chosen_films: ids of films for a figure of their own.
  """
  from covseg.evaluation import figures, report  # Here, because matplotlib takes a second to import.

  summary = {"split": origin.split, "threshold": origin.threshold, "step": origin.step, **assessment.summary}
  write_whole(folder / "metrics.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
  write_whole(folder / "per_image.csv", _csv(assessment.table))
  print(headline(summary))
  told = empty_and_full(summary, len(films))
  if told:
    logger.warning(told)

  pictures = figures.draw(assessment, films, predictions.masks, _history(origin.name), chosen_films)
  for picture in pictures:
    write_whole(folder / "figures" / f"{picture.name}.png", picture.png)
    write_whole(folder / "figures" / f"{picture.name}.svg", picture.svg)
  write_whole(
    folder / "report.html", report.html(summary, assessment.table, films, predictions.masks, pictures, origin)
  )
  print(f"All of this evaluation is in {folder}; to read it, open {folder / 'report.html'}")


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
    told.append(
      f"{empty} of {num_films} predicted masks are empty, {missed} of them on films with an infection."
    )
  if full:
    told.append(f"{full} of {num_films} predicted masks are full.")
  return " ".join(told)


def _csv(table: dict[str, Sequence[Any]]) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(table)
  for row in zip(*table.values(), strict=True):
    writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row])
  return text.getvalue()


def _history(name: str) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl of the run in a workdir; none where there is no such file."""
  file = Workdir(name).metrics_file
  return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
