"""What an evaluation leaves in its folder: metrics.json, per_image.csv, figures/ and report.html."""

import csv
import io
import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from covseg.evaluation import figures, report
from covseg.evaluation.assessment import Assessment, Origin, empty_and_full, headline
from covseg.evaluation.predictions import Predictions
from covseg.workdir import Workdir, no_formula, write_whole
from input_pipeline.films import Films

logger = logging.getLogger(__name__)


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
  summary = {
    "split": origin.split,
    "threshold": origin.threshold,
    "step": origin.step,
    "eval": origin.config.eval.to_dict(),
    **assessment.summary,
  }
  (folder / "metrics.json").unlink(missing_ok=True)  # An old one must not vouch for new files.
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
  write_whole(folder / "metrics.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")  # The last: all is done.
  print(f"All of this evaluation is in {folder}; to read it, open {folder / 'report.html'}")


def _csv(table: dict[str, Sequence[Any]]) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(table)
  for row in zip(*table.values(), strict=True):
    writer.writerow([f"{value:.6f}" if isinstance(value, float) else no_formula(value) for value in row])
  return text.getvalue()


def _history(name: str) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl of the run in a workdir; none where there is no such file."""
  return Workdir(name).read_metrics()
