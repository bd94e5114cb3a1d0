"""The evaluation of a finished run, or of masks in a folder: `python -m covseg evaluate`."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from configs import default
from covseg import configuration
from covseg.evaluation import near_duplicates, predictions, results
from covseg.evaluation.assessment import assess, choose_threshold
from covseg.evaluation.evaluate import evaluate
from covseg.runtime import compilation, devices
from covseg.trained import trained_model
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films


@dataclasses.dataclass(frozen=True)
class Request:
  """What to evaluate, on what.

  Attributes:
    split: a split of the dataset.
    model: what `trained_model.load` takes; None with `predictions`.
    predictions: folder of another system's masks; None with `model`.
    dataset_fields: fields of `config.dataset` that differ from the training's, or from the defaults where
      there is no model; None for those that do not.
    changes: how the model predicts, as `trained_model.load` takes them.
    threshold: the probability above which a pixel is infected; None for that of the configuration.
    duplicates: CSV file of near-duplicates; None for no such list.
    chosen_films: ids of films for a figure of their own.
    output: folder of the results; None for evaluation/<split> in the workdir, or in the folder of masks, and
      for evaluation/<model>/<split> here where the model is a file.
  """

  split: str
  model: str | None = None
  predictions: str | None = None
  dataset_fields: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
  changes: Sequence[str] = ()
  threshold: float | None = None
  duplicates: str | None = None
  chosen_films: Sequence[str] = ()
  output: str | None = None


def run(request: Request) -> None:
  """Evaluates what is requested, and writes the results.

  Raises:
    OSError, ValueError: there is no such run, checkpoint, folder, data, split or film.
  """
  compilation.enable_cache()
  trained = trained_model.load(request.model, request.changes) if request.model is not None else None
  config = trained.config if trained else default.get_config()
  changed = {name: value for name, value in request.dataset_fields.items() if value is not None}
  config.dataset.update(changed)
  if request.threshold is not None:
    config.eval.threshold = request.threshold
  configuration.check(config)

  films, validation = _load(config, request.split, with_validation=trained is not None)
  unknown = [film_id for film_id in request.chosen_films if film_id not in films.ids]
  if unknown:
    raise ValueError(
      f"--films={','.join(unknown)}: {request.split} has no such film; its first is {films.ids[0]}."
    )
  duplicates = None
  if request.duplicates is not None:
    file = pathlib.Path(request.duplicates).expanduser()
    duplicates = near_duplicates.read(file, films.ids, request.split)
  source = pathlib.Path(request.model or request.predictions).expanduser()
  folder = Workdir(source).evaluation(request.split)
  if trained and not source.is_dir():  # A model in a file, or several models.
    names = [pathlib.Path(name).stem for name in request.model.split(",")]
    folder = pathlib.Path("evaluation", ",".join(names), request.split)
  if request.output is not None:
    folder = pathlib.Path(request.output).expanduser()
  if trained:
    evaluate(
      trained,
      devices.create_mesh(config.eval.batch_size),
      films,
      request.split,
      folder,
      validation=validation,
      near_duplicates=duplicates,
      chosen_films=request.chosen_films,
    )
  else:
    found = predictions.read_folder(source, films, request.threshold)
    threshold = None if found.probabilities is None else request.threshold
    chosen = choose_threshold(films, found, request.split) if request.split == "validation" else None
    origin = results.Origin(request.split, threshold, str(source), config)
    results.write(
      folder, films, found, assess(films, found, chosen, duplicates), origin, request.chosen_films
    )


def _load(config: ConfigDict, split: str, with_validation: bool) -> tuple[Films, Films | None]:
  """The films of a split, and, if they are wanted and others, those of validation."""
  builder = datasets.prepare(config.dataset)
  if split not in builder.info.splits:
    raise ValueError(f"--split={split}: {builder.info.full_name} has {', '.join(builder.info.splits)}.")
  with_validation &= split != "validation" and "validation" in builder.info.splits
  splits = [split, "validation"] if with_validation else [split]
  films = [load_films(FilmReader(builder, s, config.dataset, config.eval.image_size)) for s in splits]
  return films[0], films[1] if with_validation else None
