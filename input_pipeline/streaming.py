"""Training batches read from disk as they are needed, for films that do not fit into memory."""

import os
from collections.abc import Iterator

import grain

from input_pipeline.batches import Batch, TrainingOrder
from input_pipeline.films import FilmReader, resize_image, resize_mask

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
    film = reader[index]
    batch = {"image": resize_image(film.image, image_size), "mask": resize_mask(film.mask, image_size)}
    if film.lung_mask is not None:
      batch["lung_mask"] = resize_mask(film.lung_mask, image_size)
    return batch

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
