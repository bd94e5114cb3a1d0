"""`python -m covseg export`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg export --model=runs/unet --output=unet.onnx"
  shared.add_model(parser)
  shared.add_changes(parser)
  parser.add_argument("--output", required=True, help="a file that ends in .onnx or .stablehlo")


def run(arguments: argparse.Namespace) -> None:
  from covseg.trained import export

  export.run(arguments.model, arguments.output, arguments.set)
