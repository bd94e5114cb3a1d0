"""Films on their way from files to results, with threads on either side of the network."""

import collections
import concurrent.futures
import dataclasses
import errno
import hashlib
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from covseg.prediction.predictor import FramedFilm, Predictor
from covseg.prediction.reading import film_files, film_search
from covseg.prediction.reading.film_search import FoundFilm
from covseg.prediction.writing import prediction_files, predictions_table
from covseg.prediction.writing.prediction_files import Wanted
from covseg.prediction.writing.predictions_table import Done
from input_pipeline.dicom.file import is_dicom
from input_pipeline.limits import room_for

_NUM_THREADS = min(8, os.cpu_count() or 1)
_MAX_BATCH_PIXELS = 64_000_000  # Of the films as they are, which are kept for their overlays.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

T, S = TypeVar("T"), TypeVar("S")


@dataclasses.dataclass(frozen=True)
class ProcessedFilm:
  """A film on its way: it has a problem, or its line, or is ready for the network.

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


class Pipeline:
  """Reading, prediction and writing, with threads on either side of the network.

  Attributes:
    network_seconds: for how long the network has computed, on cores that the threads share.
    thread_seconds: processor time of each reading and each writing.
  """

  def __init__(self, model: Predictor, folder: pathlib.Path, wanted: Wanted, done: dict[str, Done], batch_size: int):
    self.network_seconds, self.thread_seconds = 0.0, []
    self._model, self._folder, self._wanted, self._done = model, folder, wanted, done
    self._batch_size = batch_size
    self._model_name = f"{model.trained.name} {model.trained.fingerprint}"
    self._way = f"{model.trained.fingerprint} {wanted}"

  def num_done_otherwise(self, found: list[FoundFilm]) -> int:
    """How many films earlier runs predicted by another model or setting, or with other results; they are done again."""
    done = (self._done.get(film.name) for film in found)
    return sum(film is not None and not film.key.endswith(f" {self._way}") for film in done)

  def results(self, found: list[FoundFilm]) -> Iterator[ProcessedFilm]:
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

  def _read(self, found: FoundFilm) -> ProcessedFilm:
    if found.problem:
      return self._failed(found, found.problem)
    try:
      content = film_files.read_bytes(found.path)
      key = f"{digest(content)} {self._way}"
      done = self._done.get(found.name)
      if done and done.key == key and prediction_files.exist(self._folder, found, self._wanted, is_dicom(content)):
        return ProcessedFilm(found, key=key, line=done.line)
      return ProcessedFilm(found, key=key, framed=self._model.frame(film_files.decode(content)))
    except OSError as error:
      return self._failed(found, f"cannot be read: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
      return self._failed(found, str(error) or "does not fit into memory")

  def _compute(self, films: list[ProcessedFilm]) -> list[tuple[ProcessedFilm, dict[str, np.ndarray]]]:
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

  def _finish(self, computed: tuple[ProcessedFilm, dict[str, np.ndarray]]) -> ProcessedFilm:
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
      if error.errno in NO_ROOM:
        raise
      return self._failed(film.found, f"has results that cannot be written: {error.strerror or error}")
    name = film_search.printable(film.found.name)
    if lacking:
      prediction = dataclasses.replace(prediction, warnings=(*prediction.warnings, lacking))
    line = predictions_table.line(name, self._model_name, prediction)
    return ProcessedFilm(film.found, key=film.key, line=line, lacking=lacking, is_new=True)

  def _failed(self, found: FoundFilm, problem: str) -> ProcessedFilm:
    name = film_search.printable(found.name)
    return ProcessedFilm(found, problem, line=predictions_table.failed_line(name, self._model_name, problem))


def digest(content: bytes) -> str:
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


def _batches(films: Iterable[ProcessedFilm], batch_size: int) -> Iterator[list[ProcessedFilm]]:
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
