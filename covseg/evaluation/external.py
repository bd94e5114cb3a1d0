"""How predictions agree with what is known of films without masks, one hospital at a time: `python -m covseg external`.

Most films of other hospitals have no masks, but many have a diagnosis or a score of severity. Films of different
hospitals also differ in how they were taken and stored, so infected and healthy films should be compared within one
hospital where that is possible (Zech et al. 2018, https://doi.org/10.1371/journal.pmed.1002683).
"""

import dataclasses
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
from input_pipeline.tables import read_csv
from input_pipeline.wording import first_of

logger = logging.getLogger(__name__)

_NEEDED = ("file", "infected_pixels", "infected_percent_of_lungs")
_KNOWN = ("set", "infected", "severity")
# Columns of the printed table.
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
    percent: float (N,), infected percent of the lungs; 0 where no lungs were found, NaN of a system that finds none.
    probability: float (N,), that a lung is infected; NaN of a model without that head.
    warned: float (N,), 1 or 0; NaN of a system without warnings.
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
  if len(names) > 1 and (of_all["sensitivity"] is not None or of_all["severity_correlation"] is not None):
    print("Over all films, an AUC and a rank correlation also measure how the sets differ: compare within each set.")
  print(f"Intervals: 95 %, bootstrap over films. All figures are in {output}")


