import collections
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from covseg import configuration
from covseg.experiments import sweep
from covseg.runtime.command_line import UsageError
from tests.conftest import ROOT

# In place of main.py: fails for one entry, waits for a signal in another, and trains no network.
_MAIN = """
import json, pathlib, signal, sys, time

workdir = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
print("arguments", *sys.argv[1:])
if workdir.parent.name == "broken":
  sys.exit("it broke")
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
if workdir.parent.name == "slow" and not (workdir / "saved").exists():
  (workdir / "waiting").touch()
  while not stopped:
    time.sleep(0.01)
  (workdir / "saved").touch()
  sys.exit(0)
(workdir / "metrics.jsonl").write_text(json.dumps({"epoch": 50, "step": 1}))
(workdir / "evaluation" / "test").mkdir(parents=True)
result = {"split": "test", "per_image": {"dice": 0.5}}
(workdir / "evaluation" / "test" / "metrics.json").write_text(json.dumps(result))
"""


@pytest.fixture
def planned(tmp_path, monkeypatch):
  """Function that plans entries, with a stand-in for main.py; the file of the sweep and its runs."""

  def plan(*entries):
    (tmp_path / "main.py").write_text(_MAIN)
    monkeypatch.setattr(sweep, "_MAIN", tmp_path / "main.py")
    (tmp_path / "sweep.py").write_text(_entry(", ".join(entries)))
    runs = sweep.plan(str(tmp_path / "sweep.py"), tmp_path / "runs")
    for run in runs:
      run.workdir.mkdir(parents=True)
      (run.workdir / "config.json").write_text(configuration.to_json(run.config))
    return str(tmp_path / "sweep.py"), runs

  return plan


def test_a_failed_run_is_reported_at_the_end_and_done_ones_are_skipped(planned, tmp_path, capsys):
  file, runs = planned("Entry('broken', 'configs/unet.py')", "Entry('fine', 'configs/unet.py', {}, (0, 1))")
  with pytest.raises(SystemExit) as exit:
    sweep.run(file, str(tmp_path / "runs"), (1, 1), ())
  assert exit.value.code == 1
  assert [sweep.is_done(run) for run in runs] == [False, True, True]
  out = capsys.readouterr().out
  assert out.index("broken/seed0 failed with status 1") > out.index("fine/seed1")
  assert out.count("Dice 0.5000") == 2
  assert "  it broke" in out
  assert "1 of 3 runs failed" in out
  sweep.run(file, str(tmp_path / "runs"), (2, 3), ())
  assert capsys.readouterr().out == "1 runs, 1 of them done\n"


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "sweeps").glob("[!_]*.py")), ids=lambda file: file.stem)
def test_the_sweeps_that_ship_can_run(file, tmp_path):
  runs = sweep.plan(str(file), tmp_path, ["dataset.manual_dir=data"])
  for run in runs:
    assert run.config.dataset.manual_dir == "data"
  # Each differs from the others by more than its seed.
  assert len({configuration.to_json(run.config) for run in runs}) == len(runs)
  seeds = collections.Counter(run.workdir.parent for run in runs)
  assert set(seeds.values()) == {2}


def test_a_stopped_run_saves_and_goes_on(planned, tmp_path, capsys):
  file, (run,) = planned("Entry('slow', 'configs/unet.py')")

  def stop():
    while not (run.workdir / "waiting").exists():
      time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

  before = signal.getsignal(signal.SIGINT)
  threading.Thread(target=stop).start()
  with pytest.raises(SystemExit) as exit:
    sweep.run(file, str(tmp_path / "runs"), (1, 1), ())
  assert exit.value.code == 1
  assert "Stopped; the same command goes on from there." in capsys.readouterr().out
  assert (run.workdir / "saved").exists()
  assert signal.getsignal(signal.SIGINT) is before
  sweep.run(file, str(tmp_path / "runs"), (1, 1), ())
  assert sweep.is_done(run)


