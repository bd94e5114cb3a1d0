"""The order of training and the batches of a pass over a split."""

from collections.abc import Iterator

import numpy as np

from input_pipeline.films import Films


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


def train_batches(
  films: Films, batch_size: int, seed: int, first_step: int
) -> Iterator[dict[str, np.ndarray]]:
  """Batches from a step on, without end: image uint8 (B, H, W), mask bool (B, H, W).

  The batch of a step is the same wherever the pass was begun, so a run can be resumed at any step.
  """
  steps = steps_per_epoch(len(films), batch_size)
  step = first_step
  while True:
    order = epoch_order(len(films), seed, epoch=step // steps)
    for i in range(step % steps, steps):
      chosen = order[i * batch_size : (i + 1) * batch_size]
      yield {"image": films.images[chosen], "mask": films.masks[chosen]}
    step += steps - step % steps


def eval_batches(
  images: np.ndarray, masks: np.ndarray, batch_size: int
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
  """Batches of one shape over (N, H, W) arrays, in order, and how many of each are no padding."""
  for start in range(0, len(images), batch_size):
    batch = {"image": images[start : start + batch_size], "mask": masks[start : start + batch_size]}
    num_real = len(batch["image"])
    padding = batch_size - num_real
    yield (
      {name: np.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1)) for name, array in batch.items()},
      num_real,
    )
