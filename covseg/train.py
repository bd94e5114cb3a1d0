"""Training: the step, and the loop around it."""

import contextlib
import functools
import itertools
import logging
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from covseg import compilation, configuration, evaluate, pictures
from covseg.checkpoints import Checkpoints
from covseg.losses import LOSSES
from covseg.models import create_model
from covseg.run_log import RunLog
from covseg.train_state import TrainState, create_optimizer, create_train_state
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.batches import eval_batches, steps_per_epoch, train_batches
from input_pipeline.films import Films, load_films, resized

logger = logging.getLogger(__name__)

_NUM_SAMPLES = 4

TrainStep = Callable[[TrainState, dict[str, np.ndarray]], tuple[TrainState, jax.Array]]


@functools.cache
def create_train_step(model: nn.Module, optimizer: optax.GradientTransformation, loss_name: str) -> TrainStep:
  """Jitted function of a state and a batch, {"image": uint8 (B, H, W), "mask": bool (B, H, W)}.

  It returns the next state and the batch's loss, float32 (); the state passed in is given up.
  """

  def mean_loss(params: Any, state: TrainState, batch: dict[str, jax.Array]):
    logits, updated = model.apply(
      {"params": params, "batch_stats": state.batch_stats},
      evaluate.to_network(batch["image"]),
      train=True,
      mutable=["batch_stats"],
    )
    masks = batch["mask"][..., None].astype(jnp.float32)  # (B, H, W, 1)
    losses = LOSSES[loss_name](logits=logits["infection"], masks=masks)  # (B,)
    return losses.mean(), updated["batch_stats"]

  def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, jax.Array]:
    gradient_of = jax.value_and_grad(mean_loss, has_aux=True)
    (loss, batch_stats), gradients = gradient_of(state.params, state, batch)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    return state, loss

  return compilation.jit(train_step, donate_argnums=0)


def train_and_evaluate(config: ConfigDict, workdir_path: str) -> None:
  """Trains as the configuration says, from the start or from where the folder's run stopped, and
  evaluates the best checkpoint.

  Raises:
    FileNotFoundError, ValueError: the data or the configuration is not as it should be, or the
      folder holds a run of another configuration; nothing has been written into it then.
    FloatingPointError: the loss is no longer finite.
    OSError: something could not be written.
  """
  configuration.check(config)
  workdir = Workdir(workdir_path)
  workdir.check(config)
  compilation.enable_cache()
  splits = _load_splits(config)

  workdir.write_config(config)
  model = create_model(config.model)
  with Checkpoints(workdir.checkpoints) as checkpoints, _stop_on_signal() as stop_asked:
    state = _train(config, workdir, checkpoints, model, splits, stop_asked)
    if stop_asked():
      logger.info("Stopped at step %d; the same command goes on from there.", state.step)
      return
    best, _ = checkpoints.restore(checkpoints.best_step, like=state)

  split = "test" if "test" in splits else "validation"
  if split == "validation":
    logger.warning("The data has no test split: the best checkpoint is evaluated on validation.")
  films = splits[split]
  images = resized(films, config.image_size).images
  eval_step = evaluate.create_eval_step(model, config.eval.threshold)
  counts = evaluate.count_pixels(eval_step, best.variables(), images, films.masks, config.eval.batch_size)
  about = {"split": split, "threshold": config.eval.threshold, "step": int(best.step)}
  folder = workdir.evaluation(split)
  print(evaluate.headline(evaluate.write_evaluation(folder, films, np.stack(list(counts)), about)))
  print(f"All of this evaluation is in {folder}")


def _load_splits(config: ConfigDict) -> dict[str, Films]:
  """The films of train, validation and, if there is one, test, at the size of the evaluation."""
  builder = datasets.prepare(config.dataset)
  name = builder.info.full_name
  for split in ("train", "validation"):
    if split not in builder.info.splits:
      raise ValueError(
        f"{name} has the splits {', '.join(builder.info.splits)}; training needs train and "
        f"validation, and there is no {split}."
      )
  steps_per_epoch(builder.info.splits["train"].num_examples, config.batch_size)
  splits = {
    split: load_films(
      builder,
      split,
      image_key=config.dataset.image_key,
      mask_key=config.dataset.mask_key,
      image_size=config.eval.image_size,
    )
    for split in ("train", "validation", "test")
    if split in builder.info.splits
  }
  if not splits["validation"].masks.any():
    raise ValueError(
      f"No validation film of {name} has an infection (feature {config.dataset.mask_key}), so the "
      "best checkpoint cannot be told."
    )
  return splits


