"""Training: the loop over epochs, what it saves, and how it resumes."""

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from covseg.evaluation import evaluate, near_duplicates
from covseg.evaluation.evaluator import Evaluator
from covseg.evaluation.protocols import summarize
from covseg.models import create_model, shapes_of
from covseg.runtime import compilation, devices
from covseg.trained import trained_model
from covseg.trained.checkpoints import Checkpoints
from covseg.trained.trained_model import TrainedModel
from covseg.training import feeding, initialization, recipe
from covseg.training.feeding import TakeSteps, create_take_steps
from covseg.training.optimizers import create_optimizer
from covseg.training.run import Run
from covseg.training.run_log import RunLog
from covseg.training.stopping import stop_on_signal
from covseg.training.train_state import TrainState, create_train_state, shapes_of_train_state
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.batches import TrainingOrder
from input_pipeline.films import FilmReader, Films, load_films
from input_pipeline.locking import only_process

logger = logging.getLogger(__name__)


def train_and_evaluate(config: ConfigDict, workdir_path: str) -> None:
  """Trains as the configuration says, from the start or from where the folder's run stopped, and
  evaluates the best checkpoint.

  Raises:
    FileNotFoundError, ValueError: the data or the configuration is not as it should be, or the
      folder holds a run of another configuration; nothing has been written into it then.
    FloatingPointError: the loss is no longer finite.
    OSError: something could not be written.
  """
  compilation.set_up()
  recipe.check(config)
  workdir = Workdir(workdir_path)
  workdir.check(config)
  model = create_model(config.model)
  given = {}
  if not workdir.has_checkpoint and (config.init_from or config.model.encoder_weights):
    given = initialization.given_variables(config, shapes_of(model))
  if config.loss.teacher and len(workdir.read_metrics()) < config.num_epochs:
    trained_model.load(config.loss.teacher)  # Before anything is written.
  mesh = devices.create_mesh(config.batch_size)
  readers = _open_splits(config)
  feeding.check_memory(config, readers["train"])
  order = _training_order(config, readers["train"])
  if (batches := order.steps_per_epoch * config.num_epochs) < config.optimizer.accumulation_steps:
    raise ValueError(
      f"optimizer.accumulation_steps={config.optimizer.accumulation_steps} is more than the {batches} batches of the "
      "whole training, so no weight would change."
    )
  validation = load_films(readers["validation"])
  if not validation.masks.any():
    raise ValueError(
      f"No validation film has an infection (feature {config.dataset.mask_key}), so there is no Dice by which the best "
      "checkpoint could be chosen; check dataset.mask_key and dataset.cohort."
    )

  optimizer = create_optimizer(config.optimizer, order.steps_per_epoch, config.num_epochs)
  run = Run(config, workdir, model, optimizer, mesh, given)
  lock = contextlib.nullcontext()
  if devices.is_main_process():
    lock = only_process(workdir.lock_file, f"The workdir {workdir.path}")
  with lock:
    with stop_on_signal() as stop_asked:  # Until all is saved: an evaluation is stopped at once.
      if devices.is_main_process():
        workdir.write_config(config)
      best = _best_state(run, readers["train"], order, validation, stop_asked)
    if best is not None:
      _evaluate(run, best, readers, validation)


def _best_state(
  run: Run, train_reader: FilmReader, order: TrainingOrder, validation: Films, stop_asked: Callable[[int], bool]
) -> TrainState | None:
  """Trains to the end, and returns the best state; None if a stop is asked for before."""
  with Checkpoints(run.workdir.checkpoints, len(train_reader)) as checkpoints:
    state = _train(run, checkpoints, train_reader, order, validation, stop_asked)
    if stop_asked(int(state.step)):
      logger.info("Stopped at step %d; the same command goes on from there.", state.step)
      return None
    return checkpoints.restore(checkpoints.best_step, like=state)[0]


