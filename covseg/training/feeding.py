"""How films reach the training step: all on the device once, or a batch at a time from the host."""

import itertools
import logging
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from covseg.runtime import devices
from covseg.training import teacher
from covseg.training.run import Run
from covseg.training.train_state import TrainState
from covseg.training.train_step import create_resident_train_steps, create_train_step
from input_pipeline.batches import Batch, TrainingOrder
from input_pipeline.films import FilmReader, load_films
from input_pipeline.streaming import batches_from_memory, streamed_batches

logger = logging.getLogger(__name__)

# Takes some steps, at most as many as are left in the epoch; gives the state and their losses.
TakeSteps = Callable[[TrainState, int], tuple[TrainState, jax.Array]]

# Steps of one dispatch where the films are on the device. A stop waits for them.
_STEPS_PER_DISPATCH = 16


def check_memory(config: ConfigDict, reader: FilmReader) -> None:
  """Raises ValueError if there is a teacher, and the training films do not fit into memory."""
  gigabytes = _gigabytes(config, reader)
  if config.loss.teacher and gigabytes > config.dataset.memory_limit_gb:
    raise ValueError(
      f"loss.teacher needs the training films in memory: they take {gigabytes:.1f} GB, and dataset.memory_limit_gb is "
      f"{config.dataset.memory_limit_gb}."
    )


def create_take_steps(
  run: Run, reader: FilmReader, order: TrainingOrder, first_step: int, like: TrainState
) -> TakeSteps:
  """Function that trains from a step on, fed in the way that suits data and devices.

  - Films beyond `dataset.memory_limit_gb` are read from disk as they are needed.
  - Others are read into memory once. On accelerators of one process they go to the device as they
    are, uint8, and many steps run there without the host. XLA:CPU is slow inside such a loop, and
    several processes feed only their shares: there the host gathers each batch, once its films are read.

  `like` has the shapes and types of the state that training starts from.

  The batches are the same in each way. A teacher predicts for all films with an infection before the first batch.
  """
  config, mesh = run.config, run.mesh
  share = devices.share_of_batch(config.batch_size)
  gigabytes = _gigabytes(config, reader)
  fits_memory = gigabytes <= config.dataset.memory_limit_gb
  if not fits_memory:
    logger.info("The training films (%.1f GB in memory) are read as they are needed.", gigabytes)
  elif jax.default_backend() != "cpu" and jax.process_count() == 1:
    return _take_resident_steps(run, reader, order, first_step)
  train_step = create_train_step(config, run.model, run.optimizer)
  blank = np.zeros((share.stop - share.start, config.image_size, config.image_size), bool)
  batch = {"image": blank.astype(np.uint8), "mask": blank.astype(np.uint8) if config.loss.teacher else blank}
  if reader.has_lung_masks:
    batch["lung_mask"] = blank
  if reader.opacity_classes:
    batch["opacity"] = blank[:, 0, 0]
  lowered = train_step.lower(like, devices.split_over_batch(mesh, batch))
  if config.loss.teacher:
    films = _load(run, reader)
    batches = ({name: x[order[step][share]] for name, x in films.items()} for step in itertools.count(first_step))
  else:
    create_batches = batches_from_memory if fits_memory else streamed_batches
    batches = create_batches(reader, order, first_step, share)
  # Threads read on while the step is compiled; while it was traced, they would have held it up.
  batches = itertools.chain([next(batches)], batches)
  lowered.compile()

  def take_step(state: TrainState, steps_left: int) -> tuple[TrainState, jax.Array]:
    del steps_left  # One is never too many.
    return train_step(state, devices.split_over_batch(mesh, next(batches)))

  return take_step


def _take_resident_steps(run: Run, reader: FilmReader, order: TrainingOrder, first_step: int) -> TakeSteps:
  config, mesh = run.config, run.mesh
  train_steps = create_resident_train_steps(config, run.model, run.optimizer)
  films = jax.device_put(_load(run, reader), devices.replicated(mesh))
  orders = (order[step] for step in itertools.count(first_step))

  def take_steps(state: TrainState, steps_left: int) -> tuple[TrainState, jax.Array]:
    num_steps = min(steps_left, _STEPS_PER_DISPATCH)
    chosen = np.zeros((_STEPS_PER_DISPATCH, config.batch_size), np.int32)
    chosen[:num_steps] = list(itertools.islice(orders, num_steps))
    chosen = jax.device_put(chosen, NamedSharding(mesh, PartitionSpec(None, "batch")))
    state, losses = train_steps(state, films, chosen, num_steps)
    return state, losses[:num_steps]

  return take_steps


def _gigabytes(config: ConfigDict, reader: FilmReader) -> float:
  """What the training films take in memory."""
  return (2 + reader.has_lung_masks + 4 * bool(config.loss.teacher)) * len(reader) * config.image_size**2 / 1e9


def _load(run: Run, reader: FilmReader) -> Batch:
  """All training films as one batch, with soft masks where there is a teacher."""
  films = load_films(reader)
  batch = films.as_batch()
  if run.config.loss.teacher:
    batch["mask"] = teacher.soft_masks(films, reader.builder, run.config, run.mesh)
  return batch
