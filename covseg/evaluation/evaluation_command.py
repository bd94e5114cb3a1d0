"""The evaluation of a finished run, or of masks in a folder: `python -m covseg evaluate`."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tqdm import tqdm

from configs import default
from covseg import metrics
from covseg.evaluation import evaluate, near_duplicates, predictions, results, robustness, shortcuts, side_by_side
from covseg.evaluation.assessment import Origin
from covseg.evaluation.changed_films import Scores
from covseg.evaluation.evaluator import Evaluator
from covseg.evaluation.predictions import Predictions
from covseg.runtime import compilation, devices
from covseg.runtime.command_line import UsageError
from covseg.trained import trained_model
from covseg.trained.trained_model import TrainedModel
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films
from input_pipeline.scaling import resize_image


@dataclasses.dataclass(frozen=True)
class Request:
  """What to evaluate, on what.

  Attributes:
    split: a split of the dataset.
    model: what `trained_model.load` takes; None with `predictions`.
    predictions: folder of another system's masks; None with `model`.
    dataset_fields: fields of `config.dataset` that differ from the training's, or from the defaults where
      there is no model.
    changes: how the model predicts, as `trained_model.load` takes them.
    threshold: the probability above which a pixel is infected; None for that of the configuration.
    duplicates: CSV file of near-duplicates; None for the list that ships with the dataset, if one does.
    chosen_films: ids of films for a figure of their own.
    robustness: whether to evaluate films of worse quality as well, which takes about 30 times as long.
    shortcuts: whether to evaluate films without the lungs, and the lungs alone, as well.
    every: with these two, every N-th film alone is changed.
    reference: with `robustness`, folder of another model's evaluation, to compare with; None for none.
    output: folder of the results; None for evaluation/<split> in the workdir, or in the folder of masks, and
      for evaluation/<model>/<split> here where the model is a file.
  """

  split: str
  model: str | None = None
  predictions: str | None = None
  dataset_fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
  changes: Sequence[str] = ()
  threshold: float | None = None
  duplicates: str | None = None
  chosen_films: Sequence[str] = ()
  robustness: bool = False
  shortcuts: bool = False
  every: int = 1
  reference: str | None = None
  output: str | None = None


def run(request: Request) -> None:
  """Evaluates what is requested, and writes the results.

  Raises:
    OSError, ValueError: there is no such run, checkpoint, folder, data, split or film.
  """
  _check(request)
  compilation.set_up()
  trained = trained_model.load(request.model, request.changes) if request.model is not None else None
  config = trained.config.copy_and_resolve_references() if trained else default.get_config()
  config.dataset.update(request.dataset_fields)
  if request.threshold is not None:
    config.eval.threshold = request.threshold
  if trained:
    trained = trained.with_config(config)

  builder = datasets.prepare(config.dataset)
  films, validation = _load(builder, config, request.split, of_model=trained is not None)
  unknown = [film_id for film_id in request.chosen_films if film_id not in films.ids]
  if unknown:
    raise UsageError(f"--films={','.join(unknown)}: {request.split} has no such film; its first is {films.ids[0]}.")
  duplicates = near_duplicates.read(request.duplicates or builder, films.ids, request.split)
  folder = _folder(request, trained)
  if trained:
    _check_nothing_is_lost(folder, evaluate.origin_of(trained, request.split), films, request)
    folder.mkdir(parents=True, exist_ok=True)  # An error before the work, not after it.
    mesh = devices.create_mesh(jax.device_count())  # All devices: batches are rounded up to them.
    evaluator = Evaluator(config, trained.network, mesh)
    reference = _reference(request.reference)
    to_change = _films_to_change(builder, config, request, reference)
    predicted = evaluator.predict(trained.variables, films, request.split)
    changed = _changed_films(to_change, trained, films, predicted, request, reference) if to_change else {}
    evaluate.evaluate_model(
      trained,
      evaluator,
      films,
      request.split,
      folder,
      validation,
      predictions=predicted,
      changed=changed,
      near_duplicates=duplicates,
      chosen_films=request.chosen_films,
    )
  else:
    source = pathlib.Path(request.predictions).expanduser()
    found = predictions.read_folder(source, films, request.threshold)
    threshold = None if found.probabilities is None else request.threshold
    origin = Origin(request.split, threshold, str(source), config)
    evaluate.evaluate(films, found, origin, folder, near_duplicates=duplicates, chosen_films=request.chosen_films)


def _check(request: Request) -> None:
  """Raises UsageError for what cannot work, or would have no effect."""
  changes_films = request.robustness or request.shortcuts
  if request.predictions is not None and changes_films:
    raise UsageError("--robustness and --shortcuts need --model: the changed films have to be predicted.")
  if request.predictions is not None and request.changes:
    raise UsageError(f"--set {request.changes[0]} changes how a model predicts; --predictions has no model.")
  if request.threshold is not None and not 0 < request.threshold < 1:
    raise UsageError(f"--threshold={request.threshold} must lie between 0 and 1.")
  if request.duplicates is not None and request.split == "train":
    raise UsageError("--duplicates names films that resemble training films, and has no effect on --split=train.")
  if request.every < 1:
    raise UsageError(f"--every={request.every} must be at least 1.")
  if request.every > 1 and not changes_films:
    raise UsageError("--every needs --robustness or --shortcuts.")
  if request.reference is not None and not request.robustness:
    raise UsageError("--reference needs --robustness.")
  if request.reference is not None and not (pathlib.Path(request.reference).expanduser() / "metrics.json").exists():
    raise UsageError(f"--reference={request.reference} has no metrics.json; name the folder of an evaluation.")
  if request.duplicates is not None and not pathlib.Path(request.duplicates).expanduser().exists():
    raise UsageError(f"--duplicates={request.duplicates} does not exist.")


def _check_nothing_is_lost(folder: pathlib.Path, origin: Origin, films: Films, request: Request) -> None:
  """Raises UsageError if the folder has results that take long, which this evaluation would replace by none."""
  found, different = results.earlier(folder, origin, films)
  lost = [name for name in found if not getattr(request, name)]
  if lost and different:
    raise UsageError(
      f"{folder} holds an evaluation with --{' and --'.join(lost)} and other weights or settings "
      f"({', '.join(different)}), which this one would replace. Name another folder with --output, or delete that one."
    )


def _films_to_change(
  builder: tfds.core.DatasetBuilder, config: ConfigDict, request: Request, reference: dict[str, Any] | None
) -> Films | None:
  """The films that are changed, images and masks at the size of the comparison; None where none are asked for.

  Raises:
    ValueError: they do not go with the reference, or have no masks of the lungs where these are needed.
  """
  if not (request.robustness or request.shortcuts):
    return None
  films = load_films(FilmReader(builder, request.split, config.dataset, config.eval.image_size))
  films = films.of(np.arange(0, len(films), request.every))
  if reference:
    robustness.check_reference(reference, films.images)
  if request.shortcuts and films.lung_masks is None:
    raise ValueError(f"--shortcuts blacks out the lungs, and {builder.info.full_name} has no masks of them.")
  if reference and not films.masks.any():
    raise ValueError("--reference compares Dice, and none of these films has an infection.")
  return films


def _changed_films(
  films: Films,
  trained: TrainedModel,
  seen: Films,
  predicted: Predictions,
  request: Request,
  reference: dict[str, Any] | None,
) -> dict[str, Any]:
  """{"robustness": ..., "shortcuts": ...}, what is asked for.

  Args:
    films: those of `_films_to_change`.
    trained: the model.
    seen: all films, images at the size of its network.
    predicted: what it predicts for these.
    request: what to evaluate.
    reference: the robustness of another model, if one was named.
  """
  images, masks, lungs, labels = films.images, films.masks, films.lung_masks, films.labels
  chosen = slice(None, None, request.every)
  of_lungs = shortcuts.changes(lungs) if request.shortcuts else []
  changes = [*of_lungs, *(robustness.changes() if request.robustness else [])]
  if np.array_equal([resize_image(image, trained.config.image_size) for image in images], seen.images[chosen]):
    of_films = {head: values[chosen] for head, values in predicted.of_films.items()}
    known = [Scores(np.asarray(metrics.confusion_counts(predicted.masks[chosen], masks)), of_films)]
  else:  # The films were not at the size of the comparison.
    known, changes = [], [iter, *changes]
  each = side_by_side.score_each(trained, images, masks, changes)
  clean, *scores = *known, *tqdm(each, "changed films", len(changes), unit="change", disable=None)
  found: dict[str, Any] = {}
  if request.shortcuts:
    found["shortcuts"] = shortcuts.assess(scores[: len(of_lungs)], clean, labels)
  if request.robustness:
    found["robustness"] = robustness.assess(scores[len(of_lungs) :], clean, images, labels, reference)
    found["robustness"]["every"] = request.every
  return found


def _reference(path: str | None) -> dict[str, Any] | None:
  """The robustness of another model, from the folder of its evaluation."""
  if path is None:
    return None
  found = json.loads((pathlib.Path(path).expanduser() / "metrics.json").read_text()).get("robustness")
  if not found:
    raise ValueError(f"--reference={path}: that evaluation was made without --robustness.")
  return found


def _folder(request: Request, trained: TrainedModel | None) -> pathlib.Path:
  """Where the results go."""
  if request.output is not None:
    return pathlib.Path(request.output).expanduser()
  if request.model is None:
    return Workdir(request.predictions).evaluation(request.split)
  if trained.workdir:
    return trained.workdir.evaluation(request.split)
  names = [name.removesuffix(".safetensors") for name in trained_model.names_of(request.model)]
  # Of a file, or of several models; the runs of a sweep are all called seed0.
  names = ["_".join(pathlib.Path(name).parts[-2 if len(names) > 1 else -1 :]) for name in names]
  return pathlib.Path("evaluation", ",".join(names), request.split)


def _load(
  builder: tfds.core.DatasetBuilder, config: ConfigDict, split: str, of_model: bool
) -> tuple[Films, Films | None]:
  """The films of a split, and, for a model, those of validation, where they are others."""
  if split not in builder.info.splits:
    raise UsageError(f"--split={split}: {builder.info.full_name} has {', '.join(builder.info.splits)}.")
  with_validation = of_model and split != "validation" and "validation" in builder.info.splits
  splits = [split, "validation"] if with_validation else [split]
  image_size = config.image_size if of_model else config.eval.image_size
  films = [load_films(FilmReader(builder, s, config.dataset, image_size, config.eval.image_size)) for s in splits]
  return films[0], films[1] if with_validation else None
