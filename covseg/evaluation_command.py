"""The evaluation of a finished run: `python -m covseg evaluate`."""

import pathlib
from collections.abc import Mapping

from covseg import compilation, configuration, devices
from covseg.checkpoints import Checkpoints
from covseg.evaluate import evaluate
from covseg.models import create_model
from covseg.train_state import create_optimizer, create_train_state
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films


def run(workdir_path: str, split: str, dataset_fields: Mapping[str, str | None], output: str | None) -> None:
  """Evaluates the best checkpoint of a run on a split.

  Args:
    workdir_path: the run's workdir.
    split: a split of the dataset.
    dataset_fields: fields of `config.dataset` that differ from the training's; None for those that do
      not.
    output: folder of the results; None for the workdir's own.

  Raises:
    FileNotFoundError, ValueError: there is no such run, checkpoint, data or split.
  """
  workdir = Workdir(workdir_path)
  config = workdir.read_config()
  config.dataset.update({name: value for name, value in dataset_fields.items() if value is not None})
  configuration.check(config)
  compilation.enable_cache()

  model = create_model(config.model)
  optimizer = create_optimizer(config.optimizer)
  with Checkpoints(workdir.checkpoints, read_only=True) as checkpoints:
    if checkpoints.best_step is None:
      raise ValueError(f"{workdir.path} has no validated checkpoint yet; train it for an epoch.")
    like = create_train_state(model, optimizer, config.seed, config.image_size)
    best, _ = checkpoints.restore(checkpoints.best_step, like)

  builder = datasets.prepare(config.dataset)
  if split not in builder.info.splits:
    raise ValueError(f"--split={split}: {builder.info.full_name} has {', '.join(builder.info.splits)}.")
  reader = FilmReader(
    builder, split, config.dataset.image_key, config.dataset.mask_key, config.eval.image_size
  )
  folder = pathlib.Path(output).expanduser() if output else workdir.evaluation(split)
  mesh = devices.create_mesh(config.eval.batch_size)
  evaluate(config, model, mesh, best, load_films(reader), split, folder)
