"""The order of training and the batches of a pass over a split."""

from collections.abc import Iterator

import numpy as np

Batch = dict[
  str, np.ndarray
]  # {"image": uint8 (B, H, W), "mask": bool (B, H, W)}, and "lung_mask" where there is one


def epoch_order(num_films: int, seed: int, epoch: int) -> np.ndarray:
  """Permutation of range(num_films), int64, that follows from the seed and the epoch alone."""
  return np.random.default_rng((seed, epoch)).permutation(num_films)


def steps_per_epoch(num_films: int, batch_size: int) -> int:
  """Full batches in a split; the films left over wait for another epoch's order.

  Raises:
    ValueError: the split is smaller than one batch.
  """
  if batch_size > num_films:
    raise ValueError(
      f"batch_size={batch_size} is larger than the training split, which has {num_films} films; set "
      f"batch_size to {num_films} or less."
    )
  return num_films // batch_size


def batch_orders(num_films: int, batch_size: int, seed: int, first_step: int) -> Iterator[np.ndarray]:
  """The films of each step from `first_step` on, int64 (B,), without end.

  Those of a step are the same wherever the pass was begun, so a run can be resumed at any step.
  """
  steps = steps_per_epoch(num_films, batch_size)
  epoch, step = divmod(first_step, steps)
  while True:
    batches = epoch_order(num_films, seed, epoch)[: steps * batch_size].reshape(steps, batch_size)
    yield from batches[step:]
    epoch, step = epoch + 1, 0


def eval_batches(images: np.ndarray, masks: np.ndarray, batch_size: int) -> Iterator[tuple[Batch, int]]:
  """Batches of one shape over (N, H, W) arrays, in order, and how many of each are no padding."""
  for start in range(0, len(images), batch_size):
    batch = {"image": images[start : start + batch_size], "mask": masks[start : start + batch_size]}
    num_real = len(batch["image"])
    padding = [(0, batch_size - num_real), (0, 0), (0, 0)]
    yield {name: np.pad(array, padding) for name, array in batch.items()}, num_real
