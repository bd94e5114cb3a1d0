import contextlib
import csv
import errno
import functools
import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import sklearn.metrics
from flax.traverse_util import flatten_dict
from PIL import Image
from tensorboardX.proto import event_pb2

from covseg.evaluation import protocols
from covseg.evaluation.evaluator import Evaluator
from covseg.models import create_model
from covseg.runtime import devices
from covseg.trained import trained_model
from covseg.trained.checkpoints import Checkpoints
from covseg.training import run_log, train
from covseg.training.losses import LOSSES
from covseg.training.optimizers import create_optimizer
from covseg.training.train_state import TrainState, create_train_state
from covseg.training.train_step import create_train_step
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import Films
from input_pipeline.scaling import resize_image
from tests.conftest import ROOT


def _lines(workdir):
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _without_speed(lines):
  return [{k: v for k, v in line.items() if k not in ("images_per_second", "seconds")} for line in lines]


def _state(workdir, config, step):
  like = create_train_state(create_model(config.model), create_optimizer(config.optimizer), 0)
  with Checkpoints(workdir / "checkpoints") as checkpoints:
    return checkpoints.restore(step, like)[0]


def _same(a, b):
  return all(
    (np.asarray(x) == np.asarray(y)).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


def test_a_run_leaves_what_later_commands_need(whole_run):
  workdir = whole_run
  assert json.loads((workdir / "config.json").read_text())["model"]["base_features"] == 2
  lines = _lines(workdir)
  assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
  assert {"train_loss", "val_dice", "val_iou", "images_per_second"} <= lines[0].keys()
  with Checkpoints(workdir / "checkpoints") as checkpoints:
    assert checkpoints.latest_step == 6
    best = max(lines, key=lambda line: (line["val_dice"], line["step"]))
    assert checkpoints.best_step == best["step"]
  with Image.open(workdir / "validation_samples.png") as panel:
    assert panel.size == (4 * 256, 4 * 256)
  assert {"train_loss", "val_dice", "validation_samples"} <= _tensorboard_tags(workdir)

  summary = json.loads((workdir / "evaluation" / "test" / "metrics.json").read_text())
  assert (summary["split"], summary["threshold"]) == ("test", 0.5)
  assert summary["per_image"]["num_images"] == 4
  assert summary["with_negatives"]["num_images"] == 6
  with (workdir / "evaluation" / "test" / "per_image.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 6
  infected = [float(row["dice"]) for row in rows if int(row["true_pixels"])]
  assert np.mean(infected) == pytest.approx(summary["per_image"]["dice"], abs=1e-6)


def _tensorboard_tags(workdir):
  tags = set()
  for path in (workdir / "tensorboard").iterdir():
    content = path.read_bytes()
    while content:  # A record: length (8 bytes), its checksum (4), the event, its checksum (4).
      length = int.from_bytes(content[:8], "little")
      event = event_pb2.Event.FromString(content[12 : 12 + length])
      tags.update(value.tag for value in event.summary.value)
      content = content[16 + length :]
  return tags


def test_steps_lower_the_loss(tiny_config):
  tiny_config.optimizer.learning_rate = 1e-2
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, seed=0)
  step = create_train_step(tiny_config, model, optimizer)
  image = np.zeros((4, 32, 32), np.uint8)
  image[:, 8:20, 4:30] = 200
  losses = []
  for _ in range(30):
    state, loss = step(state, {"image": image, "mask": image > 128})
    losses.extend(loss.tolist())
  assert losses[-1] < 0.7 * losses[0]
  assert int(state.step) == 30


def test_averages_are_those_that_numpy_takes(tiny_config):
  tiny_config.optimizer.ema_decay = 0.2
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, seed=0, keep_ema=True)
  step = create_train_step(tiny_config, model, optimizer)
  images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)

  def current():
    return jax.tree.map(np.array, {"params": state.params, "batch_stats": state.batch_stats})

  expected = current()
  for decay in (1 / 10, 2 / 11, 0.2):  # (1 + step) / (10 + step), until that is more than 0.2.
    state, _ = step(state, {"image": images, "mask": images > 128})
    mixed = functools.partial(lambda d, average, new: d * average + (1 - d) * new, decay)
    expected = jax.tree.map(mixed, expected, current())
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state.variables(), expected)
  far_apart = jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-4, state.variables(), current())
  assert all(jax.tree.leaves(far_apart))


