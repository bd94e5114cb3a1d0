"""A network applied to the films of a split, on the device."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from covseg import metrics
from covseg.drawing import pictures
from covseg.evaluation.changed_films import Scores
from covseg.evaluation.predictions import Predictions
from covseg.models import heads, inference
from covseg.runtime import compilation, devices
from input_pipeline.batches import Batch, eval_batches
from input_pipeline.films import Films

_NUM_SAMPLES = 4


def create_eval_step(
  model: nn.Module, config: ConfigDict, masks_only: bool = False
) -> Callable[[Any, Batch], tuple[jax.Array, Predictions]]:
  """Function of variables and a batch, to be jitted.

  It takes images, uint8 (B, h, w), at the network's size, and masks, bool (B, H, W), at that of the comparison, and
  returns counts, int32 (B, 4), and predictions for the B films. The configuration is `config.eval`.
  """

  def eval_step(variables: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, Predictions]:
    logits = inference.predict(model, config, variables, inference.to_network(batch["image"]), masks_only)
    probabilities = inference.probabilities(logits, batch["mask"].shape[1:])
    masks = probabilities["infection"] > config.threshold
    predictions = Predictions(
      masks,
      probabilities["infection"].astype(jnp.float16),
      probabilities["lung"] > 0.5 if "lung" in probabilities else None,
      {head: probabilities[head] for head in heads.HEADS_OF_FILMS if head in probabilities},
    )
    return metrics.confusion_counts(masks, batch["mask"]), predictions

  return eval_step


class Evaluator:
  """Applies a network to films, again and again; predictions and scores are each compiled once."""

  def __init__(self, config: ConfigDict, model: nn.Module, mesh: Mesh):
    self._mesh = mesh
    self._batch_size = -(-config.eval.batch_size // mesh.size) * mesh.size
    eval_step, mask_step = (create_eval_step(model, config.eval, masks_only) for masks_only in (False, True))

    def score_step(variables: Any, batch: Batch) -> Scores:  # The compiler leaves out what the scores do not need.
      counts, predicted = mask_step(variables, batch)
      return Scores(counts, predicted.of_films)

    whole = devices.replicated(mesh)  # What they return, on every device.
    self._eval_step, self._score_step = (compilation.jit(f, out_shardings=whole) for f in (eval_step, score_step))

  def count_pixels(self, variables: Any, films: Films) -> Iterator[np.ndarray]:
    """Counts of each film in turn, int32 (4,); the variables lie on every device, as those of a training do."""
    for (counts, _), num_real in self._apply(self._eval_step, variables, films.images, films.masks):
      yield from np.asarray(counts)[:num_real]

  def score(self, variables: Any, images: Iterable[np.ndarray], masks: np.ndarray) -> Scores:
    """Scores of films, N images uint8 (h, w), each asked for when it is needed, and their masks, bool (N, H, W)."""
    variables, found = self._on_devices(variables), []
    for scores, num_real in self._apply(self._score_step, variables, images, masks):
      found.append(jax.tree.map(lambda x, n=num_real: np.asarray(x)[:n], scores))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)

  def samples(self, variables: Any, films: Films) -> np.ndarray:
    """Panel of a few films with infections, spread over the films; uint8 (H, W, 3)."""
    infected = films.infected()
    films = films.of(infected[np.linspace(0, len(infected) - 1, _NUM_SAMPLES).astype(int)])
    return pictures.panel(films.images, films.masks, self.predict(variables, films).masks)

  def predict(self, variables: Any, films: Films, title: str = "") -> Predictions:
    """What the network predicts for films, one or more; shows its progress under a title, if that is not empty."""
    variables, found, done = self._on_devices(variables), None, 0
    with tqdm(desc=title, total=len(films), unit="film", disable=None if title else True) as bar:
      for (_, predicted), num_real in self._apply(self._eval_step, variables, films.images, films.masks):
        if found is None:
          found = jax.tree.map(lambda x: np.empty((len(films), *x.shape[1:]), x.dtype), predicted)
        for whole, part in zip(jax.tree.leaves(found), jax.tree.leaves(predicted), strict=True):
          whole[done : done + num_real] = np.asarray(part)[:num_real]
        done += num_real
        bar.update(num_real)
    return found

  def _on_devices(self, variables: Any) -> Any:
    """Variables on every device; a checkpoint's arrays lie on one."""
    return jax.device_put(jax.tree.map(np.asarray, variables), devices.replicated(self._mesh))

  def _apply(
    self, step: Callable, variables: Any, images: Iterable[np.ndarray], masks: np.ndarray
  ) -> Iterator[tuple[Any, int]]:
    """What a step returns for each batch, and how many films of the batch are real.

    The next batch is computed while the caller uses this one, and while the images after it are made.
    """
    share = devices.share_of_batch(self._batch_size)
    waiting = []
    for batch, num_real in eval_batches(images, masks, self._batch_size):
      batch = {name: array[share] for name, array in batch.items()}
      waiting.append((step(variables, devices.split_over_batch(self._mesh, batch)), num_real))
      if len(waiting) > 1:
        yield waiting.pop(0)
    yield from waiting
