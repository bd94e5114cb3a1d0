"""Masks, overlays and figures for a user's own films: `python -m covseg predict`."""

import collections
import concurrent.futures
import dataclasses
import errno
import hashlib
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
import numpy as np
from tqdm import tqdm

from covseg.prediction import film_files, film_search, prediction_files, predictions_table, predictor
from covseg.prediction.film_search import FoundFilm
from covseg.prediction.prediction_files import Wanted
from covseg.prediction.predictor import FramedFilm, Predictor

_NUM_THREADS = min(8, os.cpu_count() or 1)
_MAX_BATCH_PIXELS = 64_000_000  # Of the films as they are, which are kept for their overlays.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

T, S = TypeVar("T"), TypeVar("S")


@dataclasses.dataclass(frozen=True)
class _Film:
  """A film on its way; it has a problem, or the line of an earlier run, or is ready for the network."""

  found: FoundFilm
  problem: str = ""
  key: str = ""
  line: str = ""
  framed: FramedFilm | None = None


def run(
  paths: list[str], model: str, output: str, wanted: Wanted, *, resume: bool = False, shard: str = "1/1"
) -> int:
  """Predicts for all films among files and folders, and writes the results.

  Args:
    paths: files and folders.
    model: a trained model, as `predictor.load` takes it.
    output: folder of the results.
    wanted: which results.
    resume: whether to go on in a folder that has results.
    shard: "3/16" for the third of 16 parts of the films.

  Returns:
    The number of films that failed.

  Raises:
    OSError: a path does not exist, or there is no room for the results.
    ValueError: there is no film or no such model, or `output` has results and `resume` is not given.
  """
  folder = pathlib.Path(output).expanduser()
  found, shard_name = _part(film_search.find(paths, folder), shard)
  journal = predictions_table.Journal(folder, shard_name)
  if journal.exists() and not resume:
    raise ValueError(f"{folder} holds predictions. Go on with --resume, or name another folder as --output.")
  if not found:
    raise ValueError("There is no PNG, JPEG, TIFF or DICOM file in what was named.")
  folder.mkdir(parents=True, exist_ok=True)
  work = _Work(predictor.load(model), folder, wanted, journal.done() if resume else {})
  failed, lines = 0, []
  films = tqdm(work.results(found), "predict", len(found), unit="film", disable=None)
  try:
    for film in films:
      if film.problem:
        failed += 1
        tqdm.write(f"{film_search.printable(film.found.name)} {film.problem}", file=sys.stderr)
      elif film.key not in work.done:
        journal.append(film.key, film.line)
      lines.append(film.line)
    journal.write_table(lines)
  except OSError as error:
    raise OSError(f"{folder} takes no more: {error.strerror}. Make room, and go on with --resume.") from error
  print(f"{len(found) - failed} of {len(found)} films are predicted, {failed} failed; see {journal.table}")
  return failed


class _Work:
  """Reading, prediction and writing, with threads on either side of the network."""

  def __init__(self, model: Predictor, folder: pathlib.Path, wanted: Wanted, done: dict[str, str]):
    self.done = done
    self._model, self._folder, self._wanted = model, folder, wanted
    self._model_name = f"{model.trained.name} {model.trained.fingerprint}"

  def results(self, found: list[FoundFilm]) -> Iterator[_Film]:
    """Each film in turn, with its line or with its problem, after its results are written."""
    batch_size = min(self._model.trained.config.eval.batch_size, len(found))
    threads = concurrent.futures.ThreadPoolExecutor(_NUM_THREADS)
    try:
      films = _ahead(threads, self._read, found, batch_size + _NUM_THREADS)
      computed = self._with_logits(_batches(films, batch_size), batch_size)
      yield from _ahead(threads, self._finish, computed, batch_size)
    finally:
      threads.shutdown(cancel_futures=True)

  def _read(self, found: FoundFilm) -> _Film:
    if found.problem:
      return self._failed(found, found.problem)
    try:
      content = film_files.read_bytes(found.path)
      digest = hashlib.sha256(content).hexdigest()
      key = f"{digest} {self._model.trained.fingerprint} {self._wanted} {film_search.printable(found.name)}"
      if key in self.done and prediction_files.exist(self._folder, found, self._wanted):
        return _Film(found, key=key, line=self.done[key])
      return _Film(found, key=key, framed=self._model.frame(film_files.decode(content)))
    except OSError as error:
      return self._failed(found, f"cannot be read: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
      return self._failed(found, str(error) or "does not fit into memory")

  def _with_logits(
    self, batches: Iterable[list[_Film]], batch_size: int
  ) -> Iterator[tuple[_Film, dict[str, np.ndarray]]]:
    """Each film with the network's logits, if it is for the network."""
    for films, computing in _one_behind(self._dispatched(batches, batch_size)):
      logits = {head: np.asarray(values) for head, values in computing.items()}
      number = 0
      for film in films:
        if film.framed:
          yield film, {head: values[number] for head, values in logits.items()}
          number += 1
        else:
          yield film, {}

  def _dispatched(
    self, batches: Iterable[list[_Film]], batch_size: int
  ) -> Iterator[tuple[list[_Film], dict[str, jax.Array]]]:
    """Each batch with its logits, which the device may still be computing."""
    for films in batches:
      seen = [film.framed.seen for film in films if film.framed]
      padded = seen + seen[-1:] * (batch_size - len(seen))  # One shape, compiled once.
      yield films, self._model.logits(np.stack(padded)) if seen else {}

  def _finish(self, computed: tuple[_Film, dict[str, np.ndarray]]) -> _Film:
    film, logits = computed
    if not film.framed:
      return film
    prediction = self._model.finish(film.framed, logits)
    try:
      prediction_files.write(self._folder, film.found, prediction, self._wanted, self._model_name)
    except ValueError as error:
      return self._failed(film.found, str(error))
    except OSError as error:
      if error.errno in _NO_ROOM:
        raise
      return self._failed(film.found, f"has results that cannot be written: {error.strerror or error}")
    name = film_search.printable(film.found.name)
    line = predictions_table.line(name, self._model_name, prediction)
    return _Film(film.found, key=film.key, line=line)

  def _failed(self, found: FoundFilm, problem: str) -> _Film:
    name = film_search.printable(found.name)
    return _Film(found, problem, line=predictions_table.failed_line(name, self._model_name, problem))


def _part(found: list[FoundFilm], shard: str) -> tuple[list[FoundFilm], str]:
  """The films of a shard, "3/16", and what its files are called after, "-3-of-16"; "" for all."""
  match = re.fullmatch(r"(\d+)/(\d+)", shard)
  index, count = map(int, match.groups()) if match else (0, 0)
  if not 1 <= index <= count:
    raise ValueError(f"--shard={shard}: expected such as 3/16, for the third of 16 parts.")
  return found[index - 1 :: count], "" if count == 1 else f"-{index}-of-{count}"


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


def _one_behind(items: Iterable[T]) -> Iterator[T]:
  """The items, each when the next one is there."""
  before = []
  for item in items:
    yield from before
    before = [item]
  yield from before


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