@pytest.mark.parametrize(("only", "statistics"), [("presence", ["mean", "var"]), ("infection", [])])
def test_where_a_head_alone_learns_all_else_stays(tiny_config, only, statistics):
  tiny_config.model.heads, tiny_config.optimizer.only = ("infection", "presence"), only
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, seed=0)
  before = jax.tree.map(np.array, (state.params, state.batch_stats))
  images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)
  state, _ = create_train_step(tiny_config, model, optimizer)(state, {"image": images, "mask": images > 128})
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, (state.params, state.batch_stats))
  moved = [{"/".join(path) for path, x in flatten_dict(tree).items() if x} for tree in moved]
  assert moved[0] == {f"heads/{only}/bias", f"heads/{only}/kernel"}
  assert moved[1] == {f"heads/presence_norm/{name}" for name in statistics}


def test_evaluation_agrees_with_one_film_at_a_time(tiny_config):
  model = create_model(tiny_config.model)
  rng = np.random.default_rng(0)
  films = Films(
    images=rng.integers(0, 256, (5, 64, 64), dtype=np.uint8),
    masks=rng.random((5, 64, 64)) < 0.3,
    lung_masks=None,
    ids=list("abcde"),
    labels=[""] * 5,
  )
  variables = jax.jit(lambda: model.init(jax.random.key(1), np.zeros((1, 32, 32, 1)), train=False))()
  tiny_config.eval.batch_size = 2
  evaluator = Evaluator(tiny_config, model, devices.create_mesh(2))
  counts = np.stack(list(evaluator.count_pixels(variables, films)))
  assert counts.shape == (5, 4)
  apply = jax.jit(lambda images: model.apply(variables, images, train=False)["infection"])
  dice = []
  for image, mask in zip(films.images, films.masks, strict=True):
    network_input = resize_image(image, 32)[None, ..., None].astype(np.float32) / 255
    logits = apply(network_input)[0, ..., 0]
    called = np.asarray(jax.image.resize(logits, (64, 64), "bilinear")) > 0
    dice.append(sklearn.metrics.f1_score(mask.ravel(), called.ravel(), zero_division=1))
  assert protocols.summarize(counts)["per_image"]["dice"] == pytest.approx(np.mean(dice), abs=1e-3)


def test_without_a_test_split_validation_is_evaluated_and_said_so(tiny_config, tmp_path, caplog):
  builder = datasets.prepare(tiny_config.dataset)
  info = builder.data_path / "dataset_info.json"
  content = json.loads(info.read_text())
  content["splits"] = [split for split in content["splits"] if split["name"] != "test"]
  info.write_text(json.dumps(content))
  tiny_config.num_epochs = 1
  train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert "no test split" in caplog.text
  (line,) = _lines(tmp_path / "run")
  summary = json.loads((tmp_path / "run" / "evaluation" / "validation" / "metrics.json").read_text())
  assert summary["per_image"]["dice"] == pytest.approx(line["val_dice"])
  assert not (tmp_path / "run" / "evaluation" / "test").exists()


@pytest.mark.parametrize("stop_at", [1, 3, 5])  # Within an epoch, at its end, and in the next one.
def test_a_run_stopped_by_sigterm_ends_as_an_undisturbed_one(whole_run, tiny_config, tmp_path, monkeypatch, stop_at):
  taken = []

  class StoppingLog(run_log.RunLog):
    def steps(self, losses):
      super().steps(losses)
      taken.extend(losses)
      if len(taken) == stop_at:
        signal.raise_signal(signal.SIGTERM)

  with monkeypatch.context() as patch:
    patch.setattr(train, "RunLog", StoppingLog)
    train.train_and_evaluate(tiny_config, str(tmp_path / "stopped"))
  assert not (tmp_path / "stopped" / "evaluation").exists()
  monkeypatch.setattr(train.evaluate, "evaluate_model", lambda *_, **__: None)
  train.train_and_evaluate(tiny_config, str(tmp_path / "stopped"))

  whole, stopped = (_state(workdir, tiny_config, 6) for workdir in (whole_run, tmp_path / "stopped"))
  assert _same(whole, stopped)
  assert _without_speed(_lines(whole_run)) == _without_speed(_lines(tmp_path / "stopped"))


def test_a_signal_is_no_longer_kept_once_all_is_saved(whole_run, tiny_config, tmp_path, monkeypatch):
  shutil.copytree(whole_run, tmp_path / "run")
  before, during = signal.getsignal(signal.SIGTERM), []
  evaluate_model = lambda *_, **__: during.append(signal.getsignal(signal.SIGTERM))  # noqa: E731
  monkeypatch.setattr(train.evaluate, "evaluate_model", evaluate_model)
  train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert during == [before]


