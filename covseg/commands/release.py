"""`python -m covseg release`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg release --model=runs/unet --output=unet.safetensors"
  parser.add_argument(
    "--model",
    required=True,
    help="the workdir of the run; the weights of several, separated by commas, are averaged",
  )
  parser.add_argument("--output", required=True, help="the file, NAME.safetensors")
  shared.add_changes(parser)


def run(arguments: argparse.Namespace) -> None:
  from covseg.trained import release

  release.run(arguments.model, arguments.output, arguments.set)
