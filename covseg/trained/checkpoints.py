"""Checkpoints of a run: the latest, and the best by validation Dice. Only this module knows Orbax."""

import contextlib
import errno
import glob
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
from orbax.checkpoint.experimental import v1 as ocp

from covseg.workdir import ASIDE

State = TypeVar("State")
_policies = ocp.training.preservation_policies


class Checkpoints:
  """The checkpoints in a folder, each under the number of its step.

  A checkpoint appears under its name only when it is complete, and an old one goes only after that:
  a process killed, or a disk filled, at any moment leaves the previous ones whole.
  """

  def __init__(self, folder: pathlib.Path, num_films: int = 0, read_only: bool = False):
    """Opens a folder.

    Args:
      folder: where they are.
      num_films: films of the training, which the checkpoints that are saved hold; see `check_num_films`.
      read_only: leave alone what a run under way may be writing there.
    """
    self._folder, self._num_films = folder, num_films
    if not read_only and jax.process_index() == 0:
      self._put_back()
    self._checkpointer = ocp.training.Checkpointer(
      self._path_for_orbax(),
      save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
      preservation_policy=_policies.AnyPreservationPolicy(
        [
          _policies.LatestN(1),
          _policies.BestN(get_metric_fn=_val_dice, n=1, keep_checkpoints_without_metrics=False),
        ]
      ),
      cleanup_tmp_directories=not read_only,
    )

  def _path_for_orbax(self) -> pathlib.Path:
    """The folder, as an absolute path without brackets and the like, which Orbax takes for patterns."""
    path = self._folder.absolute()
    if glob.escape(str(path)) == str(path):
      return path
    path.mkdir(parents=True, exist_ok=True)
    self._links = tempfile.TemporaryDirectory(prefix="covseg-")  # It goes with this object.
    link = pathlib.Path(self._links.name, path.name)
    link.symlink_to(path, target_is_directory=True)
    return link

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
    if error_type is None:  # Else a save may have failed, and closing would raise that again.
      self._checkpointer.close()

  @property
  def latest_step(self) -> int | None:
    """Step of the latest checkpoint; None without one."""
    latest = self._checkpointer.latest
    return latest.step if latest else None

  @property
  def best_step(self) -> int | None:
    """Step of the checkpoint with the highest validation Dice, the later of equals."""
    validated = [c for c in self._checkpointer.checkpoints if c.metrics]
    return max(validated, key=lambda c: (_val_dice(c.metrics), c.step)).step if validated else None

  def save(self, state: Any, val_dice: float | None = None, epoch_losses: list[float] | None = None) -> None:
    """Saves a state under its step.

    Args:
      state: what to save.
      val_dice: its validation Dice, at the end of an epoch.
      epoch_losses: within an epoch, the losses of its steps so far.

    Raises:
      OSError: it could not be written; the checkpoints before it are as they were.
    """
    folder = self._folder
    # Half a megabyte is what Orbax writes besides.
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + 2**19
    try:
      free = shutil.disk_usage(folder).free
      if free < needed:
        raise OSError(errno.ENOSPC, f"it takes {needed:,} bytes, and the disk has {free:,} left")
      with self._kept_aside(int(state.step)), _errors_are_raised_only():
        self._checkpointer.save(
          int(state.step),
          state,
          overwrite=True,
          metrics=None if val_dice is None else {"val_dice": val_dice},
          custom_metadata={"epoch_losses": epoch_losses or [], "num_films": self._num_films},
        )
    except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
      raise OSError(
        f"The checkpoint of step {int(state.step)} could not be written to {folder}: {error}. {self.kept()} "
        "Once that is mended, the same command goes on."
      ) from error

  @contextlib.contextmanager
  def _kept_aside(self, step: int) -> Iterator[None]:
    """Keeps the checkpoint of a step that is saved again, as Orbax deletes it before it writes.

    That happens when a run goes on that was stopped while it was validated.
    """
    place, aside = self._folder / str(step), self._folder.with_name(f"{ASIDE}{step}")
    if jax.process_index() or not place.exists():
      yield
      return
    shutil.copytree(place, aside, copy_function=_link)
    try:
      yield
    finally:
      self._put_back()

  def _put_back(self) -> None:
    """Puts what was kept aside back in its place, if nothing is there."""
    for aside in self._folder.parent.glob(f"{ASIDE}*"):
      place = self._folder / aside.name.removeprefix(ASIDE)
      if place.exists():
        shutil.rmtree(aside)
      else:
        aside.rename(place)

  def kept(self) -> str:
    """A sentence that says which checkpoint there is to go on from."""
    # By the folder: after an error, Orbax may know of none.
    steps = [int(path.name) for path in self._folder.glob("*") if path.name.isdigit()]
    if not steps:
      return "There is no earlier one to go on from."
    return f"The last one, of step {max(steps)}, is kept."

  def check_num_films(self, step: int) -> None:
    """Raises ValueError if a checkpoint is of a training on more films or fewer: their order would be another."""
    with self._damage_is_told(step):
      saved = self._checkpointer.metadata(step).custom_metadata.get("num_films")
    if saved not in (None, self._num_films):  # Older ones do not have it.
      raise ValueError(
        f"{self._folder.parent} was trained on {saved:,} films, and there are {self._num_films:,} now. Put them back, "
        "or choose another --workdir."
      )

  def restore(self, step: int, like: State) -> tuple[State, list[float]]:
    """State of a checkpoint, and the losses of its epoch so far; `like` has its shapes and types.

    Raises:
      ValueError: it is damaged.
    """
    with self._damage_is_told(step):
      state = self._checkpointer.load(step, like)
      return state, self._checkpointer.metadata(step).custom_metadata["epoch_losses"]

  def restore_variables(self, step: int, shapes: dict[str, Any], averaged: bool) -> dict[str, Any]:
    """Variables {"params": ..., "batch_stats": ...} of a checkpoint; nothing else is read.

    Args:
      step: of the checkpoint.
      shapes: of the variables.
      averaged: whether the moving averages are wanted, which are what is evaluated where they are kept.

    Raises:
      ValueError: it is damaged.
    """
    prefix = "ema_" if averaged else ""
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
      {f"{prefix}{kind}": tree for kind, tree in shapes.items()},
    )
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with context, self._damage_is_told(step):
      found = self._checkpointer.load(step, like)
    return {kind: found[f"{prefix}{kind}"] for kind in shapes}

  @contextlib.contextmanager
  def _damage_is_told(self, step: int) -> Iterator[None]:
    """Turns what Orbax raises of a damaged checkpoint, which may quote all arrays, into a sentence."""
    try:
      yield
    except Exception as error:  # Of any kind.
      is_of_system = isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError)
      # Want of memory is an error of the system, too, as XLA tells it.
      if is_of_system or isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        raise
      raise ValueError(
        f"The checkpoint {self._folder / str(step)} is damaged, or of another network ({type(error).__name__}). If "
        "it is deleted, the run goes on from the one before, if there is one."
      ) from error


@contextlib.contextmanager
def _errors_are_raised_only() -> Iterator[None]:
  """Keeps Orbax from logging, once a thread, the traceback of an error that it raises as well."""
  absl_logger = logging.getLogger("absl")
  level = absl_logger.level
  absl_logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    absl_logger.setLevel(level)


def _link(source: str, target: str) -> None:
  """A second name of a file; a copy where a file system knows no such thing."""
  try:
    os.link(source, target)
  except OSError:
    shutil.copy2(source, target)


def _val_dice(metrics: Any) -> float:
  return metrics["val_dice"]
