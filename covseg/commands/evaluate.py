"""`python -m covseg evaluate`"""

import argparse

from covseg.commands import arguments as shared
from covseg.trained import DEFAULT_MODEL


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg evaluate --model=runs/unet --split=test --manual_dir=FOLDER"
  source = parser.add_mutually_exclusive_group()
  shared.add_model(source, default=None)
  source.add_argument("--predictions", help="a folder of masks, each named by the id of its film")
  shared.add_changes(parser)
  parser.add_argument("--split", default="validation", help="train, validation (default) or test")
  shared.add_dataset(parser)
  parser.add_argument(
    "--threshold", type=float, help="probability above which a pixel counts as infected; default: as configured"
  )
  parser.add_argument(
    "--duplicates",
    help="CSV file of near-duplicates, to evaluate without them as well; default: the dataset's own list",
  )
  parser.add_argument("--films", default="", help="ids of films, separated by commas, for a figure of their own")
  parser.add_argument(
    "--robustness",
    action="store_true",
    help="evaluate films under 30 image corruptions, too, which takes about 30 times as long",
  )
  parser.add_argument(
    "--shortcuts", action="store_true", help="evaluate films with the lungs blacked out, and the lungs alone, too"
  )
  parser.add_argument(
    "--every", type=int, default=1, help="with --robustness or --shortcuts: change only every N-th film"
  )
  parser.add_argument(
    "--reference", help="with --robustness: folder of another model's evaluation, to give errors relative to it"
  )
  parser.add_argument(
    "--output",
    help="folder of the results; default: evaluation/SPLIT in the workdir or the folder of masks, for other models "
    "evaluation/MODEL/SPLIT here",
  )


def run(arguments: argparse.Namespace) -> None:
  from covseg.evaluation import evaluation_command

  model = arguments.model
  if model is None and arguments.predictions is None:
    model = DEFAULT_MODEL
  evaluation_command.run(
    evaluation_command.Request(
      split=arguments.split,
      model=model,
      predictions=arguments.predictions,
      dataset_fields=shared.dataset_fields(arguments),
      changes=arguments.set,
      threshold=arguments.threshold,
      duplicates=arguments.duplicates,
      chosen_films=[film_id for film_id in arguments.films.split(",") if film_id],
      robustness=arguments.robustness,
      shortcuts=arguments.shortcuts,
      every=arguments.every,
      reference=arguments.reference,
      output=arguments.output,
    )
  )
