"""The list of films that resemble films of another split."""

import csv
import logging
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

logger = logging.getLogger(__name__)

_COLUMNS = ("id", "split", "duplicate_id", "duplicate_split")


def read(source: str | os.PathLike | tfds.core.DatasetBuilder, ids: Sequence[str], split: str) -> np.ndarray | None:
  """Which films of a split resemble a training film, bool (N,); None where that is not known.

  Args:
    source: a CSV file with the columns id, split, duplicate_id and duplicate_split, and maybe others; a
      line for each pair, in either order. Or a dataset, whose list may ship as its `DUPLICATES`.
    ids: the N films.
    split: their split.

  Raises:
    ValueError: the file lacks a column.
    OSError: it cannot be read.
  """
  file = source if isinstance(source, str | os.PathLike) else getattr(source, "DUPLICATES", None)
  if file is None or split == "train":
    return None
  with pathlib.Path(file).expanduser().open(newline="", encoding="utf-8-sig") as lines:
    reader = csv.DictReader(lines)
    columns = reader.fieldnames or []
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
      raise ValueError(f"{file} has no column {', '.join(missing)}; it has {', '.join(columns)}.")
    pairs = [((row["id"], row["split"]), (row["duplicate_id"], row["duplicate_split"])) for row in reader]
  both_ways = (*pairs, *(pair[::-1] for pair in pairs))
  listed = {film_id for (film_id, its_split), (_, other) in both_ways if its_split == split and other == "train"}
  found = np.array([film_id in listed for film_id in ids], bool)
  logger.info(
    "%s lists %d pairs; %d of the %d films of %s resemble a training film.",
    file,
    len(pairs),
    found.sum(),
    len(ids),
    split,
  )
  return found
