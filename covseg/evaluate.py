"""Evaluation of a network on the films of a split: counts of pixels, protocols, files."""

import csv
import io
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from covseg import compilation, devices, metrics, pictures
from covseg.inference import predict
from covseg.trained_model import TrainedModel
from covseg.workdir import write_whole
from input_pipeline.batches import Batch, eval_batches
from input_pipeline.films import Films, resized

_NUM_SAMPLES = 4


def create_eval_step(
  model: nn.Module, config: ConfigDict, mesh: Mesh
) -> Callable[[Any, Batch], tuple[jax.Array, dict[str, jax.Array]]]:
  """Jitted function of variables and a batch.

  It takes images, uint8 (B, h, w), at the network's size, and masks, bool (B, H, W), at that of the
  comparison, and returns counts, int32 (B, 4), and the probabilities of each head, {"infection": float32
  (B, H, W)} and "lung" where the network has it, whole on every device. The configuration is `config.eval`.
  """

  def eval_step(variables: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
    probabilities = predict(model, config, variables, batch["image"], batch["mask"].shape[1:])
    counts = metrics.confusion_counts(probabilities["infection"] > config.threshold, batch["mask"])
    return counts, probabilities

  return compilation.jit(eval_step, out_shardings=devices.replicated(mesh))


class Evaluator:
  """Applies a network to films, again and again while it is trained."""

  def __init__(self, config: ConfigDict, model: nn.Module, mesh: Mesh, films: Films):
    self.films = films
    self._threshold = config.eval.threshold
    self._images = resized(films, config.image_size).images  # (N, h, w), at the network's size.
    self._mesh = mesh
    self._batch_size = -(-config.eval.batch_size // mesh.size) * mesh.size
    self._eval_step = create_eval_step(model, config.eval, mesh)

  def count_pixels(self, variables: Any) -> Iterator[np.ndarray]:
    """Counts of each film in turn, int64 (4,)."""
    waiting = []
    for batch, num_real in eval_batches(self._images, self.films.masks, self._batch_size):
      counts, _ = self._apply(variables, batch)
      waiting.append(counts[:num_real])
      if len(waiting) > 1:  # The next batch is under way while the last one is waited for.
        yield from np.asarray(waiting.pop(0), np.int64)
    for counts in waiting:
      yield from np.asarray(counts, np.int64)

  def samples(self, variables: Any) -> np.ndarray:
    """Panel of a few films with infections, spread over the split; uint8 (H, W, 3)."""
    infected = np.flatnonzero(self.films.masks.any(axis=(1, 2)))
    chosen = infected[np.linspace(0, len(infected) - 1, _NUM_SAMPLES).astype(int)]
    masks = self.films.masks[chosen]
    probabilities = []
    for batch, num_real in eval_batches(self._images[chosen], masks, self._batch_size):
      probabilities.extend(np.asarray(self._apply(variables, batch)[1]["infection"])[:num_real])
    return pictures.panel(self.films.images[chosen], masks, np.stack(probabilities) > self._threshold)

  def _apply(self, variables: Any, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
    share = devices.share_of_batch(self._batch_size)
    batch = {name: array[share] for name, array in batch.items()}
    return self._eval_step(variables, devices.split_over_batch(self._mesh, batch))


def evaluate(trained: TrainedModel, mesh: Mesh, films: Films, split: str, folder: pathlib.Path) -> None:
  """Evaluates a model on the films of a split, prints the figures, and writes them into a folder."""
  evaluator = Evaluator(trained.config, trained.network, mesh, films)
  counts = tqdm(evaluator.count_pixels(trained.variables), split, len(films), unit="film", disable=None)
  counts = np.stack(list(counts))
  if devices.is_main_process():
    about = {"split": split, "threshold": trained.config.eval.threshold, "step": trained.step}
    print(headline(write_evaluation(folder, films, counts, about)))
    print(f"All of this evaluation is in {folder}")


def summarize(counts: np.ndarray) -> dict[str, Any]:
  """Every protocol, from the counts (N, 4) of all films.

  - per_image: the mean over films with an infection (on COVID-QU-Ex: the COVID-19 films);
  - pooled: all pixels of those films counted together;
  - with_negatives: the mean over all films, where empty on empty counts as 1, with image-level
    sensitivity and specificity; None where every film has an infection.
  """
  tp, fp, fn, _ = counts.T
  infected, called = tp + fn > 0, tp + fp > 0
  with_negatives = None
  if not infected.all():
    with_negatives = {
      **_means(counts),
      "sensitivity": _mean(called[infected]),
      "specificity": _mean(~called[~infected]),
    }
  pooled = {name: float(f(counts[infected].sum(axis=0))) for name, f in _METRICS.items()}
  return {
    "per_image": _means(counts[infected]),
    "pooled": {"num_images": int(infected.sum()), **pooled},
    "with_negatives": with_negatives,
  }


def write_evaluation(
  folder: pathlib.Path, films: Films, counts: np.ndarray, about: dict[str, Any]
) -> dict[str, Any]:
  """Writes metrics.json and per_image.csv, and returns what metrics.json holds."""
  summary = {**about, **summarize(counts)}
  table = io.StringIO()
  writer = csv.writer(table, lineterminator="\n")
  writer.writerow(["id", "label", *_METRICS, "true_pixels", "predicted_pixels"])
  columns = [f(counts) for f in _METRICS.values()]
  tp, fp, fn, _ = counts.T
  for film_id, label, *values, true_pixels, predicted_pixels in zip(
    films.ids, films.labels, *columns, tp + fn, tp + fp, strict=True
  ):
    writer.writerow([film_id, label, *(f"{v:.6f}" for v in values), true_pixels, predicted_pixels])
  write_whole(folder / "per_image.csv", table.getvalue())
  write_whole(folder / "metrics.json", json.dumps(summary, indent=2) + "\n")
  return summary


def headline(summary: dict[str, Any]) -> str:
  """The figures of an evaluation in one line, with the protocol."""
  means = summary["per_image"]
  if not means["num_images"]:
    return f"{summary['split']}: no film has an infection, so there is no per-image Dice"
  return (
    f"{summary['split']}, mean per image over {means['num_images']} films with infection: "
    f"Dice {means['dice']:.4f}, IoU {means['iou']:.4f}, "
    f"pixel accuracy {means['pixel_accuracy']:.4f}; all pixels pooled: "
    f"Dice {summary['pooled']['dice']:.4f}"
  )


_METRICS = {
  "dice": metrics.dice,
  "iou": metrics.iou,
  "pixel_accuracy": metrics.pixel_accuracy,
  "precision": metrics.precision,
  "recall": metrics.recall,
}


def _means(counts: np.ndarray) -> dict[str, Any]:
  means = {name: _mean(f(counts)) for name, f in _METRICS.items()}
  return {"num_images": len(counts), **means}


def _mean(values: np.ndarray) -> float | None:
  """The mean; None of nothing."""
  return float(np.mean(values)) if len(values) else None
