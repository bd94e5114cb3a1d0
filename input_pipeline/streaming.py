"""Training batches read from disk as they are needed, for films that do not fit into memory."""

import functools
import os
from collections.abc import Iterator

import grain

from input_pipeline.batches import Batch, epoch_order, steps_per_epoch
from input_pipeline.films import FilmReader, resize_image, resize_mask

# Batches that are read ahead of the one in use.
_BATCHES_AHEAD = 4


def streamed_batches(
  reader: FilmReader, image_size: int, batch_size: int, seed: int, first_step: int, share: slice
) -> Iterator[Batch]:
  """The batches that the films in memory would give, read ahead of their use by threads.

  Args:
    reader: the films on disk.
    image_size: side of the batches' images and masks.
    batch_size: films of a whole batch.
    seed: of the order.
    first_step: the step of the first batch.
    share: the part of each batch that is wanted.
  """

  def load(index: int) -> Batch:
    film = reader[index]
    batch = {"image": resize_image(film.image, image_size), "mask": resize_mask(film.mask, image_size)}
    if film.lung_mask is not None:
      batch["lung_mask"] = resize_mask(film.lung_mask, image_size)
    return batch

  order = _TrainingOrder(len(reader), batch_size, seed, first_step, share)
  return iter(
    grain.MapDataset.source(order)
    .map(load)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=os.cpu_count(), prefetch_buffer_size=_BATCHES_AHEAD * order.share_size)
    )
    .batch(order.share_size)
  )


class _TrainingOrder:
  """The films of all steps to come, one after the other, as a sequence that grain can index."""

  def __init__(self, num_films: int, batch_size: int, seed: int, first_step: int, share: slice):
    self._num_steps = steps_per_epoch(num_films, batch_size)
    self._batch_size, self._first_step, self._share = batch_size, first_step, share
    self._epoch_order = functools.lru_cache(2)(functools.partial(epoch_order, num_films, seed))
    self.share_size = share.stop - share.start

  def __len__(self) -> int:
    return 2**40  # Training ends it, not the films.

  def __getitem__(self, position: int) -> int:
    step, i = divmod(position, self.share_size)
    epoch, step = divmod(self._first_step + step, self._num_steps)
    return int(self._epoch_order(epoch)[step * self._batch_size + self._share.start + i])
