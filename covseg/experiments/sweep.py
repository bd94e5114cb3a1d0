"""A list of runs, one after the other: `python -m covseg sweep`.

Each run is a process of its own, so that one that fails, or takes all the memory, does not stop the rest.
"""

import dataclasses
import importlib.util
import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from configs.sweeps import Entry
from covseg import configuration
from covseg.runtime.command_line import UsageError
from covseg.training import recipe
from covseg.workdir import Workdir

_ROOT = pathlib.Path(__file__).parent.parent.parent
_MAIN = _ROOT / "main.py"
_LINES_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a sweep: its folder, the arguments of main.py, and the configuration they amount to."""

  workdir: pathlib.Path
  arguments: tuple[str, ...]
  config: ConfigDict

  @property
  def log(self) -> pathlib.Path:
    """Where what it prints is kept."""
    return self.workdir.with_name(f"{self.workdir.name}.log")


def run(config: str, workdir: str, shard: tuple[int, int], overrides: Sequence[str]) -> None:
  """Runs what is not done yet of a share of a sweep; ends the process with status 1 if a run failed.

  Args:
    config: file of the sweep, which defines `get_sweep() -> list[Entry]`.
    workdir: folder of the runs, NAME/seedN each.
    shard: (i, n): the i-th of n shares, from 1.
    overrides: "field=value" for all runs.

  Raises:
    UsageError: the sweep or a configuration of it is not as it should be; nothing has been run then.
  """
  runs = plan(config, pathlib.Path(workdir).expanduser(), overrides)[shard[0] - 1 :: shard[1]]
  waiting = [planned for planned in runs if not is_done(planned)]
  print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them done", flush=True)
  failed = []
  with _Stop() as stop:
    for number, planned in enumerate(waiting, 1):
      if stop.asked:
        break
      print(f"[{number}/{len(waiting)}] {planned.workdir} (its output: {planned.log})", flush=True)
      began = time.monotonic()
      status = _execute(planned, stop)
      if stop.asked:
        break
      minutes = (time.monotonic() - began) / 60
      if status == 0 and is_done(planned):
        print(f"  done in {minutes:.1f} min: {_result(planned)}", flush=True)
      else:
        print(f"  FAILED after {minutes:.1f} min with status {status}", flush=True)
        failed.append((planned, status))
  if stop.asked:
    print("Stopped; the same command goes on from there.")
    sys.exit(1)
  for planned, status in failed:
    command = shlex.join([sys.executable, str(_MAIN), *planned.arguments])
    print(f"\n{planned.workdir} failed with status {status}. Its command:\n{command}\nIts last lines:")
    print("\n".join(f"  {line}" for line in _last_lines(planned.log)))
  if failed:
    print(f"\n{len(failed)} of {len(runs)} runs failed; the same command tries them again.")
    sys.exit(1)


def plan(config: str, workdir: pathlib.Path, overrides: Sequence[str] = ()) -> list[Run]:
  """All runs of a sweep, in the order of its seeds: each configuration once before any a second time.

  Raises:
    UsageError: as `run`.
  """
  entries = _load(config)
  names = [entry.name for entry in entries]
  if len(set(names)) < len(names):
    repeated = sorted({name for name in names if names.count(name) > 1})
    raise UsageError(f"{config} has several entries of one name ({', '.join(repeated)}); give each its own.")
  for entry in entries:
    if not isinstance(entry.seeds, Sequence):
      raise UsageError(f"The entry {entry.name} of {config}: seeds={entry.seeds!r}; expected several, as (0, 1).")
  seeds = dict.fromkeys(seed for entry in entries for seed in entry.seeds)
  runs = []
  for seed in seeds:
    for entry in entries:
      if seed not in entry.seeds:
        continue
      file = entry.config if pathlib.Path(entry.config).exists() else str(_ROOT / entry.config)
      fields = [f"{name}={value}" for name, value in entry.overrides.items()] + list(overrides)
      if any(field.startswith("seed=") for field in fields):
        raise UsageError(f"The entry {entry.name} of {config}: seeds are named by Entry(seeds=...), not by a field.")
      arguments = (f"--config={file}", *(f"--config.{field}" for field in fields), f"--config.seed={seed}")
      try:
        resolved = _resolve(arguments)
        recipe.check(resolved)
      except (AttributeError, KeyError, TypeError, ValueError, OSError, flags.Error) as error:
        reason = error
        while isinstance(reason, KeyError | AttributeError):  # One within the other.
          reason = reason.args[0]
        raise UsageError(f"The entry {entry.name} of {config} cannot be run: {reason}") from error
      folder = workdir / entry.name / f"seed{seed}"
      runs.append(Run(folder, (*arguments, f"--workdir={folder}"), resolved))
  return runs


def is_done(planned: Run) -> bool:
  """Whether the run has been trained to the end, as planned, and evaluated since."""
  workdir = Workdir(planned.workdir)
  try:
    found = workdir.read_config()
    epoch = workdir.read_metrics()[-1]["epoch"]
  except (ValueError, OSError, IndexError):  # Not begun, or cut short; main.py says what it makes of it.
    return False
  trained_at = workdir.metrics_file.stat().st_mtime
  return (
    epoch >= planned.config.num_epochs == found.num_epochs
    and not configuration.differences(found, planned.config)
    and any(file.stat().st_mtime >= trained_at for file in _evaluations(planned))
  )


def _load(config: str) -> list[Entry]:
  path = pathlib.Path(config)
  if not path.is_file() or path.suffix != ".py":
    raise UsageError(f"--config={config} is no file of Python; expected one as configs/sweeps/table1.py.")
  spec = importlib.util.spec_from_file_location("sweep_config", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, "get_sweep"):
    raise UsageError(
      f"--config={config} defines no get_sweep(); expected a list of runs as configs/sweeps/table1.py. "
      "A single experiment is run by main.py."
    )
  return module.get_sweep()


def _resolve(arguments: Sequence[str]) -> ConfigDict:
  """The configuration that main.py makes of its arguments."""
  values, arguments = flags.FlagValues(), ["main.py", *arguments]
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
  values(arguments)
  return values.config


def _execute(planned: Run, stop: "_Stop") -> int:
  """Exit status of main.py."""
  if not _MAIN.exists():
    raise ValueError(f"A sweep runs main.py, which is not in {_ROOT}; install with pip install -e .")
  planned.log.parent.mkdir(parents=True, exist_ok=True)
  with planned.log.open("a") as log:
    stop.process = subprocess.Popen(
      [sys.executable, str(_MAIN), *planned.arguments],
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=True,  # Ctrl-C reaches it through this process alone.
    )
    if stop.asked:  # Just before.
      stop.process.terminate()
    return stop.process.wait()


class _Stop:
  """Passes SIGTERM and Ctrl-C on to the run under way, which saves and ends, and notes that they came."""

  def __init__(self):
    self.asked = False
    self.process = None

  def __enter__(self) -> "_Stop":
    self._previous = {n: signal.signal(n, self._note) for n in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _note(self, *_: object) -> None:
    self.asked = True
    if self.process is not None:
      self.process.terminate()


def _evaluations(planned: Run) -> list[pathlib.Path]:
  return sorted(planned.workdir.glob("evaluation/*/metrics.json"))


def _result(planned: Run) -> str:
  metrics = json.loads(max(_evaluations(planned), key=lambda file: file.stat().st_mtime).read_text())
  dice = metrics["per_image"]["dice"]
  return f"{metrics['split']}, per image: Dice {'undefined' if dice is None else f'{dice:.4f}'}"


def _last_lines(log: pathlib.Path) -> list[str]:
  lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
  return [line for line in lines if line.strip()][-_LINES_SHOWN:]
