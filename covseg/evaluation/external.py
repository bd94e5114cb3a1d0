"""How predictions agree with what is known of films without masks, one hospital at a time: `python -m covseg external`.

Most films of other hospitals have no masks, but many have a diagnosis or a score of severity. Films of different
hospitals also differ in how they were taken and stored, so infected and healthy films should be compared within one
hospital where that is possible (Zech et al. 2018, https://doi.org/10.1371/journal.pmed.1002683).
"""

import csv
import dataclasses
import io
import json
import logging
import math
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from covseg.evaluation import statistics
from covseg.workdir import write_whole

logger = logging.getLogger(__name__)

_NEEDED = ("file", "infected_pixels", "infected_percent_of_lungs")
# Figures of `figures`, with their headings.
_HEADINGS = {
  "marked": "marked",
  "over_a_tenth": "> 10 % of lungs",
  "warned": "warned",
  "sensitivity": "sensitivity",
  "specificity": "specificity",
  "percent_auc": "AUC of percent",
  "probability_auc": "AUC of probability",
  "severity_correlation": "rank correlation",
}


@dataclasses.dataclass(frozen=True)
class LabelledFilms:
  """What is known of N films, and what was predicted for them.

  Attributes:
    sets: N names, as of hospitals.
    infected: float (N,), 1 or 0; NaN where it is not known.
    severity: float (N,), a score of any scale; NaN where there is none.
    marked: bool (N,), whether any pixel is predicted as infected.
    percent: float (N,), infected percent of the lungs; 0 where no lungs were found.
    probability: float (N,), that a lung is infected; NaN of a model without that head.
    warned: bool (N,).
  """

  sets: np.ndarray
  infected: np.ndarray
  severity: np.ndarray
  marked: np.ndarray
  percent: np.ndarray
  probability: np.ndarray
  warned: np.ndarray

  def of(self, chosen: np.ndarray) -> "LabelledFilms":
    """The films that are chosen, bool (N,)."""
    return LabelledFilms(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def run(predictions: str, labels: str) -> None:
  """Prints the figures of each set and of all films, and writes them into external.json beside the predictions.

  Args:
    predictions: folder of `predict`, or a file with the columns of its predictions.csv.
    labels: CSV file; see `read`.

  Raises:
    OSError, ValueError: see `read`.
  """
  table = pathlib.Path(predictions).expanduser()
  table = table / "predictions.csv" if table.is_dir() else table
  films, num_failed = read(table, pathlib.Path(labels).expanduser())
  names = list(dict.fromkeys(films.sets.tolist()))
  of_sets = [figures(films.of(films.sets == name)) for name in names]
  of_all = figures(films)
  found = {"failed": num_failed, "all": of_all, "sets": dict(zip(names, of_sets, strict=True))}
  output = table.with_name("external.json")
  write_whole(output, json.dumps(found, indent=2, allow_nan=False) + "\n")
  print(_text([*names, "all films"], [*of_sets, of_all]))
  if num_failed:
    print(f"Without {num_failed} films for which `predict` failed.")
  if of_all["percent_auc"] is not None and all(of_set["percent_auc"] is None for of_set in of_sets):
    print("No set has both infected films and others, so the AUC over all films also measures how the sets differ.")
  print(f"Intervals: 95 %, bootstrap over films. All figures are in {output}")


def figures(films: LabelledFilms) -> dict[str, Any]:
  """Figures of N films, with intervals as `statistics.estimate` gives them; None where one is undefined.

  Returns:
    "films"; "marked", "over_a_tenth" (of the lungs) and "warned", shares of films; "sensitivity" and "specificity" of
    any marked pixel; "percent_auc" and "probability_auc", how well the infected percent and the probability separate
    infected films from others; "severity_correlation" (Spearman) of the percent with the severity.
  """
  infected, clear, rated = films.infected == 1, films.infected == 0, ~np.isnan(films.severity)
  has_probability = ~np.isnan(films.probability)
  percent_auc = statistics.auc(films.percent, infected)
  probability_auc = statistics.auc(np.nan_to_num(films.probability), infected)
  correlation = statistics.rank_correlation(films.percent, np.nan_to_num(films.severity))

  def share(of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return statistics.divide(weights @ of, weights.sum(axis=1))

  def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
    known = weights * (infected | clear)
    return {
      "marked": share(films.marked, weights),
      "over_a_tenth": share(films.percent > 10, weights),
      "warned": share(films.warned, weights),
      "sensitivity": share(films.marked, weights * infected),
      "specificity": share(~films.marked, weights * clear),
      "percent_auc": percent_auc(known),
      "probability_auc": probability_auc(known * has_probability),
      "severity_correlation": correlation(weights * rated),
    }

  return {"films": len(films.sets), **statistics.estimate(statistic, len(films.sets))}


def read(predictions: pathlib.Path, labels: pathlib.Path) -> tuple[LabelledFilms, int]:
  """The films of a table of labels that were predicted, and the number of those for which that failed.

  Args:
    predictions: as `predict` writes it; films without a label are left alone.
    labels: with the column "file", the path of a film as far as it is needed to tell it from others, and any of "set"
      (else the folder of the film), "infected" and "severity", where an empty cell is not known.

  Raises:
    OSError: a file cannot be read.
    ValueError: a column is missing, a value is none that may be there, a film has two labels, or a label has no
      prediction, or several.
  """
  predicted = _rows(predictions, _NEEDED)
  labelled = _rows(labels, ("file",))
  lines = _lines_of([row["file"] for row in labelled], [row["file"] for row in predicted], labels, predictions)
  unlabelled = len(predicted) - len(lines)
  if unlabelled:
    logger.warning("%d of %d films in %s have no label; left alone.", unlabelled, len(predicted), predictions)
  pairs = [(label, predicted[i]) for label, i in zip(labelled, lines, strict=True)]
  done = [(label, film) for label, film in pairs if film.get("status") != "failed"]
  if not done:
    raise ValueError(f"{predictions}: `predict` failed for all films that have a label.")
  infected = [_number(label, "infected", labels) for label, _ in done]
  if not set(filter(math.isfinite, infected)) <= {0, 1}:
    raise ValueError(f"{labels}: infected must be 1, 0 or empty.")
  films = LabelledFilms(
    sets=np.array([label.get("set") or pathlib.PurePath(film["file"]).parent.name for label, film in done], object),
    infected=np.array(infected),
    severity=np.array([_number(label, "severity", labels) for label, _ in done]),
    marked=np.array([_number(film, "infected_pixels", predictions) > 0 for _, film in done], bool),
    percent=np.nan_to_num([_number(film, "infected_percent_of_lungs", predictions) for _, film in done]),
    probability=np.array([_number(film, "probability_of_infection", predictions) for _, film in done]),
    warned=np.array([bool(film.get("warnings")) for _, film in done], bool),
  )
  return films, len(pairs) - len(done)


def _rows(path: pathlib.Path, needed: Sequence[str]) -> list[dict[str, str]]:
  """The lines of a CSV file that has these columns."""
  try:
    reader = csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
    names = list(reader.fieldnames or ())
    rows = [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
  missing = [name for name in needed if name not in names]
  if missing:
    raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}.")
  if not rows:
    raise ValueError(f"{path} has no films.")
  return rows


def _lines_of(files: Sequence[str], predicted: Sequence[str], labels: pathlib.Path, table: pathlib.Path) -> list[int]:
  """The line of each file among those predicted: the path that ends with its own."""
  by_end: dict[tuple[str, ...], list[int]] = {}
  for i, name in enumerate(predicted):
    parts = pathlib.PurePath(name).parts
    for start in range(len(parts)):
      by_end.setdefault(parts[start:], []).append(i)
  found = [by_end.get(pathlib.PurePath(name).parts, []) for name in files]
  labels_of = Counter(lines[0] for lines in found if lines)
  for text, is_wrong in (
    ("have no prediction", [not lines for lines in found]),
    ("match several predictions", [len(lines) > 1 for lines in found]),
    ("have several labels", [labels_of[lines[0]] > 1 for lines in found if lines]),
  ):
    wrong = [name for name, chosen in zip(files, is_wrong, strict=True) if chosen]
    if wrong:
      examples = ", ".join([*wrong[:3], *["..."] * (len(wrong) > 3)])
      raise ValueError(f"{len(wrong)} of {len(files)} files of {labels} {text}, in {table}: {examples}.")
  return [lines[0] for lines in found]


def _number(row: dict[str, str], column: str, path: pathlib.Path) -> float:
  """A number of a line; NaN where there is none."""
  text = row.get(column, "")
  try:
    value = float(text or "nan")
  except ValueError:
    value = math.inf
  if math.isinf(value):
    raise ValueError(f"{path}: {column} of {row['file']} is {text!r}, which is not a number.")
  return value


def _text(names: Sequence[str], found: Sequence[dict[str, Any]]) -> str:
  """A table, a line a set, of the figures that any set has."""
  columns = [column for column in _HEADINGS if any(of_set[column] is not None for of_set in found)]
  lines = [["set", "films", *(_HEADINGS[column] for column in columns)]]
  for name, of_set in zip(names, found, strict=True):
    lines.append([name, str(of_set["films"]), *(_cell(of_set, column) for column in columns)])
  widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
  return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(figures: dict[str, Any], name: str) -> str:
  if figures[name] is None:
    return ""
  low, high = figures["intervals"][name]
  return f"{figures[name]:.2f} ({low:.2f} to {high:.2f})"