def _evaluate(run: Run, best: TrainState, readers: dict[str, FilmReader], validation: Films) -> None:
  """Evaluates a state on test, or on validation where there is no test."""
  config = run.config
  split = "test" if "test" in readers else "validation"
  if split == "validation":
    logger.warning("The data has no test split: the best checkpoint is evaluated on validation.")
  films = load_films(readers["test"]) if split == "test" else validation
  trained = TrainedModel(str(run.workdir.path), config, run.model, best.variables(), int(best.step), run.workdir)
  duplicates = near_duplicates.read(readers[split].builder, films.ids, split)
  evaluate.evaluate_model(
    trained,
    Evaluator(config, run.model, run.mesh),
    films,
    split,
    run.workdir.evaluation(split),
    validation=validation if split == "test" else None,
    near_duplicates=duplicates,
  )


def _open_splits(config: ConfigDict) -> dict[str, FilmReader]:
  """Readers of train, validation and, if there is one, test."""
  if not devices.is_main_process():
    devices.wait_for_all("dataset")  # The main process builds it.
  builder = datasets.prepare(config.dataset)
  if devices.is_main_process():
    devices.wait_for_all("dataset")
  for split in ("train", "validation"):
    if split not in builder.info.splits:
      raise ValueError(
        f"{builder.info.full_name} has the splits {', '.join(builder.info.splits)}; training needs "
        f"train and validation, and there is no {split}."
      )
  has_lung_head = "lung" in config.model.heads
  readers = {}
  for split in ("train", "validation", "test"):
    if split in builder.info.splits:
      # Training compares masks at the network's size, evaluation at that of the configuration.
      mask_size = config.image_size if split == "train" else config.eval.image_size
      with_lungs = has_lung_head or split != "train"
      opacity_classes = config.dataset.opacities if split == "train" else ()
      readers[split] = FilmReader(
        builder, split, config.dataset, config.image_size, mask_size, with_lungs, opacity_classes
      )
  if has_lung_head and not readers["train"].has_lung_masks:
    raise ValueError(
      f"A lung head (model.heads) takes masks of the lungs, and {builder.info.full_name} has no feature "
      f"dataset.lung_mask_key={config.dataset.lung_mask_key!r}."
    )
  return readers


def _training_order(config: ConfigDict, reader: FilmReader) -> TrainingOrder:
  infected = np.ones(len(reader), bool)
  if config.dataset.negative_share < 1:  # Else there is no need to look.
    with concurrent.futures.ThreadPoolExecutor() as threads:
      infected = np.array(list(threads.map(reader.has_infection, range(len(reader)))))
    if infected.all():
      raise ValueError(
        f"dataset.negative_share={config.dataset.negative_share} has no effect: every training film has an infection; "
        "see dataset.cohort."
      )
  return TrainingOrder(infected, config.batch_size, config.seed, config.dataset.negative_share)


def _train(
  run: Run,
  checkpoints: Checkpoints,
  train_reader: FilmReader,
  order: TrainingOrder,
  validation: Films,
  stop_asked: Callable[[int], bool],
) -> TrainState:
  """The state after the last epoch, or when a stop is asked for; every epoch is logged and saved."""
  config = run.config
  num_steps = order.steps_per_epoch
  first_step = checkpoints.latest_step or 0
  if first_step:
    checkpoints.check_num_films(first_step)
  if first_step == num_steps * config.num_epochs:
    state, losses = checkpoints.restore(first_step, like=_shapes(run))
    if not losses:  # Validated, too: what is left is the evaluation.
      return state
  state, losses, take_steps = _start(run, checkpoints, train_reader, order, first_step)
  first_epoch = (first_step - len(losses)) // num_steps
  if first_step:
    logger.info("Going on from step %d, in epoch %d.", first_step, first_epoch + 1)
  evaluator = Evaluator(config, run.model, run.mesh)
  validation = validation.of(validation.infected())

  with RunLog(run.workdir, config, num_steps, first_epoch, first_step) as log:
    for epoch in range(first_epoch, config.num_epochs):
      last_step = (epoch + 1) * num_steps
      state = _train_epoch(take_steps, state, losses, num_steps, last_step, log, stop_asked)
      _check_finite(run, checkpoints, state, losses, epoch, num_steps)
      step = int(state.step)
      counts = _validate(evaluator, state, validation, stop_asked)
      if counts is None:
        if losses:
          checkpoints.save(state, epoch_losses=losses)
        break
      means = summarize(counts)["per_image"]
      log.epoch(
        epoch,
        step,
        train_loss=float(np.mean(losses)),
        val_dice=means["dice"],
        val_iou=means["iou"],
        val_pixel_accuracy=means["pixel_accuracy"],
      )
      checkpoints.save(state, val_dice=means["dice"])
      if checkpoints.best_step == step:
        log.samples(evaluator.samples(state.variables(), validation), step)
      losses = []
  return state


