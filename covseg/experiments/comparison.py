"""What several runs have reached, on equal terms: a row per configuration."""

import dataclasses
import json
import math
import pathlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from ml_collections import ConfigDict

from covseg import configuration
from covseg.evaluation import statistics
from covseg.models import create_model, shapes_of
from covseg.workdir import Workdir
from input_pipeline.tables import read_csv

# What the paper's table says of these networks on COVID-QU-Ex: Dice and IoU.
_PAPER = {
  "unet_baseline": (0.55, 0.41),
  "unet_plus_plus": (0.62, 0.48),
  "attention_unet": (0.64, 0.50),
  "unet": (0.60, 0.45),
}
METRICS = ("dice", "iou", "pixel_accuracy")
_RESAMPLES = 9999


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """A run and its evaluation on a split.

  Attributes:
    path: the workdir.
    config: the whole configuration, with `model.prune_to` as it was evaluated.
    protocol: what must be equal for a common table, {name: value}.
    true_pixels: {id: infected pixels} of the films with an infection.
    scores: {metric: (N,)} of these films, in the order of `true_pixels`.
    seconds: how long it was trained; None where the log does not say.
  """

  path: pathlib.Path
  config: ConfigDict
  protocol: dict[str, Any]
  true_pixels: dict[str, int]
  scores: dict[str, np.ndarray]
  seconds: float | None


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over films, its standard deviation over seeds (None of one), and its 95 % interval over films."""

  mean: float
  deviation: float | None
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Row:
  """The runs of one configuration, which differ in the seed alone.

  Attributes:
    name: of the folder.
    network: `config.model.name`.
    num_seeds: runs.
    parameters: of the network, a pruned one's with those that it does not need.
    gflops: operations of a forward pass of one image, in 1e9.
    minutes: training of a run, in the mean; None where a log does not say.
    estimates: of each metric.
    p_value: of the difference in Dice from the first row; None in that.
    paper: Dice and IoU that the paper has for the network; None for other networks, and on other datasets.
  """

  name: str
  network: str
  num_seeds: int
  parameters: int
  gflops: float
  minutes: float | None
  estimates: dict[str, Estimate]
  p_value: float | None
  paper: tuple[float, float] | None


def find_runs(folders: Sequence[str]) -> list[pathlib.Path]:
  """The workdirs among and below folders, in order, each once.

  Raises:
    ValueError: there is none in one of the folders.
  """
  found = {}
  for folder in folders:
    path = pathlib.Path(folder).expanduser()
    configs = [path / "config.json"] if (path / "config.json").exists() else sorted(path.rglob("config.json"))
    if not configs:
      raise ValueError(f"{path} is no workdir, and there is none below it (no config.json).")
    found |= {file.parent.resolve(): file.parent for file in configs}
  return list(found.values())


def read(path: pathlib.Path, split: str) -> Evaluated:
  """A run and its evaluation.

  Raises:
    ValueError: the run has not been evaluated on the split, or not since its best checkpoint was saved; no film has an
      infection, or two have the same id.
  """
  workdir = Workdir(path)
  config, folder = workdir.read_config(), workdir.evaluation(split)
  try:
    metrics = json.loads((folder / "metrics.json").read_text())
    films = read_csv(folder / "per_image.csv", ("id", "true_pixels", *METRICS))
    rows = [row for row in films if int(row["true_pixels"]) > 0]
  except FileNotFoundError as error:
    raise ValueError(
      f"{path} has not been evaluated on {split}. Run python -m covseg evaluate --model={path} --split={split}, or "
      "leave it out."
    ) from error
  best = max(((line["val_dice"], line["step"]) for line in workdir.read_metrics()), default=None)
  if best and metrics.get("step") not in (None, best[1]):
    raise ValueError(
      f"{path} has been trained on since it was evaluated on {split}. Run python -m covseg evaluate --model={path} "
      f"--split={split}, or leave it out."
    )
  if not rows:
    raise ValueError(f"{folder}: no film has an infection, so there is nothing to compare.")
  true_pixels = {row["id"]: int(row["true_pixels"]) for row in rows}
  if len(true_pixels) < len(rows):
    raise ValueError(f"{folder}: several films have the same id, by which films of two runs are paired.")
  config.model.prune_to = metrics.get("prune_to", config.model.prune_to)
  dataset = metrics.get("dataset", {}).get("name", config.dataset.name)
  return Evaluated(
    path,
    config,
    {"split": split, "dataset": dataset, "threshold": metrics["threshold"], **_eval_fields(metrics, config)},
    true_pixels,
    {name: np.array([float(row[name]) for row in rows]) for name in METRICS},
    _training_seconds(workdir),
  )


def check_comparable(runs: Sequence[Evaluated]) -> None:
  """Raises ValueError, with the reason, if two runs were scored differently or on different films."""
  first = runs[0]
  for other in runs[1:]:
    reasons = [
      f"{name} is {value} in the one and {other.protocol[name]} in the other"
      for name, value in first.protocol.items()
      if other.protocol[name] != value
    ]
    only = [len(a.true_pixels.keys() - b.true_pixels.keys()) for a, b in ((first, other), (other, first))]
    if any(only):
      reasons.append(
        f"of their {len(first.true_pixels)} and {len(other.true_pixels)} films with infection, {only[0]} are "
        f"in the first alone and {only[1]} in the second alone"
      )
    elif not reasons and first.true_pixels != other.true_pixels:
      reasons.append("the masks that they were compared with differ")
    if reasons:
      raise ValueError(
        f"{first.path} and {other.path} cannot stand in one table: {'; '.join(reasons)}. Evaluate them alike "
        "with python -m covseg evaluate, or compare them apart."
      )


def table(runs: Sequence[Evaluated]) -> list[Row]:
  """A row per configuration, in the order of the runs.

  Raises:
    ValueError: a configuration is there twice with one seed.
  """
  groups = defaultdict(dict)
  for evaluated in runs:
    fields = configuration.flat(evaluated.config)
    may_differ = configuration.free_fields(evaluated.config) | {"seed"}
    key = json.dumps({name: fields[name] for name in sorted(fields) if name not in may_differ})
    twin = groups[key].setdefault(evaluated.config.seed, evaluated)
    if twin is not evaluated:
      raise ValueError(
        f"{twin.path} and {evaluated.path} are runs of one configuration with the same seed, which would "
        "count twice; leave one out."
      )
  names = [_short_name(next(iter(group.values())).path) for group in groups.values()]
  order = list(runs[0].true_pixels)
  rows, reference = [], None
  for name, by_seed in zip(names, groups.values(), strict=True):
    group = list(by_seed.values())
    scores = {metric: np.stack([_in_order(run, metric, order) for run in group]) for metric in METRICS}
    dice = scores["dice"].mean(axis=0)
    config = group[0].config
    parameters, gflops = cost(config)
    seconds = [run.seconds for run in group]
    rows.append(
      Row(
        name if names.count(name) == 1 else str(group[0].path),
        config.model.name,
        len(group),
        parameters,
        gflops,
        None if None in seconds else float(np.mean(seconds)) / 60,
        {metric: estimate(values) for metric, values in scores.items()},
        None if reference is None else p_value(dice, reference),
        _PAPER.get(config.model.name) if group[0].protocol["dataset"] == "covid_qu_ex" else None,
      )
    )
    reference = dice if reference is None else reference
  return rows


def estimate(scores: np.ndarray) -> Estimate:
  """Mean of scores (seeds, films); the deviation of the seeds' means; the interval of the films' means."""
  means = scores.mean(axis=1)
  films = scores.mean(axis=0)
  found = statistics.estimate(statistics.means({"mean": films}), len(films))
  low, high = found["intervals"]["mean"]
  deviation = float(means.std(ddof=1)) if len(means) > 1 else None
  return Estimate(float(means.mean()), deviation, float(low), float(high))


def p_value(scores: np.ndarray, reference: np.ndarray) -> float:
  """Two-sided p of the mean difference of paired scores (N,), by a permutation test.

  If the two systems were alike, each film's pair of scores could as well have come the other way round.
  """
  if len(scores) < 2:
    return 1.0  # Both ways round differ as much.
  return float(
    scipy.stats.permutation_test(
      (scores, reference),
      lambda a, b, axis: (a - b).mean(axis=axis),
      permutation_type="samples",
      vectorized=True,
      n_resamples=_RESAMPLES,
      batch=1000,
      rng=np.random.default_rng(0),
    ).pvalue
  )


def cost(config: ConfigDict) -> tuple[int, float]:
  """Parameters of a network, and 1e9 operations of its forward pass of one image, as XLA counts them.

  A multiplication and an addition are two operations.
  """
  network = create_model(config.model)
  size = config.image_size
  image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
  variables = shapes_of(network)
  parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
  forward = jax.jit(lambda variables, image: network.apply(variables, image, train=False))
  device = jax.devices("cpu")[0] if jax.default_backend() != "cpu" else None  # A GPU does not count them.
  with jax.default_device(device):
    return parameters, forward.lower(variables, image).cost_analysis()["flops"] / 1e9


def _eval_fields(metrics: dict[str, Any], config: ConfigDict) -> dict[str, Any]:
  """How the run was evaluated, which --set may have changed; {"eval.flip": False, ...}."""
  fields = {**config.eval.to_dict(), **metrics.get("eval", {})}  # An older version's lack what has come since.
  return {f"eval.{name}": value for name, value in fields.items() if name not in ("batch_size", "threshold")}


def _training_seconds(workdir: Workdir) -> float | None:
  """Seconds of all epochs, with their validation; None where the log does not say.

  What a run had done of an epoch when it was stopped does not count.
  """
  seconds = [line.get("seconds") for line in workdir.read_metrics()]
  return None if None in seconds or not seconds else sum(seconds)


def _in_order(run: Evaluated, metric: str, order: Sequence[str]) -> np.ndarray:
  """Scores of films in a common order."""
  place = {film_id: i for i, film_id in enumerate(run.true_pixels)}
  return run.scores[metric][[place[film_id] for film_id in order]]


def _short_name(path: pathlib.Path) -> str:
  """The folder's name, or its parent's where it is named after a seed."""
  path = path.resolve()
  return path.parent.name if path.name.startswith("seed") else path.name
