"""`python -m covseg import-weights`"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = (
    "Example: python -m covseg import-weights resnet34.pth --encoder=resnet34 --output=resnet34_encoder.safetensors"
  )
  parser.add_argument(
    "file",
    metavar="FILE",
    help="state dict of torchvision or timm: .safetensors, or .pth with PyTorch installed",
  )
  parser.add_argument("--encoder", required=True, help="its architecture, a value of model.encoder")
  parser.add_argument("--output", required=True, help="the file to write, for model.encoder_weights")


def run(arguments: argparse.Namespace) -> None:
  from covseg.trained import import_weights

  import_weights.run(arguments.file, arguments.encoder, arguments.output)
