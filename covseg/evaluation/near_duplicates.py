"""The list of films that resemble films of another split."""

import logging
import os
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline import duplicate_lists

logger = logging.getLogger(__name__)


def read(source: str | os.PathLike | tfds.core.DatasetBuilder, ids: Sequence[str], split: str) -> np.ndarray | None:
  """Which films of a split resemble a training film, bool (N,); None where that is not known.

  Args:
    source: a list as `duplicate_lists.read_pairs` reads it, the films of a pair in either order. Or a dataset, whose
      list may ship as its `DUPLICATES`.
    ids: the N films.
    split: their split.

  Raises:
    ValueError: the file lacks a column.
    OSError: it cannot be read.
  """
  file = source if isinstance(source, str | os.PathLike) else getattr(source, "DUPLICATES", None)
  if file is None or split == "train":
    return None
  pairs = duplicate_lists.read_pairs(file)
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