def test_a_longer_run_goes_on_from_a_shorter_one(whole_run, tiny_config, tmp_path, monkeypatch):
  monkeypatch.setattr(train.evaluate, "evaluate_model", lambda *_, **__: None)
  tiny_config.num_epochs = 1
  train.train_and_evaluate(tiny_config, str(tmp_path / "one"))
  tiny_config.num_epochs = 2
  train.train_and_evaluate(tiny_config, str(tmp_path / "one"))
  two, one = (_state(workdir, tiny_config, 6) for workdir in (whole_run, tmp_path / "one"))
  assert _same(two, one)


def test_fewer_epochs_than_a_run_has_had_are_refused(whole_run, tiny_config):
  tiny_config.num_epochs = 1
  with pytest.raises(ValueError, match=r"a run of 2 epochs; num_epochs=1 must be no fewer"):
    train.train_and_evaluate(tiny_config, str(whole_run))
  assert json.loads((whole_run / "config.json").read_text())["num_epochs"] == 2


def test_a_run_does_not_go_on_with_another_number_of_films_or_a_damaged_checkpoint(tiny_config, tmp_path, monkeypatch):
  run = tmp_path / "run"
  tiny_config.num_epochs = 1
  monkeypatch.setattr(train.evaluate, "evaluate_model", lambda *_, **__: None)
  train.train_and_evaluate(tiny_config, str(run))
  tiny_config.num_epochs, log = 2, (run / "metrics.jsonl").read_text()
  with monkeypatch.context() as patch:
    patch.setattr(train, "Checkpoints", lambda folder, num_films: Checkpoints(folder, num_films + 1))  # As many steps.
    with pytest.raises(ValueError, match="was trained on 12 films, and there are 13 now"):
      train.train_and_evaluate(tiny_config, str(run))
  assert (run / "metrics.jsonl").read_text() == log
  largest = max(
    (file for file in (run / "checkpoints" / "3").rglob("*") if file.is_file()), key=lambda f: f.stat().st_size
  )
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
  with pytest.raises(ValueError, match=r"The checkpoint .*checkpoints/3 is damaged") as error:
    train.train_and_evaluate(tiny_config, str(run))
  assert len(str(error.value)) < 500
  with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
    stale = OSError(errno.ESTALE, "Stale file handle")  # Of a network's disk: the checkpoint may be whole.
    monkeypatch.setattr(checkpoints._checkpointer, "load", lambda *_: (_ for _ in ()).throw(stale))
    with pytest.raises(OSError, match="Stale"):
      checkpoints.restore(3, None)


def test_another_configuration_is_refused_by_its_fields(whole_run, tiny_config):
  before = (whole_run / "config.json").read_bytes()
  tiny_config.seed = 1
  tiny_config.model.base_features = 4
  with pytest.raises(ValueError, match=r"model.base_features: 2 -> 4; seed: 0 -> 1"):
    train.train_and_evaluate(tiny_config, str(whole_run))
  assert (whole_run / "config.json").read_bytes() == before


