"""`python -m covseg compare`"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg compare runs/table1 --output=runs/table1_comparison"
  parser.add_argument("runs", nargs="+", help="workdirs, or folders of them; the others are tested against the first")
  parser.add_argument("--split", help="default: test, or validation where a run was not evaluated on test")
  parser.add_argument("--output", default="comparison", help="folder of the tables and the plot")


def run(arguments: argparse.Namespace) -> None:
  from covseg.experiments import compare

  compare.run(arguments.runs, arguments.split, arguments.output)