def _train(
  config: ConfigDict,
  workdir: Workdir,
  checkpoints: Checkpoints,
  model: nn.Module,
  splits: Mapping[str, Films],
  stop_asked: Callable[[], bool],
) -> TrainState:
  """The state after the last epoch, or when a stop is asked for; every epoch is logged and saved."""
  train_films = resized(splits["train"], config.image_size)
  validation = splits["validation"]
  validation_images = resized(validation, config.image_size).images
  steps = steps_per_epoch(len(train_films), config.batch_size)

  optimizer = create_optimizer(config.optimizer)
  train_step = create_train_step(model, optimizer, config.loss.name)
  eval_step = evaluate.create_eval_step(model, config.eval.threshold)
  state = create_train_state(model, optimizer, config.seed, config.image_size)
  epoch, losses = 0, []
  if checkpoints.latest_step is not None:
    state, losses = checkpoints.restore(checkpoints.latest_step, like=state)
    epoch = (int(state.step) - len(losses)) // steps
    logger.info("Going on from step %d, in epoch %d.", state.step, epoch + 1)
  batches = train_batches(train_films, config.batch_size, config.seed, int(state.step))

  with RunLog(workdir, config.num_epochs, steps, config.batch_size, epoch) as log:
    for epoch in range(epoch, config.num_epochs):  # noqa: B020
      state = _train_epoch(train_step, state, batches, losses, steps, log, stop_asked)
      if not np.isfinite(losses).all():
        bad = int(np.argmin(np.isfinite(losses)))
        raise FloatingPointError(
          f"The loss became {losses[bad]} at step {epoch * steps + bad + 1} (epoch {epoch + 1}, "
          f"learning rate {config.optimizer.learning_rate:g}). The last good checkpoint, of step "
          f"{checkpoints.latest_step}, is kept in {workdir.checkpoints}. Try a smaller "
          "--config.optimizer.learning_rate in a new --workdir."
        )
      counts = evaluate.count_pixels(
        eval_step, state.variables(), validation_images, validation.masks, config.eval.batch_size
      )
      counts = list(itertools.takewhile(lambda _: not stop_asked(), counts))
      if stop_asked():
        if losses:
          checkpoints.save(state, epoch_losses=losses)
        break
      means = evaluate.summarize(np.stack(counts))["per_image"]
      log.epoch(
        epoch,
        int(state.step),
        train_loss=float(np.mean(losses)),
        val_dice=means["dice"],
        val_iou=means["iou"],
        val_pixel_accuracy=means["pixel_accuracy"],
      )
      checkpoints.save(state, val_dice=means["dice"])
      if checkpoints.best_step == int(state.step):
        log.samples(_samples(eval_step, state, validation_images, validation, config), epoch)
      losses = []
  return state


def _train_epoch(
  train_step: TrainStep,
  state: TrainState,
  batches: Iterator[dict[str, np.ndarray]],
  losses: list[float],
  num_steps: int,
  log: RunLog,
  stop_asked: Callable[[], bool],
) -> TrainState:
  """The state after the steps that an epoch still lacks; earlier, if a stop is asked for or a loss is
  not finite.

  A step's loss is waited for, and appended to `losses`, only when the next step is under way, so the
  device computes while the host prepares the next batch.
  """
  running = None

  def finish(loss: jax.Array) -> None:
    losses.append(float(loss))
    log.step(losses[-1])

  for _ in range(num_steps - len(losses)):
    if stop_asked() or (losses and not math.isfinite(losses[-1])):
      break
    state, loss = train_step(state, next(batches))
    if running is not None:
      finish(running)
    running = loss
  if running is not None:
    finish(running)
  return state


def _samples(
  eval_step: evaluate.EvalStep,
  state: TrainState,
  images: np.ndarray,
  films: Films,
  config: ConfigDict,
) -> np.ndarray:
  """Panel of a few films with infections, spread over the split; uint8 (H, W, 3)."""
  infected = np.flatnonzero(films.masks.any(axis=(1, 2)))
  chosen = infected[np.linspace(0, len(infected) - 1, _NUM_SAMPLES).astype(int)]
  ((batch, num_real),) = eval_batches(images[chosen], films.masks[chosen], config.eval.batch_size)
  _, probabilities = eval_step(state.variables(), batch)
  predictions = np.asarray(probabilities[:num_real]) > config.eval.threshold
  return pictures.panel(films.images[chosen], films.masks[chosen], predictions)


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
  """Gives a function that tells whether SIGTERM or SIGINT has come; a second one acts at once."""
  received = []

  def note(number: int, _frame: object) -> None:
    received.append(number)
    signal.signal(number, previous[number])

  previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield lambda: bool(received)
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
