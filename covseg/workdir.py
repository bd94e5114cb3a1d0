"""What a run leaves behind, and the names of its parts."""

import hashlib
import itertools
import json
import os
import pathlib
from typing import Any

from ml_collections import ConfigDict

from covseg import configuration

# Before the number of a step, the name of a checkpoint that is saved again.
ASIDE = ".checkpoint_"


class Workdir:
  """A run's folder: config.json, metrics.jsonl, checkpoints/, tensorboard/, evaluation/."""

  def __init__(self, path: pathlib.Path | str):
    self.path = pathlib.Path(path).expanduser()
    self.config_file = self.path / "config.json"
    self.metrics_file = self.path / "metrics.jsonl"
    self.samples_file = self.path / "validation_samples.png"
    self.checkpoints = self.path / "checkpoints"
    self.tensorboard = self.path / "tensorboard"
    self.lock_file = self.path / ".lock"

  def evaluation(self, split: str) -> pathlib.Path:
    """Folder of the evaluation on a split."""
    return self.path / "evaluation" / split

  def check(self, config: ConfigDict) -> None:
    """Raises ValueError unless a run of `config` may begin or go on here; writes nothing."""
    if self.path.exists() and not self.path.is_dir():
      raise ValueError(f"--workdir={self.path} is a file; name a folder, new or of an earlier run.")
    if not self.config_file.exists():
      if self.has_checkpoint:
        raise ValueError(
          f"{self.path} has checkpoints but no config.json, so what they are of is not known. "
          "Choose another --workdir, or delete this one."
        )
      return
    done = len(self.read_metrics())
    if not self.has_checkpoint:  # A run that failed before its first one, as for want of memory, is begun anew.
      if done > 1:  # A kill may come between the line of the first epoch and its checkpoint.
        raise ValueError(
          f"{self.path} holds the log of {done} epochs but no checkpoint to go on from, and a new run would replace "
          "it. Choose another --workdir, or delete this one."
        )
      return
    if config.num_epochs < done:
      raise ValueError(f"{self.path} holds a run of {done} epochs; num_epochs={config.num_epochs} must be no fewer.")
    different = configuration.differences(self.read_config(), config)
    if different:
      raise ValueError(
        f"{self.path} holds a run of another configuration, which cannot go on with this one: "
        f"{'; '.join(different)}. Choose another --workdir, or put these fields back."
      )

  @property
  def has_checkpoint(self) -> bool:
    """Whether there is a checkpoint to go on from."""
    folders = self.checkpoints.glob("*"), self.path.glob(f"{ASIDE}*")
    return any(folder.name.removeprefix(ASIDE).isdigit() for folder in itertools.chain(*folders))

  def read_config(self) -> ConfigDict:
    """The configuration of the run.

    Raises:
      ValueError: there is none, or it is damaged.
    """
    try:
      return configuration.from_json(self.config_file.read_text())
    except FileNotFoundError as error:
      raise ValueError(f"{self.path} is no workdir: it has no config.json.") from error
    except ValueError as error:
      raise ValueError(f"{self.config_file} cannot be used: {error}") from error

  def write_config(self, config: ConfigDict) -> None:
    """Makes the folder, if need be, and writes config.json; checks again, as another process may have trained here."""
    self.check(config)
    self.path.mkdir(parents=True, exist_ok=True)
    write_whole(self.config_file, configuration.to_json(config) + "\n")

  def truncate_metrics(self, last_step: int) -> None:
    """Drops the lines of metrics.jsonl that lie beyond the step a run goes on from."""
    if self.metrics_file.exists():
      kept = [line for line in self.read_metrics() if line["step"] <= last_step]
      write_whole(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

  def read_metrics(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without those that a kill cut short; none where there is no such file."""
    if not self.metrics_file.exists():
      return []
    lines = map(_metrics, self.metrics_file.read_text(errors="replace").splitlines())
    return [line for line in lines if line]

  def append_metrics(self, metrics: dict[str, Any]) -> None:
    """Appends a line to metrics.jsonl."""
    with self.metrics_file.open("a") as file:
      file.write(json.dumps(metrics) + "\n")


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file so that it is never seen half-written: beside its place, then renamed."""
  path.parent.mkdir(parents=True, exist_ok=True)
  digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]  # The name itself may be as long as names may be.
  beside = path.with_name(f".{digest}.{os.getpid()}")
  try:
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    beside.replace(path)
  finally:
    beside.unlink(missing_ok=True)


def _metrics(line: str) -> dict[str, Any] | None:
  """The metrics in a line; None where a kill has cut it short."""
  try:
    found = json.loads(line)
    return found if isinstance(found["step"], int) else None
  except (json.JSONDecodeError, KeyError, TypeError):
    return None
