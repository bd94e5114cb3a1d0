"""The evaluation of a finished run: `python -m covseg evaluate`."""

import pathlib
from collections.abc import Mapping

from covseg import compilation, configuration, devices, trained_model
from covseg.evaluate import evaluate
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films


def run(model: str, split: str, dataset_fields: Mapping[str, str | None], output: str | None) -> None:
  """Evaluates a trained model on a split.

  Args:
    model: the workdir of a run, whose best checkpoint it is.
    split: a split of the dataset.
    dataset_fields: fields of `config.dataset` that differ from the training's; None for those that do
      not.
    output: folder of the results; None for the workdir's own.

  Raises:
    FileNotFoundError, ValueError: there is no such run, checkpoint, data or split.
  """
  compilation.enable_cache()
  trained = trained_model.load(model)
  config = trained.config
  config.dataset.update({name: value for name, value in dataset_fields.items() if value is not None})
  configuration.check(config)

  builder = datasets.prepare(config.dataset)
  if split not in builder.info.splits:
    raise ValueError(f"--split={split}: {builder.info.full_name} has {', '.join(builder.info.splits)}.")
  films = load_films(FilmReader(builder, split, config.dataset, config.eval.image_size))
  folder = pathlib.Path(output).expanduser() if output else Workdir(model).evaluation(split)
  evaluate(trained, devices.create_mesh(config.eval.batch_size), films, split, folder)
