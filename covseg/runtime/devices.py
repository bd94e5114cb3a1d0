"""The devices of a run: all there are, each with its share of every batch."""

import logging
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

logger = logging.getLogger(__name__)


def create_mesh(batch_size: int) -> Mesh:
  """All devices of all processes in one row, over which batches are split.

  In one process, as many devices as divide the batch; the others stay idle, with a warning.

  Raises:
    ValueError: several processes cannot share a batch evenly.
  """
  count = len(jax.devices())
  if jax.process_count() > 1 and batch_size % count:
    raise ValueError(
      f"batch_size={batch_size} cannot be divided evenly among the {count} devices of "
      f"{jax.process_count()} processes; choose a multiple of {count}."
    )
  used = max(n for n in range(1, count + 1) if batch_size % n == 0)
  if used < count:
    logger.warning("batch_size=%d is split over %d of %d devices.", batch_size, used, count)
  return Mesh(np.array(jax.devices()[:used]), ("batch",))


def replicated(mesh: Mesh) -> NamedSharding:
  """Sharding of what every device holds whole: the state, the films."""
  return NamedSharding(mesh, PartitionSpec())


def split_over_batch(mesh: Mesh, batch: Any) -> Any:
  """Arrays of a whole batch from this process's share of it, each device with its own part."""
  sharding = NamedSharding(mesh, PartitionSpec("batch"))
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def share_of_batch(batch_size: int) -> slice:
  """The part of a batch that this process reads."""
  size = batch_size // jax.process_count()
  return slice(jax.process_index() * size, (jax.process_index() + 1) * size)


def is_main_process() -> bool:
  """Whether this process is the one that writes logs and results."""
  return jax.process_index() == 0


def wait_for_all(point: str) -> None:
  """Returns when every process has come to this point."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(point)