def test_only_a_run_trained_and_evaluated_as_planned_is_done(planned, tmp_path):
  file, (run,) = planned("Entry('fine', 'configs/unet.py')")
  sweep.run(file, str(tmp_path / "runs"), (1, 1), ())
  for override in ("num_epochs=60", "model.base_features=8"):
    (other,) = sweep.plan(file, tmp_path / "runs", [override])
    assert not sweep.is_done(other)
  (moved,) = sweep.plan(file, tmp_path / "runs", ["dataset.manual_dir=elsewhere"])
  assert sweep.is_done(moved)
  os.utime(run.workdir / "metrics.jsonl", (time.time() + 9, time.time() + 9))  # Trained on since.
  assert not sweep.is_done(run)
  for cut_short in ("", '{"epo'):
    (run.workdir / "metrics.jsonl").write_text(cut_short)
    assert not sweep.is_done(run)


def test_it_runs_main_py(tmp_path):
  (tmp_path / "sweep.py").write_text(_entry("Entry('a', 'configs/unet.py', {'model.base_features': 2})"))
  settings = {
    "dataset.name": "tests.tiny_films",
    "dataset.data_dir": tmp_path / "tfds",
    "image_size": 32,
    "batch_size": 4,
    "num_epochs": 1,
    "eval.batch_size": 4,
  }
  settings = [f"--set={field}={value}" for field, value in settings.items()]
  status, out, err = _command(f"--config={tmp_path}/sweep.py", f"--workdir={tmp_path}/runs", *settings)
  assert status == 0, out + err
  folder = tmp_path / "runs" / "a" / "seed0"
  assert json.loads((folder / "evaluation" / "test" / "metrics.json").read_text())["split"] == "test"


def _command(*arguments):
  done = subprocess.run(
    [sys.executable, "-m", "covseg", "sweep", *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
  )
  return done.returncode, done.stdout, done.stderr


def _entry(text):
  return f"from covseg.experiments.sweep import Entry\ndef get_sweep():\n  return [{text}]\n"


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (
      _entry("Entry('a', 'configs/unet.py', {'model.base_feature': 3})"),
      "(?s)entry a .*Did you mean .base_features",
    ),
    (_entry("Entry('a', 'configs/unet.py', {'model.name': 'unett'})"), "did you mean 'unet'"),
    (_entry("Entry('a', 'configs/absent.py')"), "absent.py"),
    (_entry("Entry('a', 'configs/unet.py'), Entry('a', 'configs/unet.py')"), "several entries of one name"),
    ("x = 1", "defines no get_sweep"),
    (_entry("Entry('a', 'configs/unet.py', {'seed': 7})"), "seeds are named by Entry"),
    (_entry("Entry('a', 'configs/unet.py', {}, 3)"), "seeds=3; expected several"),
  ],
)
def test_a_sweep_that_cannot_run_is_refused_before_its_first_run(tmp_path, text, expected):
  (tmp_path / "sweep.py").write_text(text)
  with pytest.raises(UsageError, match=expected):
    sweep.plan(str(tmp_path / "sweep.py"), tmp_path / "runs")
  assert not (tmp_path / "runs").exists()


def test_shares_cover_every_run_once(tmp_path, monkeypatch):
  (tmp_path / "sweep.py").write_text(_entry("Entry('a', 'configs/unet.py', {}, range(7))"))
  runs = sweep.plan(str(tmp_path / "sweep.py"), tmp_path / "runs", ["image_size=64"])
  assert [planned.config.seed for planned in runs] == list(range(7))
  assert {planned.config.image_size for planned in runs} == {64}
  executed = []
  monkeypatch.setattr(sweep, "_execute", lambda planned, stop: executed.append(planned.config.seed) or 0)
  monkeypatch.setattr(sweep, "is_done", lambda planned: planned.config.seed in executed)
  monkeypatch.setattr(sweep, "_result", lambda planned: "")
  for share in (1, 2, 3):
    before = len(executed)
    sweep.run(str(tmp_path / "sweep.py"), str(tmp_path / "runs"), (share, 3), ["image_size=64"])
    assert len(executed) - before in (2, 3)
  assert sorted(executed) == list(range(7))


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--shard=0/3", "is not I/N"),
    ("--shard=4/3", "is not I/N"),
    ("--shard=2", "is not I/N"),
    ("--set=image_size", "is not FIELD=VALUE"),
    ("--config=configs/sweeps", "is no file of Python"),
    ("--set=image_siz=64", "Did you mean"),
  ],
)
def test_a_wrong_argument_ends_with_status_2(argument, message):
  status, _, err = _command("--config=configs/sweeps/table1.py", "--workdir=y", argument)
  assert status == 2
  assert message in " ".join(err.split())
