"""Training batches read from disk as they are needed, for films that do not fit into memory."""

import os
from collections.abc import Iterator

import grain

from input_pipeline.batches import Batch, TrainingOrder
from input_pipeline.films import FilmReader

# Batches that are read ahead of the one in use.
_BATCHES_AHEAD = 4


def streamed_batches(
  reader: FilmReader, image_size: int, order: TrainingOrder, first_step: int, share: slice
) -> Iterator[Batch]:
  """The batches that the films in memory would give, read ahead of their use by threads.

  Args:
    reader: the films on disk.
    image_size: side of the batches' images and masks.
    order: of the films.
    first_step: the step of the first batch.
    share: the part of each batch that is wanted.
  """

  def load(index: int) -> Batch:
    film = reader[index].resized(image_size)
    batch = {"image": film.image, "mask": film.mask, "lung_mask": film.lung_mask}
    return {name: array for name, array in batch.items() if array is not None}

  films = _Films(order, first_step, share)
  return iter(
    grain.MapDataset.source(films)
    .map(load)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=os.cpu_count(), prefetch_buffer_size=_BATCHES_AHEAD * films.share_size)
    )
    .batch(films.share_size)
  )


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
