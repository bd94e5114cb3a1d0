"""Lists of films that resemble each other, as `python -m covseg dataset` writes them: duplicates.csv."""

import os
import pathlib
from collections.abc import Sequence

from input_pipeline.tables import read_csv

_FILM = ("id", "split")
_PAIR = (*_FILM, "duplicate_id", "duplicate_split")

Film = tuple[str, str]  # Its id and its split.


def read_pairs(path: str | os.PathLike, needed: Sequence[str] = _PAIR) -> list[tuple[Film, Film]]:
  """The pairs of a list, a line each; ("", "") where a line names one film only.

  Args:
    path: a CSV file with the columns id, split, duplicate_id and duplicate_split, and maybe others.
    needed: those of the four that it must have.

  Raises:
    OSError: it cannot be read.
    ValueError: it lacks a column.
  """
  rows = read_csv(pathlib.Path(path).expanduser(), needed)
  return [((row["id"], row["split"]), (row.get("duplicate_id", ""), row.get("duplicate_split", ""))) for row in rows]


def excluded_training_ids(path: str) -> set[str]:
  """Ids of the training films that a list leaves out: those in `dataset.exclude`.

  These are all that have a copy in another split, and of copies within training all but the first.

  Args:
    path: a list of pairs, or with the columns id and split alone.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it lacks a column.
  """
  try:
    pairs = read_pairs(path, needed=_FILM)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f"dataset.exclude={path} does not exist. `python -m covseg dataset` writes such a list, duplicates.csv."
    ) from error
  except ValueError as error:
    raise ValueError(f"dataset.exclude: {error}") from error
  chosen = (first if first[1] == "train" else second for first, second in pairs)
  return {film_id for film_id, split in chosen if split == "train"}