def _validate(
  evaluator: Evaluator, state: TrainState, validation: Films, stop_asked: Callable[[int], bool]
) -> np.ndarray | None:
  """Counts of each film, int32 (N, 4); None if a stop is asked for before the end."""
  step, found = int(state.step), []
  counts = evaluator.count_pixels(state.variables(), validation)
  while not stop_asked(step):
    if len(found) == len(validation):
      return np.stack(found)
    found.append(next(counts))
  return None


def _check_finite(
  run: Run, checkpoints: Checkpoints, state: TrainState, losses: list[float], epoch: int, num_steps: int
) -> None:
  """Raises FloatingPointError if a loss of an epoch, or a weight after it, is not finite."""
  bad = next((i for i, loss in enumerate(losses) if not np.isfinite(loss)), None)
  if bad is not None:
    found = f"The loss became {losses[bad]}"
  elif not all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(state.params)):
    found, bad = "A weight became infinite, or not a number,", len(losses) - 1
  else:
    return
  raise FloatingPointError(
    f"{found} at step {epoch * num_steps + bad + 1} (epoch {epoch + 1}, learning rate "
    f"{run.config.optimizer.learning_rate:g}). Of the checkpoints in {run.workdir.checkpoints}: {checkpoints.kept()} "
    "Try a smaller --config.optimizer.learning_rate in a new --workdir."
  )


def _start(
  run: Run, checkpoints: Checkpoints, train_reader: FilmReader, order: TrainingOrder, first_step: int
) -> tuple[TrainState, list[float], TakeSteps]:
  """The state that training starts or goes on from, the losses so far in its epoch, and what takes steps."""
  shapes = _shapes(run)
  if first_step:
    state, losses = checkpoints.restore(first_step, like=shapes)
    return state, losses, create_take_steps(run, train_reader, order, first_step, shapes)
  sharding, keep_ema = devices.replicated(run.mesh), run.config.optimizer.ema_decay > 0
  with concurrent.futures.ThreadPoolExecutor() as threads:  # To compile takes long: the state beside the step.
    created = threads.submit(
      create_train_state, run.model, run.optimizer, run.config.seed, sharding, keep_ema, run.given
    )
    take_steps = create_take_steps(run, train_reader, order, first_step, shapes)
  return created.result(), [], take_steps


def _shapes(run: Run) -> TrainState:
  """Shapes and types of the state."""
  keep_ema = run.config.optimizer.ema_decay > 0
  return shapes_of_train_state(run.model, run.optimizer, devices.replicated(run.mesh), keep_ema)


def _train_epoch(
  take_steps: TakeSteps,
  state: TrainState,
  losses: list[float],
  num_steps: int,
  last_step: int,
  log: RunLog,
  stop_asked: Callable[[int], bool],
) -> TrainState:
  """The state after the steps that an epoch still lacks; earlier, if a stop is asked for or a loss is
  not finite.

  Losses are waited for, and appended to `losses`, only when the steps after them are under way, so
  the device computes while the host prepares the next batch.
  """
  running = None

  def finish(running: jax.Array) -> None:
    ended = np.asarray(running).tolist()
    losses.extend(ended)
    log.steps(ended)

  steps_left = num_steps - len(losses)
  while steps_left and not stop_asked(last_step - steps_left) and np.isfinite(losses[-1:]).all():
    state, dispatched = take_steps(state, steps_left)
    steps_left -= len(dispatched)
    if running is not None:
      finish(running)
    running = dispatched
  if running is not None:
    finish(running)
  return state
