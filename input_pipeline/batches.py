"""The order of training and the batches of a pass over a split."""

import functools
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

# {"image": uint8 (B, H, W), "mask": bool (B, H, W), or uint8 where it is soft}, and, where there is one,
# "lung_mask": bool (B, H, W) and "opacity": bool (B,), see `films.Films`.
Batch = dict[str, np.ndarray]


class TrainingOrder:
  """The films of each step, int64 (B,): `order[step]`.

  They follow from the seed and the step alone, so a run can be resumed at any of them. An epoch holds each
  film once, but for those left over from its last full batch, and films without infection beyond their share.
  """

  def __init__(self, infected: np.ndarray, batch_size: int, seed: int, negative_share: float = 1.0):
    """Defines the order.

    Args:
      infected: bool (N,), whether each film has an infection.
      batch_size: films of a step.
      seed: of the order.
      negative_share: part of the films without infection in an epoch, drawn anew for each.

    Raises:
      ValueError: an epoch is smaller than one batch.
    """
    self._infected, self._seed = infected, seed
    self._num_negatives = round(negative_share * np.count_nonzero(~infected))
    self.batch_size = batch_size
    num_films = np.count_nonzero(infected) + self._num_negatives
    self.steps_per_epoch = num_films // batch_size
    if not self.steps_per_epoch:
      raise ValueError(
        f"batch_size={batch_size} is larger than the training split, which has {num_films} films; set "
        f"batch_size to {num_films} or less."
      )
    self._epoch = functools.lru_cache(2)(self._draw_epoch)

  def __getitem__(self, step: int) -> np.ndarray:
    epoch, step = divmod(step, self.steps_per_epoch)
    return self._epoch(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

  def _draw_epoch(self, epoch: int) -> np.ndarray:
    order = np.random.default_rng((self._seed, epoch)).permutation(len(self._infected))
    infected = self._infected[order]
    return order[infected | (np.cumsum(~infected) <= self._num_negatives)]


def eval_batches(images: Iterable[np.ndarray], masks: np.ndarray, batch_size: int) -> Iterator[tuple[Batch, int]]:
  """Batches of one shape over N images (H, W) and masks (N, H, W), in order, and how many of each are no padding."""
  images = iter(images)
  for start in range(0, len(masks), batch_size):
    of_batch = masks[start : start + batch_size]
    num_real = len(of_batch)
    batch = {"image": np.stack(list(itertools.islice(images, num_real))), "mask": of_batch}
    padding = [(0, batch_size - num_real), (0, 0), (0, 0)]
    yield {name: np.pad(array, padding) for name, array in batch.items()}, num_real
