"""The command as a user runs it, in processes of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from covseg.configuration import from_json
from covseg.models import create_model
from covseg.trained.checkpoints import Checkpoints
from covseg.training.optimizers import create_optimizer
from covseg.training.train_state import create_train_state
from tests.conftest import ROOT

_TINY = [
  "--config=configs/unet.py",
  "--config.dataset.name=tests.tiny_films",
  "--config.image_size=32",
  "--config.batch_size=4",
  "--config.model.base_features=2",
  "--config.eval.batch_size=4",
]


def _start(*arguments, python_options=()):
  return subprocess.Popen(
    [sys.executable, *python_options, "main.py", *arguments],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
  )


def _run(*arguments, python_options=()):
  process = _start(*arguments, python_options=python_options)
  out, err = process.communicate(timeout=300)
  return process.returncode, out, err


def _final_state(workdir):
  config = from_json((workdir / "config.json").read_text())
  like = create_train_state(create_model(config.model), create_optimizer(config.optimizer), 0)
  with Checkpoints(workdir / "checkpoints") as checkpoints:
    return checkpoints.restore(checkpoints.latest_step, like)[0]


def test_neither_tensorflow_nor_pytorch_is_imported(tmp_path):
  for name in ("tensorflow", "torch"):
    (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')")
  environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
  for arguments in (
    ["main.py", "--help"],
    ["-c", "import covseg, covseg.training.train, input_pipeline.datasets, configs.default"],
  ):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "imported" not in done.stderr, done.stderr
    assert "Error" not in done.stderr, done.stderr


def test_help_answers_without_loading_jax():
  _, out, err = _run("--help", python_options=("-X", "importtime"))
  imported = {name.split(".")[0] for name in re.findall(r"\| +([\w.]+)$", err, re.MULTILINE)}
  assert "--workdir" in out
  assert "ml_collections" in imported
  assert not {"jax", "flax", "tensorflow_datasets", "numpy"} & imported


@pytest.mark.parametrize(
  ("status", "arguments", "expected"),
  [
    (2, ["--config.modle.base_features=16"], "model"),
    (2, ["--config.model.base_feature=16"], "base_features"),
    (2, ["--config.batch_size=many"], "batch_size"),
    (2, ["--wrokdir=x"], "wrokdir"),
    (2, ["--config=configs/absent.py"], "--config=configs/absent.py: there is no such file"),
    (2, ["--confg.num_epochs=2"], "--config.num_epochs=VALUE"),
    (2, ["--batch_size=2"], "--config.batch_size=VALUE"),
    (1, ["--config.dataset.name=covid_qu_ex", "--config.dataset.manual_dir=/absent"], "quickstart"),
    (2, ["--coordinator_address=localhost:1234"], "--distributed"),
  ],
)
def test_a_mistake_gets_a_plain_answer(tmp_path, status, arguments, expected):
  workdir = tmp_path / "run"
  data_dir = f"--config.dataset.data_dir={tmp_path}/tfds"
  found, _, err = _run(*_TINY, data_dir, f"--workdir={workdir}", *arguments)
  assert found == status
  assert expected in err
  assert "Traceback" not in err
  assert not workdir.exists()


def test_a_run_killed_at_any_moment_ends_bit_for_bit_as_an_undisturbed_one(tmp_path):
  arguments = [*_TINY, "--config.num_epochs=6", f"--config.dataset.data_dir={tmp_path}/tfds"]
  status, _, err = _run(*arguments, f"--workdir={tmp_path}/whole")
  assert status == 0, err

  killed = tmp_path / "killed"
  delays = [0, *np.random.default_rng().uniform(0, 0.25, 2)]  # Any moment: not the same ones each time.
  signals = signal.SIGTERM, signal.SIGKILL, signal.SIGKILL
  for num_lines, delay, signal_sent in zip((0, 1, 3), delays, signals, strict=True):
    process = _start(*arguments, f"--workdir={killed}")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
      lines = killed / "metrics.jsonl"
      if lines.exists() and len(lines.read_text().splitlines()) > num_lines:
        break
      time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal_sent)
    _, err = process.communicate(timeout=60)
    if signal_sent == signal.SIGTERM:
      assert process.returncode == 0, err
      assert f"Stopped at step {int(_final_state(killed).step)};" in err  # It is saved.
  status, _, err = _run(*arguments, f"--workdir={killed}")
  assert status == 0, (err, delays)

  whole, again = _final_state(tmp_path / "whole"), _final_state(killed)
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
    assert (np.asarray(a) == np.asarray(b)).all(), delays
  lines = [
    [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
    for run in ("whole", "killed")
  ]
  for line in (*lines[0], *lines[1]):
    del line["images_per_second"], line["seconds"]
  assert lines[0] == lines[1], delays
