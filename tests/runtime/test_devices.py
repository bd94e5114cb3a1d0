"""Runs on eight virtual devices, and in two processes, beside the same run on one device."""

import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

_ARGUMENTS = [
  "--config=configs/unet.py",
  "--config.dataset.name=tests.tiny_films",
  "--config.image_size=32",
  "--config.batch_size=8",
  "--config.model.base_features=2",
  "--config.eval.batch_size=3",
]


def _start(tmp_path, workdir, num_epochs, *flags, num_devices=1):
  return subprocess.Popen(
    [
      sys.executable,
      "main.py",
      *_ARGUMENTS,
      f"--config.num_epochs={num_epochs}",
      f"--config.dataset.data_dir={tmp_path}/tfds",
      f"--workdir={tmp_path}/{workdir}",
      *flags,
    ],
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
    },
  )


def _finish(*processes):
  """What each has printed as errors."""
  try:
    errors = [process.communicate(timeout=200)[1] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, text in zip(processes, errors, strict=True):
    assert process.returncode == 0, text
  return errors


def _curve(tmp_path, workdir):
  lines = (tmp_path / workdir / "metrics.jsonl").read_text().splitlines()
  return [(json.loads(line)["train_loss"], json.loads(line)["val_dice"]) for line in lines]


def _start_two_processes(tmp_path, workdir, num_epochs):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  return [
    _start(
      tmp_path,
      workdir,
      num_epochs,
      "--distributed",
      f"--coordinator_address={address}",
      "--num_processes=2",
      f"--process_id={i}",
    )
    for i in range(2)
  ]


def test_any_number_of_devices_and_processes_gives_the_curve_of_one_device(tmp_path):
  _finish(_start(tmp_path, "eight", 3, num_devices=8))

  # One of two processes is told to stop; both do, at the same step, and one process goes on from there.
  processes = _start_two_processes(tmp_path, "two", 1000)
  while not (tmp_path / "two" / "metrics.jsonl").exists() and processes[0].poll() is None:
    time.sleep(0.01)
  processes[1].terminate()
  errors = _finish(*processes)
  num_epochs = len(_curve(tmp_path, "two")) + 3
  assert num_epochs < 1000
  steps = {re.search(r"Stopped at step (\d+)", text)[1] for text in errors}
  assert len(steps) == 1, steps
  for workdir in ("one", "two"):
    _finish(_start(tmp_path, workdir, num_epochs))
  expected = _curve(tmp_path, "one")
  _assert_same_curve(_curve(tmp_path, "eight"), expected[:3])
  _assert_same_curve(_curve(tmp_path, "two"), expected)

  # A run's folder as the teacher of another, which also goes on from it, on several devices.
  flags = [f"--config.{field}={tmp_path}/one" for field in ("loss.teacher", "init_from")]
  for num_devices in (1, 2):
    _finish(_start(tmp_path, f"student{num_devices}", 1, *flags, num_devices=num_devices))
  _assert_same_curve(_curve(tmp_path, "student2"), _curve(tmp_path, "student1"))
  assert _curve(tmp_path, "student1")[0][0] < 0.99 * expected[0][0]


def _assert_same_curve(curve, expected):
  assert len(curve) == len(expected)
  for (loss, dice), (expected_loss, expected_dice) in zip(curve, expected, strict=True):
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert dice == pytest.approx(expected_dice, abs=1e-3)
