"""What an evaluation leaves in its folder: metrics.json, per_image.csv, figures/ and report.html."""

import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from configs import default
from covseg.evaluation import figures, report
from covseg.evaluation.assessment import Assessment, Origin, empty_and_full, headline
from covseg.evaluation.predictions import Predictions
from covseg.workdir import write_whole
from input_pipeline.films import Films, crc32
from input_pipeline.tables import read_csv, to_csv

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
    predictions: a system's predictions for them.
    assessment: what has been measured.
    origin: where the predictions come from.
    chosen_films: ids of films for a figure of their own.
  """
  summary = {**_settings(origin), "films_crc32": crc32(films.images, films.masks), **assessment.summary}
  log = origin.workdir.read_metrics() if origin.workdir else []
  pictures = figures.draw(assessment, films, predictions.masks, log, chosen_films)
  page = report.html(summary, assessment.table, films, predictions.masks, pictures, origin)
  (folder / "metrics.json").unlink(missing_ok=True)  # An old one must not vouch for new files.
  for old in (folder / "figures").glob("*.svg"):  # Nor may its figures stand among the new ones.
    if old.with_suffix(".png").exists():
      old.unlink()
      old.with_suffix(".png").unlink()
  write_whole(folder / "per_image.csv", _csv(assessment.table))
  print(headline(summary))
  told = empty_and_full(summary, len(films))
  if told:
    logger.warning(told)

  for picture in pictures:
    write_whole(folder / "figures" / f"{picture.name}.png", picture.png)
    write_whole(folder / "figures" / f"{picture.name}.svg", picture.svg)
  write_whole(folder / "report.html", page)
  write_whole(folder / "metrics.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")  # The last: all is done.
  print(f"All of this evaluation is in {folder}; to read it, open {folder / 'report.html'}")


def earlier(folder: pathlib.Path, origin: Origin, films: Films) -> tuple[dict[str, Any], list[str]]:
  """What takes long of an earlier evaluation in a folder, and how that differs from one to come.

  Args:
    folder: that of the results.
    origin: of the evaluation to come.
    films: its films.

  Returns:
    {"robustness": ..., "shortcuts": ...}, without those that were not measured; and the settings that differ, with
    "films" where these do.
  """
  try:
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics = {"prune_to": 0, **metrics}  # Which older ones lack.
    metrics["eval"] = {**default.get_config().eval.to_dict(), **metrics["eval"]}
    earlier_ids = [row["id"] for row in read_csv(folder / "per_image.csv")]
  except (KeyError, OSError, ValueError):
    return {}, []
  # The fingerprint tells models apart, by whatever name they were called.
  expected = {name: value for name, value in _settings(origin).items() if name != "model"}
  metrics["eval"]["batch_size"] = origin.config.eval.batch_size  # Which changes no result.
  different = [name for name, value in expected.items() if metrics.get(name) != value]
  found = {name: metrics[name] for name in ("robustness", "shortcuts") if metrics.get(name)}
  # Evaluations of earlier versions have no checksum.
  are_same = earlier_ids == films.ids and metrics.get("films_crc32") in (None, crc32(films.images, films.masks))
  return found, different + ([] if are_same else ["films"])


def _settings(origin: Origin) -> dict[str, Any]:
  return {
    "split": origin.split,
    "model": origin.name,
    "dataset": {name: origin.config.dataset[name] for name in ("name", "cohort")},
    "threshold": origin.threshold,
    "step": origin.step,
    "fingerprint": origin.fingerprint,
    "eval": origin.config.eval.to_dict(),
    "prune_to": origin.config.model.prune_to,
  }


def _csv(table: dict[str, Sequence[Any]]) -> str:
  lines = zip(*table.values(), strict=True)
  return to_csv([table, *([f"{value:.6f}" if isinstance(value, float) else value for value in line] for line in lines)])
