"""Trains a network and evaluates it.

  python main.py --config=configs/unet.py

Any field of the configuration can be overridden, as in --config.model.base_features=16. The same command on the
same workdir continues where it stopped.
"""

import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags

from covseg.runtime import command_line
from covseg.runtime.command_line import UsageError

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of the configuration.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run: configuration, logs, weights. Default: runs/NAME of the config file."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Share the run with the other processes that SLURM or Open MPI started."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator_address", None, "host:port of process 0, outside SLURM and Open MPI; with --distributed."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "With --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "With --coordinator_address.")


def main(argv: list[str]) -> None:
  command_line.set_up_logging()
  with command_line.errors_in_plain_words():
    _check(argv)
    import jax  # Here, so that --help and a mistyped flag answer at once.

    if _DISTRIBUTED.value:  # Before anything else of JAX.
      jax.distributed.initialize(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    from covseg.training import train

    train.train_and_evaluate(_CONFIG.value, _WORKDIR.value or str(pathlib.Path("runs", _config_file().stem)))


def _check(argv: list[str]) -> None:
  if len(argv) > 1:
    raise UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
  if not flags.FLAGS["config"].present:
    raise UsageError("--config is missing; it names a file, as in --config=configs/unet.py.")
  if not _config_file().is_file():
    raise UsageError(f"--config={_config_file()}: there is no such file.")
  if not _DISTRIBUTED.value and (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value) != (None,) * 3:
    raise UsageError("--coordinator_address, --num_processes and --process_id need --distributed.")


def _config_file() -> pathlib.Path:
  return pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"]))


def parse_flags(argv: list[str]) -> list[str]:
  with command_line.errors_in_plain_words(AttributeError, KeyError, TypeError, flags.Error, status=2):
    try:
      return flags.FLAGS(argv)
    except Exception:
      from covseg import configuration

      configuration.check_flags(argv)
      raise


if __name__ == "__main__":
  command_line.use_huge_pages()
  sys.exit(app.run(main, flags_parser=parse_flags))
