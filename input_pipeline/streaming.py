"""Training batches of films on disk, which are read once and kept, or again whenever they are needed."""

import itertools
import os
from collections.abc import Iterator

import grain
import numpy as np

from input_pipeline.batches import Batch, TrainingOrder
from input_pipeline.films import FilmReader, start_loading

# Batches that are read ahead of the one in use.
_BATCHES_AHEAD = 4


def batches_from_memory(reader: FilmReader, order: TrainingOrder, first_step: int, share: slice) -> Iterator[Batch]:
  """Batches of films that are read into memory once, by threads, in the order in which they are needed.

  So the first batch is there at once.

  Args:
    reader: the films on disk.
    order: of the films.
    first_step: the step of the first batch.
    share: the part of each batch that is wanted.

  Raises:
    ValueError: a film cannot be read.
  """
  steps = range(first_step, first_step + order.steps_per_epoch)
  first_needed = dict.fromkeys(np.concatenate([order[step] for step in steps]).tolist())
  needed = first_needed | dict.fromkeys(range(len(reader)))
  films, readings = start_loading(reader, needed)
  readings = dict(zip(needed, readings, strict=True))  # By film, of those that are not known to be there.
  try:
    for step in itertools.count(first_step):
      # Those that are done are looked at, too, so that a damaged film is told of soon.
      awaited = [i for i in order[step].tolist() if i in readings]
      done = itertools.takewhile(lambda i: readings[i].done(), list(readings))
      for i in dict.fromkeys([*awaited, *done]):
        readings.pop(i).result()
        if not readings:
          reader.report_notes()
      yield {name: array[order[step][share]] for name, array in films.as_batch().items()}
  finally:  # Training was stopped: the process shall not wait for films that nobody needs.
    for reading in readings.values():
      reading.cancel()


def streamed_batches(reader: FilmReader, order: TrainingOrder, first_step: int, share: slice) -> Iterator[Batch]:
  """The same batches, of films that do not fit into memory; threads read them ahead of their use.

  Takes what `batches_from_memory` takes.
  """

  def load(index: int) -> Batch:
    film = reader[index]
    batch = {"image": film.image, "mask": film.mask, "lung_mask": film.lung_mask, "opacity": film.opacity}
    return {name: array for name, array in batch.items() if array is not None}

  films = _Films(order, first_step, share)
  batches = iter(
    grain.MapDataset.source(films)
    .map(load)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=os.cpu_count(), prefetch_buffer_size=_BATCHES_AHEAD * films.share_size)
    )
    .batch(films.share_size)
  )
  yield from itertools.islice(batches, order.steps_per_epoch)
  reader.report_notes()
  yield from batches


class _Films:
  """The films of all steps to come, one after the other, as a sequence that grain can index."""

  def __init__(self, order: TrainingOrder, first_step: int, share: slice):
    self._order, self._first_step, self._share = order, first_step, share
    self.share_size = share.stop - share.start

  def __len__(self) -> int:
    return 2**40  # Training ends it, not the films.

  def __getitem__(self, position: int) -> int:
    step, i = divmod(position, self.share_size)
    return int(self._order[self._first_step + step][self._share.start + i])
