"""`python -m covseg dataset`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg dataset --manual_dir=FOLDER --output=dataset_report"
  parser.add_argument("--output", required=True, help="folder of the tables and figures")
  shared.add_dataset(parser)
  parser.set_defaults(cohort="all")


def run(arguments: argparse.Namespace) -> None:
  from covseg.dataset import describe

  describe.run(shared.dataset_fields(arguments), arguments.output)
