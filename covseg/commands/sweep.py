"""`python -m covseg sweep`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = (
    "Example: python -m covseg sweep --config=configs/sweeps/table1.py --workdir=runs/table1 "
    "--set dataset.manual_dir=FOLDER; in an array job of 8, with --shard=$SLURM_ARRAY_TASK_ID/8"
  )
  parser.add_argument("--config", required=True, help="file of the list, as configs/sweeps/table1.py")
  parser.add_argument("--workdir", required=True, help="folder of the runs, NAME/seedN each")
  shared.add_shard(parser)
  parser.add_argument(
    "--set", action="append", default=[], type=shared.field, metavar="FIELD=VALUE", help="for all runs; repeatable"
  )


def run(arguments: argparse.Namespace) -> None:
  from covseg.experiments import sweep

  sweep.run(arguments.config, arguments.workdir, arguments.shard, arguments.set)