def test_a_configuration_from_before_a_field_came_goes_on_with_its_default(whole_run, tiny_config, tmp_path):
  shutil.copytree(whole_run, tmp_path / "run")
  path = tmp_path / "run" / "config.json"
  fields = json.loads(path.read_text())
  del fields["model"]["dtype"]
  path.write_text(json.dumps(fields))
  train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  for damaged, message in (({**fields, "depth": 3}, ".*depth"), ([], "it is no"), ({"seed": "a"}, ".*seed")):
    path.write_text(json.dumps(damaged))
    with pytest.raises(ValueError, match=f"config.json cannot be used: {message}"):
      train.train_and_evaluate(tiny_config, str(tmp_path / "run"))


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
  whole_run, tiny_config, tmp_path, monkeypatch
):
  shutil.copytree(whole_run, tmp_path / "run")
  good = _state(tmp_path / "run", tiny_config, 6)
  tiny_config.num_epochs = 3
  not_finite = lambda *, logits, masks: logits.mean((1, 2, 3)) * np.nan  # noqa: E731
  monkeypatch.setitem(LOSSES, "bce", not_finite)
  with pytest.raises(FloatingPointError, match=r"nan at step 7 .*rate 0\.001.* of step 6, is kept"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert _same(good, _state(tmp_path / "run", tiny_config, 6))


def test_weights_that_are_not_finite_are_not_saved(tiny_config, tmp_path):
  tiny_config.batch_size = 12  # One step an epoch, after which no loss of it follows.
  tiny_config.optimizer.learning_rate = 1e38
  with pytest.raises(FloatingPointError, match=r"at step [12] .*is no earlier one|at step 2 .*of step 1, is kept"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  with Checkpoints(tmp_path / "run" / "checkpoints", read_only=True) as checkpoints:
    if checkpoints.latest_step:
      state = _state(tmp_path / "run", tiny_config, checkpoints.latest_step)
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_a_run_that_failed_before_its_first_checkpoint_is_begun_anew(tiny_config, tmp_path, monkeypatch):
  monkeypatch.setattr(train, "_best_state", lambda *_: None)
  workdir = Workdir(tmp_path / "run")
  other = tiny_config.copy_and_resolve_references()
  other.model.base_features = 4
  workdir.write_config(other)
  workdir.checkpoints.mkdir()
  train.train_and_evaluate(tiny_config, str(workdir.path))
  assert workdir.read_config().model.base_features == 2
  workdir.metrics_file.write_text('{"epoch": 1, "step": 3}\n{"epoch": 2, "step": 6}\n')
  with pytest.raises(ValueError, match="the log of 2 epochs but no checkpoint"):
    train.train_and_evaluate(tiny_config, str(workdir.path))
  (workdir.checkpoints / "3").mkdir()
  with pytest.raises(ValueError, match="another configuration"):
    train.train_and_evaluate(other, str(workdir.path))


def test_a_finished_run_is_evaluated_without_the_training_films(whole_run, tiny_config, tmp_path, monkeypatch):
  shutil.copytree(whole_run, tmp_path / "run")
  metrics = tmp_path / "run" / "evaluation" / "test" / "metrics.json"
  before = json.loads(metrics.read_text())
  metrics.unlink()
  monkeypatch.setattr(train, "create_take_steps", lambda *_: pytest.fail("prepared"))
  train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert json.loads(metrics.read_text())["per_image"] == before["per_image"]


@contextlib.contextmanager
def _full_at_once():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 999, 1))
    yield


