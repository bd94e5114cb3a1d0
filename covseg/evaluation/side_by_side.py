"""Films scored under many changes, by a process for each core."""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

import jax
import numpy as np

from covseg.evaluation.changed_films import ChangeOfFilms, Scores
from covseg.evaluation.evaluator import Evaluator
from covseg.runtime import compilation, devices
from covseg.trained.trained_model import TrainedModel
from input_pipeline.scaling import resize_image

_MOST_PROCESSES = 8  # Each takes 0.7 GB of memory.
_FEWEST_FILMS = 500  # Of a process, which takes seconds to start.

_score_here: Callable[[ChangeOfFilms, slice], Scores] | None = None  # In a process of `score_each`.


def score_each(
  trained: TrainedModel, images: np.ndarray, masks: np.ndarray, changes: Sequence[ChangeOfFilms]
) -> Iterator[Scores]:
  """Scores of a model for all films under each change, in turn.

  On a CPU with several cores, a process for each scores a part of the films: within a prediction, cores wait for each
  other.

  Args:
    trained: the model.
    images: N films, uint8 (N, H, W), at the size of the comparison.
    masks: bool (N, H, W).
    changes: of the films, before they are scaled to the network.

  Raises:
    ChildProcessError: such a process ended, as it does where memory runs out.
  """
  count = min(_num_cores(), _MOST_PROCESSES, len(images), len(changes) * len(images) // _FEWEST_FILMS)
  if jax.default_backend() != "cpu" or jax.device_count() > 1 or count < 2:
    score = _scorer(trained, images, masks)
    yield from (score(change, slice(None)) for change in changes)
    return
  on_host = dataclasses.replace(trained, variables=jax.tree.map(np.asarray, trained.variables))
  spawn = multiprocessing.get_context("spawn")  # A copy of this process would lack the threads of XLA.
  with concurrent.futures.ProcessPoolExecutor(count, spawn, _start_process, (on_host, images, masks)) as pool:
    parts = [slice(i, None, count) for i in range(count)]
    found = pool.map(_score_part, *zip(*itertools.product(changes, parts), strict=True))
    try:
      for _ in changes:
        yield _interleaved(list(itertools.islice(found, count)))
    except BaseException as error:  # Ctrl-C, too: nothing waits for the changes that are being scored.
      for process in multiprocessing.active_children():
        process.terminate()
      if isinstance(error, BrokenProcessPool):
        message = "A process that scores changed films ended; it may have run out of memory."
        raise ChildProcessError(message) from error
      raise


def _scorer(trained: TrainedModel, images: np.ndarray, masks: np.ndarray) -> Callable[[ChangeOfFilms, slice], Scores]:
  """Function of a change that gives the scores of a part of the films."""
  evaluator = Evaluator(trained.config, trained.network, devices.create_mesh(jax.device_count()))

  def score(change: ChangeOfFilms, part: slice) -> Scores:
    changed = itertools.islice(change(images), part.start, part.stop, part.step)
    seen = (resize_image(image, trained.config.image_size) for image in changed)
    return evaluator.score(trained.variables, seen, masks[part])

  return score


def _start_process(trained: TrainedModel, *films: np.ndarray) -> None:
  global _score_here
  signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback.
  threading.Thread(target=_end_with_parent, daemon=True).start()
  os.environ["PJRT_NPROC"] = "1"  # Threads of XLA:CPU.
  compilation.set_up()
  config = trained.config.copy_and_resolve_references()
  config.eval.batch_size = 1  # Its arrays stay in the cache of a core.
  _score_here = _scorer(trained.with_config(config), *films)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)


def _score_part(change: ChangeOfFilms, part: slice) -> Scores:
  return _score_here(change, part)


def _interleaved(parts: Sequence[Scores]) -> Scores:
  """The scores of all films, of which each of n parts has every n-th."""

  def interleave(*arrays: np.ndarray) -> np.ndarray:
    whole = np.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for i, array in enumerate(arrays):
      whole[i :: len(arrays)] = array
    return whole

  return jax.tree.map(interleave, *parts)


def _num_cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
