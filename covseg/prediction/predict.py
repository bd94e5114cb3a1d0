"""Masks, overlays and a table for a user's own films: `python -m covseg predict`."""

import collections
import concurrent.futures
import dataclasses
import errno
import hashlib
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from covseg.prediction import predictor
from covseg.prediction.predictor import FramedFilm, Predictor
from covseg.prediction.reading import film_files, film_search
from covseg.prediction.reading.film_search import FoundFilm
from covseg.prediction.writing import dicom_seg, prediction_files, predictions_table
from covseg.prediction.writing.prediction_files import Wanted
from covseg.prediction.writing.predictions_table import Done
from covseg.runtime.command_line import UsageError
from input_pipeline.dicom.file import is_dicom
from input_pipeline.limits import room_for

_NUM_THREADS = min(8, os.cpu_count() or 1)
_MAX_BATCH_PIXELS = 64_000_000  # Of the films as they are, which are kept for their overlays.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

T, S = TypeVar("T"), TypeVar("S")


@dataclasses.dataclass(frozen=True)
class _Film:
  """A film on its way; it has a problem, or the line of an earlier run, or is ready for the network.

  Attributes:
    found: its file.
    problem: why it failed.
    key: what its results follow from.
    line: of the table.
    framed: what the network sees.
    lacking: why one of its results is missing, where the others are there.
    is_new: whether its results were written in this run.
  """

  found: FoundFilm
  problem: str = ""
  key: str = ""
  line: str = ""
  framed: FramedFilm | None = None
  lacking: str = ""
  is_new: bool = False


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
  journal = predictions_table.Journal(folder, "" if count == 1 else f"-{part}-of-{count}")
  done = journal.done() if resume else {}
  found_by_all = film_search.find(paths, folder, {film.place: name for name, film in done.items()})
  found = found_by_all[part - 1 :: count]
  if not resume and not journal.is_free():
    raise ValueError(f"{folder} holds predictions. Go on with --resume, or name another folder as --output.")
  if not film_search.has_results(folder):
    prediction_files.check_free(folder, wanted)
  if not found_by_all:
    raise ValueError("There is no film in what was named: no PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM file.")
  others = sorted(done.keys() - {film.name for film in found_by_all if not _is_another(film, done)})
  if others:
    raise ValueError(
      f"{folder} holds predictions of {len(others)} films that are not among those named, such as "
      f"{film_search.printable(others[0])}. To go on there, name these as well, as in the run before; for other films, "
      "name another folder as --output."
    )
  if wanted.segmentations:
    dicom_seg.check_installed()
  loaded = predictor.load(model, tuple(changes))
  if wanted.lungs and not loaded.has_lungs:
    raise UsageError(f"{loaded.trained.name} has no lung head, which --lungs needs.")
  folder.mkdir(parents=True, exist_ok=True)
  batch_size = max(1, min(loaded.trained.config.eval.batch_size, len(found)))  # A shard may have no film.
  loaded.warm_up(batch_size)
  journal.begin()
  work = _Work(loaded, folder, wanted, done, batch_size)
  failed, lacking, lines, began = 0, 0, [], time.monotonic()
  films = tqdm(work.results(found), "predict", len(found), unit="film", disable=None)
  try:
    for film in films:
      if film.problem:
        failed += 1
        tqdm.write(f"{film_search.printable(film.found.name)} {film.problem}", file=sys.stderr)
      elif film.is_new and not film.lacking:  # Which is tried again.
        journal.append(film.found.name, Done(film.key, film.line, film.found.place))
      if film.lacking:
        lacking += 1
        tqdm.write(f"{film_search.printable(film.found.name)}: {film.lacking}", file=sys.stderr)
      lines.append(film.line)
    journal.write_table(lines)
  except OSError as error:
    if error.errno not in _NO_ROOM:
      raise
    raise OSError(f"{folder} takes no more: {error.strerror}. Make room, and go on with --resume.") from error
  seconds, reading_and_writing = time.monotonic() - began, sum(work.thread_seconds)
  print(
    f"{len(found) - failed} of {len(found)} films are predicted, {failed} failed"
    f"{f', {lacking} of the others have no segmentation' if lacking else ''}; see {journal.table}\n"
    f"It took {seconds:.1f} s, in {work.network_seconds:.1f} s of which the network computed. "
    f"Reading and writing took {reading_and_writing:.1f} s of a core."
  )
  return failed + lacking


