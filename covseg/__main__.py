"""What is done after training: `python -m covseg <command>`."""

import argparse
import sys

from covseg import DEFAULT_MODEL
from covseg.runtime import command_line

_MODEL = (
  "a model that ships, a file that `release` wrote, or the workdir of a run, whose best checkpoint it is; "
  f"several, with commas between them, are averaged, as the default, {DEFAULT_MODEL}"
)


def main() -> int | None:
  parser = argparse.ArgumentParser(prog="python -m covseg", description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  _add_evaluate(commands)
  _add_import_weights(commands)
  _add_release(commands)
  _add_dataset(commands)
  _add_sweep(commands)
  _add_compare(commands)
  _add_predict(commands)
  _add_export(commands)
  arguments = parser.parse_args()
  command_line.set_up_logging()
  with command_line.errors_in_plain_words():
    return arguments.run(arguments)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "evaluate",
    help="evaluate a run, or another system's masks, on a split",
    epilog="Example: python -m covseg evaluate --model=runs/unet --split=test --manual_dir=FOLDER",
  )
  source = parser.add_mutually_exclusive_group()
  source.add_argument("--model", help=_MODEL)
  source.add_argument("--predictions", help="a folder of PNG masks, each named by the id of its film")
  _add_changes(parser)
  parser.add_argument("--split", default="validation", help="train, validation or test")
  parser.add_argument("--cohort", help="covid or all; by default that of the training")
  parser.add_argument("--manual_dir", help="folder of the downloaded archive, if it has moved")
  parser.add_argument("--data_dir", help="where records are kept, if elsewhere")
  parser.add_argument("--dataset", help="name of the dataset, if another")
  parser.add_argument(
    "--threshold", type=float, help="call a pixel infected above this probability; by default as configured"
  )
  parser.add_argument("--duplicates", help="CSV file of near-duplicates, to evaluate without them as well")
  parser.add_argument("--films", default="", help="ids of films, with commas, for a figure of their own")
  parser.add_argument(
    "--output", help="folder of the results; by default evaluation/SPLIT in the workdir or folder of masks"
  )
  parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
  from covseg.evaluation import evaluation_command  # Here, so that --help answers at once.

  model = arguments.model
  if model is None and arguments.predictions is None:
    model = DEFAULT_MODEL
  evaluation_command.run(
    evaluation_command.Request(
      split=arguments.split,
      model=model,
      predictions=arguments.predictions,
      dataset_fields={
        "name": arguments.dataset,
        "cohort": arguments.cohort,
        "manual_dir": arguments.manual_dir,
        "data_dir": arguments.data_dir,
      },
      changes=arguments.set,
      threshold=arguments.threshold,
      duplicates=arguments.duplicates,
      chosen_films=[film_id for film_id in arguments.films.split(",") if film_id],
      output=arguments.output,
    )
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
  from covseg.trained import import_weights  # Here, so that --help answers at once.

  import_weights.run(arguments.file, arguments.encoder, arguments.output)


def _add_release(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "release",
    help="write a trained model into one file, at half its size, for others to use",
    epilog="Example: python -m covseg release --model=runs/unet --output=unet.safetensors",
  )
  parser.add_argument(
    "--model",
    required=True,
    help="the workdir of the run; several, with commas between them, whose weights are averaged",
  )
  parser.add_argument("--output", required=True, help="the file, NAME.safetensors")
  _add_changes(parser)
  parser.set_defaults(run=_release)


def _add_changes(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="FIELD=VALUE",
    help="how the model predicts, where that is not how it does by itself: --set eval.threshold=0.3, --set "
    "eval.flip=true or, of a U-Net++, --set model.prune_to=2; repeatable",
  )


def _release(arguments: argparse.Namespace) -> None:
  from covseg.trained import release

  release.run(arguments.model, arguments.output, arguments.set)


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
  from covseg.dataset import describe

  names = ("name", "cohort", "manual_dir", "data_dir", "image_key", "mask_key", "lung_mask_key")
  describe.run({name: getattr(arguments, name) for name in names}, arguments.output)


def _add_sweep(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "sweep",
    help="train and evaluate a list of configurations and seeds, one after the other",
    epilog="Example: python -m covseg sweep --config=configs/sweeps/table1.py --workdir=runs/table1 "
    "--set dataset.manual_dir=FOLDER; in a cluster's array job of 8, with --shard=$SLURM_ARRAY_TASK_ID/8",
  )
  parser.add_argument("--config", required=True, help="file of the list, as configs/sweeps/table1.py")
  parser.add_argument("--workdir", required=True, help="folder of the runs, NAME/seedN each")
  parser.add_argument("--shard", type=_shard, default=(1, 1), help="I/N: only the I-th of N shares, from 1")
  parser.add_argument(
    "--set", action="append", default=[], type=_field, metavar="FIELD=VALUE", help="for all runs; repeatable"
  )
  parser.set_defaults(run=_sweep)


def _shard(text: str) -> tuple[int, int]:
  shard, _, count = text.partition("/")
  if not (shard.isdecimal() and count.isdecimal() and 1 <= int(shard) <= int(count)):
    raise argparse.ArgumentTypeError(f"{text!r} is no share; expected I/N with I from 1 to N, as 2/8")
  return int(shard), int(count)


def _field(text: str) -> str:
  if not text.partition("=")[1]:
    raise argparse.ArgumentTypeError(f"{text!r} is no FIELD=VALUE, as dataset.manual_dir=FOLDER")
  return text


def _sweep(arguments: argparse.Namespace) -> None:
  from covseg.experiments import sweep

  sweep.run(arguments.config, arguments.workdir, arguments.shard, arguments.set)


def _add_compare(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "compare",
    help="one table of several runs, with intervals over films and deviations over seeds",
    epilog="Example: python -m covseg compare runs/table1 --output=runs/table1_comparison",
  )
  parser.add_argument("runs", nargs="+", help="workdirs, or folders of them; the first is compared with")
  parser.add_argument("--split", help="by default test, or validation where a run lacks that")
  parser.add_argument("--output", default="comparison", help="folder of the tables and the plot")
  parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
  from covseg.experiments import compare

  compare.run(arguments.runs, arguments.split, arguments.output)


def _add_predict(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "predict",
    help="masks, overlays and figures for films of one's own",
    epilog="Example: python -m covseg predict --model=runs/unet --output=out films/ film.dcm",
  )
  parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER", help="PNG, JPEG, TIFF or DICOM")
  parser.add_argument("--model", default=DEFAULT_MODEL, help=_MODEL)
  _add_changes(parser)
  parser.add_argument("--output", required=True, help="folder of the results")
  parser.add_argument("--lungs", action="store_true", help="also write masks of the lungs")
  parser.add_argument("--probabilities", action="store_true", help="also write maps of probability")
  parser.add_argument("--dicom-seg", action="store_true", help="also write DICOM Segmentation objects")
  parser.add_argument("--resume", action="store_true", help="go on in a folder that has results")
  parser.add_argument("--shard", default="1/1", help="a part of the films, such as 3/16")
  parser.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
  from covseg.prediction import predict  # Here, so that --help answers at once.

  failed = predict.run(
    arguments.paths,
    arguments.model,
    arguments.output,
    predict.Wanted(arguments.lungs, arguments.probabilities, arguments.dicom_seg),
    changes=arguments.set,
    resume=arguments.resume,
    shard=arguments.shard,
  )
  return 1 if failed else 0


def _add_export(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser(
    "export",
    help="a trained network in one file, for JAX or as ONNX",
    epilog="Example: python -m covseg export --model=runs/unet --output=unet.onnx",
  )
  parser.add_argument("--model", default=DEFAULT_MODEL, help=_MODEL)
  _add_changes(parser)
  parser.add_argument("--output", required=True, help="a file that ends in .onnx or .stablehlo")
  parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
  from covseg.trained import export  # Here, so that --help answers at once.

  export.run(arguments.model, arguments.output, arguments.set)


if __name__ == "__main__":
  command_line.use_huge_pages()
  sys.exit(main())
