"""`python -m covseg external`"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg external --predictions=out --labels=labels.csv"
  parser.add_argument(
    "--predictions",
    required=True,
    help="folder that `predict` wrote, or a table of any system with the columns file, infected_pixels and "
    "infected_percent_of_lungs",
  )
  parser.add_argument(
    "--labels",
    required=True,
    help="CSV file with the column file, and any of set (as the hospital), infected (1 or 0) and severity (a number)",
  )


def run(arguments: argparse.Namespace) -> None:
  from covseg.evaluation import external

  external.run(arguments.predictions, arguments.labels)