def figures(films: LabelledFilms) -> dict[str, Any]:
  """Figures of N films, with intervals as `statistics.estimate` gives them; None where one is undefined.

  Returns:
    "films"; "marked", "over_a_tenth" (of the lungs) and "warned", shares of films; "sensitivity" and "specificity" of
    any marked pixel; "percent_auc" and "probability_auc", how well the infected percent and the probability separate
    infected films from others; "severity_correlation" (Spearman) of the percent with the severity.
  """
  infected, clear, rated = films.infected == 1, films.infected == 0, ~np.isnan(films.severity)
  has_percent, has_probability, may_warn = (
    ~np.isnan(values) for values in (films.percent, films.probability, films.warned)
  )
  percent_auc = statistics.auc(np.nan_to_num(films.percent), infected)
  probability_auc = statistics.auc(np.nan_to_num(films.probability), infected)
  correlation = statistics.rank_correlation(np.nan_to_num(films.percent), np.nan_to_num(films.severity))

  def share(of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return statistics.divide(weights @ of, weights.sum(axis=1))

  def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
    known = weights * (infected | clear)
    return {
      "marked": share(films.marked, weights),
      "over_a_tenth": share(films.percent > 10, weights * has_percent),
      "warned": share(films.warned == 1, weights * may_warn),
      "sensitivity": share(films.marked, weights * infected),
      "specificity": share(~films.marked, weights * clear),
      "percent_auc": percent_auc(known * has_percent),
      "probability_auc": probability_auc(known * has_probability),
      "severity_correlation": correlation(weights * rated * has_percent),
    }

  return {"films": len(films.sets), **statistics.estimate(statistic, len(films.sets))}


def read(predictions: pathlib.Path, labels: pathlib.Path) -> tuple[LabelledFilms, int]:
  """The films of a table of labels that were predicted, and the number of those for which that failed.

  Args:
    predictions: as `predict` writes it; films without a label are ignored.
    labels: with the column "file", the path of a film, and any of "set" (else the folder of the film), "infected" and
      "severity", where an empty cell is not known. A path may begin at another folder than that of the predictions.

  Raises:
    OSError: a file cannot be read.
    ValueError: a column is missing, a value is invalid, a film has two labels, or a label has no prediction, or
      several.
  """
  predicted, labelled = _rows(predictions, _NEEDED), _rows(labels, ("file",))
  if not labelled[0].keys() & set(_KNOWN):
    raise ValueError(f"{labels} has none of the columns {', '.join(_KNOWN)}; it has {', '.join(labelled[0])}.")
  lines = _lines_of([row["file"] for row in labelled], [row["file"] for row in predicted], labels, predictions)
  unlabelled = len(predicted) - len(lines)
  if unlabelled:
    logger.warning("%d of %d films in %s have no label; ignored.", unlabelled, len(predicted), predictions)
  pairs = [(label, predicted[i]) for label, i in zip(labelled, lines, strict=True)]
  done = [(label, film) for label, film in pairs if film.get("status") != "failed"]
  if not done:
    raise ValueError(f"{predictions}: `predict` failed for all films that have a label.")

  def of_labels(column: str) -> np.ndarray:
    return np.array([_number(label, column, labels) for label, _ in done])

  def of_films(column: str) -> np.ndarray:
    return np.array([_number(film, column, predictions) for _, film in done])

  infected, pixels, percent = of_labels("infected"), of_films("infected_pixels"), of_films("infected_percent_of_lungs")
  for (label, _), is_infected, num_pixels in zip(done, infected, pixels, strict=True):
    if is_infected not in (0, 1) and not math.isnan(is_infected):
      raise ValueError(f"{labels}: infected of {label['file']} must be 1, 0 or empty.")
    if math.isnan(num_pixels):
      raise ValueError(f"{predictions}: infected_pixels of {label['file']} is empty.")
  if not np.isnan(percent).all():
    percent = np.nan_to_num(percent)  # No lungs were found on these films.
  warned = [float(bool(film["warnings"])) if "warnings" in film else math.nan for _, film in done]
  films = LabelledFilms(
    sets=np.array([label.get("set") or str(pathlib.PurePath(film["file"]).parent) for label, film in done], object),
    infected=infected,
    severity=of_labels("severity"),
    marked=pixels > 0,
    percent=percent,
    probability=of_films("probability_of_infection"),
    warned=np.array(warned),
  )
  return films, len(pairs) - len(done)


def _rows(path: pathlib.Path, needed: Sequence[str]) -> list[dict[str, str]]:
  """The lines of a table, of which there is at least one, with the columns that are needed."""
  try:
    rows = read_csv(path, needed)
  except FileNotFoundError as error:
    hint = " After predict --shard, run it with --resume and without --shard to write that table."
    raise ValueError(f"{path} does not exist.{hint if path.name == 'predictions.csv' else ''}") from error
  if not rows:
    raise ValueError(f"{path} has no films.")
  return [{name: cell.strip() for name, cell in row.items()} for row in rows]


def _lines_of(files: Sequence[str], predicted: Sequence[str], labels: pathlib.Path, table: pathlib.Path) -> list[int]:
  """The line of each file among those predicted: the same path, or one that ends with the other."""
  whole: dict[tuple[str, ...], list[int]] = {}
  by_end: dict[tuple[str, ...], list[int]] = {}
  for i, name in enumerate(predicted):
    parts = pathlib.PurePath(name).parts
    whole.setdefault(parts, []).append(i)
    for start in range(len(parts)):
      by_end.setdefault(parts[start:], []).append(i)

  def lines(file: str) -> list[int]:
    parts = pathlib.PurePath(file).parts
    ends = (whole.get(parts[start:]) for start in range(1, len(parts)))
    return whole.get(parts) or by_end.get(parts) or next(filter(None, ends), [])

  def check(wrong: list[str], text: str) -> None:
    if wrong:
      examples = first_of([name or "(empty)" for name in wrong])
      raise ValueError(f"{len(wrong)} of {len(files)} files of {labels} {text}, in {table}: {examples}.")

  found = [lines(file) for file in files]
  check([file for file, of_file in zip(files, found, strict=True) if not of_file], "have no prediction")
  check([file for file, of_file in zip(files, found, strict=True) if len(of_file) > 1], "match several predictions")
  labels_of = Counter(i for (i,) in found)
  check([file for file, (i,) in zip(files, found, strict=True) if labels_of[i] > 1], "have several labels")
  return [i for (i,) in found]


def _number(row: dict[str, str], column: str, path: pathlib.Path) -> float:
  """A number of a line; NaN where the cell is empty or there is no such column."""
  text = row.get(column) or "nan"
  try:
    value = float(text)
  except ValueError as error:
    raise ValueError(f"{path}: {column} of {row['file']} is {text!r}, which is not a number.") from error
  if math.isinf(value):
    raise ValueError(f"{path}: {column} of {row['file']} is infinite.")
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
