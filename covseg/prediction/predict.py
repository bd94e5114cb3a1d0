"""Masks, overlays and a table for a user's own films: `python -m covseg predict`."""

import collections
import concurrent.futures
import logging
import pathlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from tqdm import tqdm

from covseg.prediction import predictor
from covseg.prediction.pipeline import NO_ROOM, Pipeline, ProcessedFilm, digest
from covseg.prediction.reading import film_files, film_search
from covseg.prediction.reading.film_search import FoundFilm
from covseg.prediction.writing import dicom_seg, prediction_files, predictions_table
from covseg.prediction.writing.prediction_files import Wanted
from covseg.prediction.writing.predictions_table import Done, Journal
from covseg.runtime.command_line import UsageError

logger = logging.getLogger(__name__)

_TOLD = {"lacking": "without a segmentation", "kept": "done before", "warned": "with warnings"}


def run(
  paths: list[str],
  model: str,
  output: str,
  wanted: Wanted,
  *,
  changes: Sequence[str] = (),
  resume: bool = False,
  shard: tuple[int, int] = (1, 1),
) -> int:
  """Predicts for all films among files and folders, and writes the results.

  Args:
    paths: files and folders.
    model: a trained model, as `predictor.load` takes it.
    output: folder of the results.
    wanted: which results.
    changes: how the model predicts, as `predictor.load` takes them.
    resume: whether to go on in a folder that has results.
    shard: (i, n): the i-th of n parts of the films, from 1.

  Returns:
    The number of films that failed or lack a result.

  Raises:
    OSError: a path does not exist, or there is no room for the results.
    ValueError: there is no film or no such model; `output` has results and `resume` is not given, or has results of
      films that are not among these, or other files where results would lie; or masks of lungs are wanted of a model
      that does not tell them.
  """
  if not output:
    raise UsageError("--output is empty; name a folder for the results.")
  folder = pathlib.Path(output).expanduser()
  if folder.exists() and not folder.is_dir():
    raise UsageError(f"--output={folder} is no folder.")
  part, count = shard
  journal = Journal(folder, "" if count == 1 else f"-{part}-of-{count}")
  if not resume and not journal.is_free():
    raise ValueError(f"{folder} holds predictions. Go on with --resume, or name another folder as --output.")
  done = journal.done() if resume else {}
  found_by_all = film_search.find(paths, folder, {film.place: name for name, film in done.items()})
  found = found_by_all[part - 1 :: count]
  if not found_by_all:
    raise ValueError("There is no film in what was named: no PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM file.")
  if not film_search.has_results(folder):
    prediction_files.check_free(folder, wanted)
  _check_all_are_named(folder, done, found_by_all)
  if wanted.segmentations:
    dicom_seg.check_installed()
  loaded = predictor.load(model, changes)
  if wanted.lungs and not loaded.has_lungs:
    raise UsageError(f"{loaded.trained.name} has no lung head, which --lungs needs.")
  folder.mkdir(parents=True, exist_ok=True)
  batch_size = max(1, min(loaded.trained.config.eval.batch_size, len(found)))  # A shard may have no film.
  loaded.warm_up(batch_size)
  journal.begin()
  pipeline, began = Pipeline(loaded, folder, wanted, done, batch_size), time.monotonic()
  if count_otherwise := pipeline.num_done_otherwise(found):
    logger.warning(
      "%d films in %s were predicted by another model or with other settings, and are done again.",
      count_otherwise,
      folder,
    )
  try:
    counts = _note(tqdm(pipeline.results(found), "predict", len(found), unit="film", disable=None), journal)
  except KeyboardInterrupt:
    raise KeyboardInterrupt("Stopped; the same command with --resume goes on from there.") from None
  except OSError as error:
    if error.errno not in NO_ROOM:
      raise
    raise OSError(f"{folder} takes no more: {error.strerror}. Make room, and go on with --resume.") from error
  told = [
    f"{len(found) - counts['failed']} of {len(found)} films are predicted, {counts['failed']} failed",
    *(f"{counts[kind]} {words}" for kind, words in _TOLD.items() if counts[kind]),
  ]
  print(
    f"{', '.join(told)}; see {journal.table}\n"
    f"It took {time.monotonic() - began:.1f} s, in {pipeline.network_seconds:.1f} s of which the network computed. "
    f"Reading and writing took {sum(pipeline.thread_seconds):.1f} s of a core."
  )
  return counts["failed"] + counts["lacking"]


def _check_all_are_named(folder: pathlib.Path, done: Mapping[str, Done], found: Sequence[FoundFilm]) -> None:
  """Raises ValueError if films of earlier runs are not among those that are named now: the table would lose them."""
  moved = [film for film in found if not film.problem and film.name in done and film.place != done[film.name].place]
  with concurrent.futures.ThreadPoolExecutor() as threads:  # Each is read whole.
    are_others = list(threads.map(lambda film: _is_another(film, done[film.name]), moved))
  another = {film.name for film, is_another in zip(moved, are_others, strict=True) if is_another}
  others = sorted(done.keys() - ({film.name for film in found} - another))
  if others:
    raise ValueError(
      f"{folder} holds predictions of {len(others)} films that are not among those named, such as "
      f"{film_search.printable(others[0])}. To go on there, name these as well, as in the run before; for other films, "
      "name another folder as --output."
    )


def _note(films: Iterable[ProcessedFilm], journal: Journal) -> collections.Counter[str]:
  """Notes each film in the journal, and all in the table.

  Returns:
    How many "failed", are "lacking" a result, were "kept" from an earlier run, and are "warned" of.
  """
  counts, lines = collections.Counter[str](), []
  for film in films:
    name = film_search.printable(film.found.name)
    if film.problem:
      counts["failed"] += 1
      tqdm.write(f"{name} {film.problem}", file=sys.stderr)
    elif film.lacking:
      counts["lacking"] += 1
      tqdm.write(f"{name}: {film.lacking}", file=sys.stderr)
    elif film.is_new:
      journal.append(film.found.name, Done(film.key, film.line, film.found.place))
    else:
      counts["kept"] += 1
    counts["warned"] += predictions_table.has_warnings(film.line)
    lines.append(film.line)
  journal.write_table(lines)
  return counts


def _is_another(film: FoundFilm, earlier: Done) -> bool:
  """Whether the file of a film is another than the one that was predicted under its name."""
  try:
    return not earlier.key.startswith(digest(film_files.read_bytes(film.path)))
  except (OSError, ValueError, MemoryError):  # Reported where it is read for its prediction.
    return False