class _Work:
  """Reading, prediction and writing, with threads on either side of the network.

  Attributes:
    done: what earlier runs have done, as `Journal.done` returns it.
    network_seconds: for how long the network has computed, on cores that the threads share.
    thread_seconds: processor time of each reading and each writing.
  """

  def __init__(self, model: Predictor, folder: pathlib.Path, wanted: Wanted, done: dict[str, Done], batch_size: int):
    self.done, self.network_seconds, self.thread_seconds = done, 0.0, []
    self._model, self._folder, self._wanted, self._batch_size = model, folder, wanted, batch_size
    self._model_name = f"{model.trained.name} {model.trained.fingerprint}"

  def results(self, found: list[FoundFilm]) -> Iterator[_Film]:
    """Each film in turn, with its line or with its problem, after its results are written."""
    threads = concurrent.futures.ThreadPoolExecutor(_NUM_THREADS)
    network = concurrent.futures.ThreadPoolExecutor(1)
    try:
      films = _ahead(threads, self._timed(self._read), found, self._batch_size + _NUM_THREADS)
      batches = _ahead(network, self._compute, _batches(films, self._batch_size), 1)
      computed = itertools.chain.from_iterable(batches)
      yield from _ahead(threads, self._timed(self._finish), computed, self._batch_size)
    finally:
      for pool in (network, threads):
        pool.shutdown(cancel_futures=True)

  def _timed(self, function: Callable[[T], S]) -> Callable[[T], S]:
    """The function, which also notes the processor time it takes."""

    def timed(item: T) -> S:
      began = time.thread_time()
      try:
        return function(item)
      finally:
        self.thread_seconds.append(time.thread_time() - began)

    return timed

  def _read(self, found: FoundFilm) -> _Film:
    if found.problem:
      return self._failed(found, found.problem)
    try:
      content = film_files.read_bytes(found.path)
      key = f"{_digest(content)} {self._model.trained.fingerprint} {self._wanted}"
      done = self.done.get(found.name)
      if done and done.key == key and prediction_files.exist(self._folder, found, self._wanted, is_dicom(content)):
        return _Film(found, key=key, line=done.line)
      return _Film(found, key=key, framed=self._model.frame(film_files.decode(content)))
    except OSError as error:
      return self._failed(found, f"cannot be read: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
      return self._failed(found, str(error) or "does not fit into memory")

  def _compute(self, films: list[_Film]) -> list[tuple[_Film, dict[str, np.ndarray]]]:
    """Each film with the network's logits, if it is for the network."""
    seen = [film.framed.seen for film in films if film.framed]
    if not seen:
      return [(film, {}) for film in films]
    began = time.monotonic()
    padded = np.stack(seen + seen[-1:] * (self._batch_size - len(seen)))  # One shape, compiled once.
    logits = {head: np.asarray(values) for head, values in self._model.logits(padded).items()}
    self.network_seconds += time.monotonic() - began
    of_each = ({head: values[i] for head, values in logits.items()} for i in range(len(seen)))
    return [(film, next(of_each) if film.framed else {}) for film in films]

  def _finish(self, computed: tuple[_Film, dict[str, np.ndarray]]) -> _Film:
    film, logits = computed
    if not film.framed:
      return film
    try:
      # What is scaled back to a large film takes more than the film.
      with room_for(*film.framed.film.pixels.shape):
        prediction = self._model.finish(film.framed, logits)
        lacking = prediction_files.write(self._folder, film.found, prediction, self._wanted, self._model_name)
    except (ValueError, MemoryError) as error:
      return self._failed(film.found, str(error) or "does not fit into memory")
    except OSError as error:
      if error.errno in _NO_ROOM:
        raise
      return self._failed(film.found, f"has results that cannot be written: {error.strerror or error}")
    name = film_search.printable(film.found.name)
    if lacking:
      prediction = dataclasses.replace(prediction, warnings=(*prediction.warnings, lacking))
    line = predictions_table.line(name, self._model_name, prediction)
    return _Film(film.found, key=film.key, line=line, lacking=lacking, is_new=True)

  def _failed(self, found: FoundFilm, problem: str) -> _Film:
    name = film_search.printable(found.name)
    return _Film(found, problem, line=predictions_table.failed_line(name, self._model_name, problem))


def _is_another(film: FoundFilm, done: Mapping[str, Done]) -> bool:
  """Whether a film has the name of an earlier one, and is another: another file in another place."""
  earlier = done.get(film.name)
  if not earlier or earlier.place == film.place:
    return False
  try:
    return not earlier.key.startswith(_digest(film_files.read_bytes(film.path)))
  except (OSError, ValueError, MemoryError):  # It is told of where it is read.
    return False


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def _ahead(
  threads: concurrent.futures.Executor, function: Callable[[T], S], items: Iterable[T], limit: int
) -> Iterator[S]:
  """function(item) of each item in turn, of which `limit` are computed ahead."""
  waiting: collections.deque[concurrent.futures.Future[S]] = collections.deque()
  for item in items:
    waiting.append(threads.submit(function, item))
    if len(waiting) > limit:
      yield waiting.popleft().result()
  while waiting:
    yield waiting.popleft().result()


def _batches(films: Iterable[_Film], batch_size: int) -> Iterator[list[_Film]]:
  """Films together, of which `batch_size` are for the network; fewer where they are large."""
  batch, pixels = [], []
  for film in films:
    batch.append(film)
    if film.framed:
      pixels.append(film.framed.film.pixels.size)
    if len(pixels) == batch_size or sum(pixels) > _MAX_BATCH_PIXELS or len(batch) >= 4 * batch_size:
      yield batch
      batch, pixels = [], []
  if batch:
    yield batch
