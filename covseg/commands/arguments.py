"""Arguments that several commands take."""

import argparse

from covseg.trained import DEFAULT_MODEL


def add_model(parser: argparse._ActionsContainer, default: str | None = DEFAULT_MODEL) -> None:
  parser.add_argument(
    "--model",
    default=default,
    help="a model that ships, a file that `release` wrote, or the workdir of a run, whose best checkpoint is used; "
    "several, separated by commas, are averaged; "
    f"default: {DEFAULT_MODEL}",
  )


def add_changes(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    type=field,
    metavar="FIELD=VALUE",
    help="change how the model predicts, as in --set eval.threshold=0.3, --set eval.flip=True or, for a "
    "U-Net++, --set model.prune_to=2; repeatable",
  )


def field(text: str) -> str:
  """FIELD=VALUE, as it was given."""
  if not text.partition("=")[1]:
    raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE, as in dataset.manual_dir=FOLDER")
  return text


def add_shard(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--shard", type=_shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts, from 1, as in 3/16"
  )


def _shard(text: str) -> tuple[int, int]:
  shard, _, count = text.partition("/")
  if not (shard.isdecimal() and count.isdecimal() and 1 <= int(shard) <= int(count)):
    raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, as in 3/16")
  return int(shard), int(count)


def add_dataset(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--dataset", help="covid_qu_ex, cxr_phantom, folder, or a module with a TFDS builder")
  parser.add_argument(
    "--cohort",
    help="covid (COVID-19 films only), all, or covid_normal (without other pneumonia); default: the training's",
  )
  parser.add_argument("--manual_dir", help="folder of the archive or of the films")
  parser.add_argument("--data_dir", help="folder of the records, if not ~/tensorflow_datasets")
  parser.add_argument("--image_key", help="feature of the image, in a dataset of one's own")
  parser.add_argument("--mask_key", help="feature of the infection mask")
  parser.add_argument("--lung_mask_key", help="feature of the lung mask")


def dataset_fields(arguments: argparse.Namespace) -> dict[str, str]:
  """Fields of `config.dataset` that were given."""
  names = ("cohort", "manual_dir", "data_dir", "image_key", "mask_key", "lung_mask_key")
  given = {"name": arguments.dataset, **{name: getattr(arguments, name) for name in names}}
  return {name: value for name, value in given.items() if value is not None}