@contextlib.contextmanager
def _full_while_writing():
  """No file may grow beyond 2 kB: writing fails half-way, as on a disk that fills up."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def _save_after_a_failure(checkpoints, state):
  """Perhaps not at once: in this process, threads of the failed save may still be at it."""
  for attempts_left in reversed(range(20)):
    try:
      return checkpoints.save(state, val_dice=0.6)
    except OSError:
      assert attempts_left
      time.sleep(0.5)


@pytest.mark.parametrize("full", [_full_at_once, _full_while_writing])
@pytest.mark.filterwarnings("ignore")  # Orbax's threads complain of it, too.
def test_a_full_disk_leaves_the_previous_checkpoint_whole(tiny_config, tmp_path, full):
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, seed=0)
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    checkpoints.save(state, val_dice=0.5)
  message = r"step 1 could not be written .* of step 0, is kept"
  with pytest.raises(OSError, match=message), Checkpoints(tmp_path / "checkpoints") as checkpoints, full():
    checkpoints.save(state.replace(step=state.step + 1), val_dice=0.6)
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    assert checkpoints.latest_step == checkpoints.best_step == 0
    assert _same(checkpoints.restore(0, state)[0], state)
    _save_after_a_failure(checkpoints, state.replace(step=state.step + 2))
    assert checkpoints.best_step == 2


def test_of_equal_checkpoints_the_latest_is_the_best(tmp_path):
  arrays = [jax.device_put((np.int32(i), np.full(3, i, np.float32))) for i in range(4)]
  states = [TrainState(step, {"weight": weight}, {}, ()) for step, weight in arrays]
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    for state, val_dice in zip(states, (0.5, 0.5, 0.5, 0.4), strict=True):
      checkpoints.save(state, val_dice=val_dice)
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    assert (checkpoints.best_step, checkpoints.latest_step) == (2, 3)
    assert _same(checkpoints.restore(2, states[0])[0], states[2])


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_cannot_be_saved_again_stays_as_it_was(tiny_config, tmp_path):
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, seed=0)
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    checkpoints.save(state, epoch_losses=[0.5])
  message = r"step 0 could not be written .* of step 0, is kept"
  with (
    pytest.raises(OSError, match=message),
    Checkpoints(tmp_path / "checkpoints") as checkpoints,
    _full_while_writing(),
  ):
    checkpoints.save(state, val_dice=0.6)
  for _ in range(2):  # As it was, and as a kill would leave it in the middle of the second save.
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
      found, losses = checkpoints.restore(0, state)
      assert _same(found, state) and losses == [0.5]
    (tmp_path / "checkpoints" / "0").rename(tmp_path / ".checkpoint_0")
  with Checkpoints(tmp_path / "checkpoints") as checkpoints:
    _save_after_a_failure(checkpoints, state)
    assert checkpoints.best_step == 0
  assert not list(tmp_path.glob(".checkpoint*"))


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ({"batch_size": 13}, "batch_size=13 is larger than the training split, which has 12"),
    ({"model.name": "unett"}, r"model.name='unett' .*did you mean 'unet'"),
    ({"loss.name": "dice"}, "one of bce"),
    ({"optimizer.learning_rate": -1.0}, "must be a positive number"),
    ({"num_epochs": 0}, "num_epochs=0 must be at least 1"),
    ({"seed": -1}, "seed=-1 must be at least 0"),
    ({"loss.name": "weighted_bce", "loss.positive_weight": -3.0}, "loss.positive_weight=-3.0 must be at least 0"),
    ({"loss.name": "bce_dice", "loss.dice_weight": float("nan")}, "loss.dice_weight=nan must be"),
    ({"augment.crop.strength": 3.0}, "augment.crop.strength=3.0 must be between 0 and 0.99"),
    ({"augment.noise.strength": float("nan")}, "augment.noise.strength=nan must be at least 0"),
    ({"augment.scale.strength": 1.0}, "augment.scale.strength=1.0 must be between 0 and 0.99"),
    ({"augment.flip.strength": 0.0}, "augment.flip has no strength"),
    ({"eval.threshold": 1.5}, "between 0 and 1"),
    ({"dataset.mask_key": "mask"}, "image, infection_mask"),
    ({"optimizer.accumulation_steps": 7}, "more than the 6 batches of the whole training"),
    ({"dataset.name": "covid_qu_ex", "model.heads": ("infection", "presence")}, "dataset.cohort=all, not covid"),
    ({"model.heads": ("infection", "presence"), "batch_size": 1}, "compares the films of a batch"),
  ],
)
def test_a_mistake_writes_no_workdir(tiny_config, tmp_path, override, message):
  tiny_config.update_from_flattened_dict(override)
  with pytest.raises(ValueError, match=message):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_share_of_no_films_is_refused(tiny_config, monkeypatch):
  monkeypatch.setattr(train.FilmReader, "has_infection", lambda *_: True)
  tiny_config.dataset.negative_share = 0.5
  with pytest.raises(ValueError, match="negative_share=0.5 has no effect"):
    train.train_and_evaluate(tiny_config, "not_written")
  assert not pathlib.Path("not_written").exists()


def test_a_folder_that_is_no_workdir_is_refused(tiny_config, tmp_path):
  (tmp_path / "run" / "checkpoints" / "3").mkdir(parents=True)
  with pytest.raises(ValueError, match=r"no config.json"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  pathlib.Path(tmp_path / "file").write_text("")
  with pytest.raises(ValueError, match="is a file"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "file"))


def test_a_path_is_no_pattern_and_no_list(whole_run, tiny_config, tmp_path):
  workdir = tmp_path / "lr=[1e-3], *"
  shutil.copytree(whole_run, workdir)
  assert trained_model.load(str(workdir)).step in (3, 6)
  tiny_config.num_epochs = 3
  train.train_and_evaluate(tiny_config, str(workdir))  # It continues.
  assert trained_model.load(str(workdir)).step in (3, 6, 9)
  assert [line["epoch"] for line in _lines(workdir)] == [1, 2, 3]


def test_a_workdir_is_for_one_process(tiny_config, tmp_path):
  workdir = Workdir(tmp_path / "run")
  code = (
    "import pathlib, sys; from input_pipeline.locking import only_process\n"
    "with only_process(pathlib.Path(sys.argv[1]), ''): print(flush=True); sys.stdin.read()"
  )
  command = [sys.executable, "-c", code, str(workdir.lock_file)]
  other = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  try:
    other.stdout.readline()
    with pytest.raises(ValueError, match=f"in use by process {other.pid}"):
      train.train_and_evaluate(tiny_config, str(workdir.path))
  finally:
    other.communicate()
  assert not workdir.config_file.exists()
