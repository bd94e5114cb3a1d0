"""What is done after training: `python -m covseg <command>`."""

import argparse
import sys

from covseg import command_line


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m covseg", description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  _add_evaluate(commands)
  _add_import_weights(commands)
  _add_release(commands)
  _add_dataset(commands)
  arguments = parser.parse_args()
  command_line.set_up_logging()
  with command_line.errors_in_plain_words():
    arguments.run(arguments)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "evaluate",
    help="evaluate the best checkpoint of a run on a split",
    epilog="Example: python -m covseg evaluate --model=runs/unet --split=test --manual_dir=FOLDER",
  )
  parser.add_argument("--model", required=True, help="the workdir of the run")
  parser.add_argument("--split", default="validation", help="train, validation or test")
  parser.add_argument("--cohort", help="covid or all; by default that of the training")
  parser.add_argument("--manual_dir", help="folder of the downloaded archive, if it has moved")
  parser.add_argument("--data_dir", help="where records are kept, if elsewhere")
  parser.add_argument("--output", help="folder of the results; by default evaluation/SPLIT in the workdir")
  parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
  from covseg import evaluation_command  # Here, so that --help answers at once.

  evaluation_command.run(
    arguments.model,
    arguments.split,
    {name: getattr(arguments, name) for name in ("cohort", "manual_dir", "data_dir")},
    arguments.output,
  )


def _add_import_weights(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "import-weights",
    help="convert an encoder's weights from torchvision or timm",
    epilog="Example: python -m covseg import-weights resnet34.pth --encoder=resnet34 "
    "--output=resnet34_encoder.safetensors",
  )
  parser.add_argument(
    "file",
    metavar="FILE",
    help="state dict of torchvision or timm: .safetensors, or .pth with PyTorch installed",
  )
  encoders = ("efficientnet_lite0", "mobilenet_v2", "resnet18", "resnet34", "resnet50", "densenet121")
  parser.add_argument("--encoder", required=True, choices=encoders, help="its architecture")
  parser.add_argument("--output", required=True, help="the file to write, for model.encoder_weights")
  parser.set_defaults(run=_import_weights)


def _import_weights(arguments: argparse.Namespace) -> None:
  from covseg import import_weights  # Here, so that --help answers at once.

  import_weights.run(arguments.file, arguments.encoder, arguments.output)


def _add_release(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "release",
    help="write a trained model into one file, at half its size, for others to use",
    epilog="Example: python -m covseg release --model=runs/unet --output=unet.safetensors",
  )
  parser.add_argument("--model", required=True, help="the workdir of the run")
  parser.add_argument("--output", required=True, help="the file, NAME.safetensors")
  parser.set_defaults(run=_release)


def _release(arguments: argparse.Namespace) -> None:
  import pathlib

  from covseg import model_files, trained_model

  output = pathlib.Path(arguments.output).expanduser()
  if output.suffix != ".safetensors":
    raise ValueError(f"--output={output} must end in .safetensors, by which commands know such a file.")
  trained = trained_model.load(arguments.model)
  model_files.save(output, trained.config, trained.variables, trained.step)
  print(f"{output}: {output.stat().st_size / 1e6:.1f} MB. Use it with --model={output}")


def _add_dataset(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "dataset",
    help="describe a dataset, draw its figures, and find films that it holds twice",
    epilog="Example: python -m covseg dataset --manual_dir=FOLDER --output=dataset_report",
  )
  parser.add_argument("--output", required=True, help="folder of the tables and figures")
  parser.add_argument("--name", help="covid_qu_ex (default), cxr_phantom, or a module with a TFDS builder")
  parser.add_argument("--cohort", default="all", help="all (default) or covid")
  parser.add_argument("--manual_dir", help="folder of the downloaded archive")
  parser.add_argument("--data_dir", help="where records are kept, if elsewhere")
  parser.add_argument("--image_key", help="feature of the image, in a dataset of one's own")
  parser.add_argument("--mask_key", help="feature of the infection mask")
  parser.add_argument("--lung_mask_key", help="feature of the mask of the lungs")
  parser.set_defaults(run=_dataset)


def _dataset(arguments: argparse.Namespace) -> None:
  from covseg import dataset_command

  names = ("name", "cohort", "manual_dir", "data_dir", "image_key", "mask_key", "lung_mask_key")
  dataset_command.run({name: getattr(arguments, name) for name in names}, arguments.output)


if __name__ == "__main__":
  command_line.use_huge_pages()
  sys.exit(main())
