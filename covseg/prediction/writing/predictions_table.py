"""predictions.csv, and the journal from which it is written and a run goes on."""

import contextlib
import csv
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from covseg.prediction.prediction import Prediction
from covseg.prediction.reading.film_search import RESULT_TABLES
from covseg.severity import Severity
from covseg.workdir import write_whole
from input_pipeline.tables import to_csv

_PARTS = [field.name for field in dataclasses.fields(Severity)]
COLUMNS = [
  "file",
  "status",
  "reason",
  "width",
  "height",
  "infected_pixels",
  "infected_percent_of_film",
  *(f"infected_percent_of_{'lungs' if part == 'percent' else part}" for part in _PARTS),
  "mean_confidence",
  "probability_of_infection",
  "model",
  "warnings",
]


def line(name: str, model: str, prediction: Prediction) -> str:
  """The line of a film that was predicted."""
  height, width = prediction.film.shape
  severity = prediction.severity
  parts = [None if severity is None else getattr(severity, part) for part in _PARTS]
  cells = [
    *(name, "done", "", width, height, np.count_nonzero(prediction.mask)),
    *(_rounded(value, 2) for value in (prediction.infected_percent_of_film, *parts)),
    *(_rounded(value, 4) for value in (prediction.confidence, prediction.involvement)),
    *(model, "; ".join(prediction.warnings)),
  ]
  return to_csv([cells])


def failed_line(name: str, model: str, reason: str) -> str:
  """The line of a film that could not be read, or whose results could not be written."""
  values = {"file": name, "status": "failed", "reason": reason, "model": model}
  return to_csv([[values.get(column, "") for column in COLUMNS]])


def _rounded(value: float | None, digits: int) -> str:
  return "" if value is None else f"{value:.{digits}f}"


def has_warnings(line: str) -> bool:
  """Whether the line of a film has warnings."""
  return bool(next(csv.DictReader([line], COLUMNS))["warnings"])


class Done(NamedTuple):
  """What an earlier run did for a film.

  Attributes:
    key: what its results follow from, the digest of its file first.
    line: of the table.
    place: `FoundFilm.place`.
  """

  key: str
  line: str
  place: str


class Journal:
  """The line of each film that is done, written at once, so that a run can go on after a kill."""

  def __init__(self, output: pathlib.Path, shard: str):
    """The journal of a shard, such as "-3-of-16", or of a whole run, "", in the run's folder."""
    self._output, self._shard = output, shard
    self._path = output / f".predictions{shard}.jsonl"
    self.table = output / f"predictions{shard}.csv"

  def is_free(self) -> bool:
    """Whether no earlier run has written here, but for other shards of the same number."""
    count = self._shard.rpartition("-of-")[2]
    for path in self._output.glob("*predictions*"):
      if found := RESULT_TABLES.fullmatch(path.name):
        shard = found[1] or found[2] or ""
        if shard == self._shard or not count or not shard.endswith(f"-of-{count}"):
          return False
    return True

  def begin(self) -> None:
    """Creates the file, by which the folders of results are told from folders of other films."""
    self._path.touch()

  def done(self) -> dict[str, Done]:
    """What was done for each film, by its name, by the last run in this folder that did it, whole or a shard."""
    entries = []
    for path in self._output.glob(".predictions*.jsonl"):
      with path.open("rb") as file:
        for entry in file:
          with contextlib.suppress(ValueError):  # A kill may have cut an entry.
            written, name, key, text, place = json.loads(entry)
            entries.append((float(written), name, Done(key, text, place)))
    return {name: done for _, name, done in sorted(entries)}

  def append(self, name: str, done: Done) -> None:
    """Adds a film, by the name of its results, on a line of its own even where a kill has cut the one before."""
    with self._path.open("ab") as file:
      file.write(b"\n" + json.dumps([time.time(), name, *done]).encode() + b"\n")

  def write_table(self, lines: Iterable[str]) -> None:
    """Writes predictions.csv."""
    write_whole(self.table, to_csv([COLUMNS]) + "".join(lines))
