import json
import subprocess
import sys

import pytest

from covseg import evaluation_command
from tests.conftest import ROOT

_NO_CHANGE = {"cohort": None, "manual_dir": None, "data_dir": None}


def _metrics(folder):
  return json.loads((folder / "metrics.json").read_text())


def test_evaluates_the_best_checkpoint_as_training_did(whole_run, tmp_path):
  after_training = _metrics(whole_run / "evaluation" / "test")
  evaluation_command.run(str(whole_run), "test", _NO_CHANGE, str(tmp_path / "out"))
  assert _metrics(tmp_path / "out") == after_training
  evaluation_command.run(str(whole_run), "validation", _NO_CHANGE, None)  # Into the workdir.
  lines = [json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines()]
  best = max(line["val_dice"] for line in lines)
  assert _metrics(whole_run / "evaluation" / "validation")["per_image"]["dice"] == pytest.approx(best)


def test_what_is_not_there_is_named(whole_run, tmp_path):
  with pytest.raises(ValueError, match=r"--split=tset: .* has train, validation, test"):
    evaluation_command.run(str(whole_run), "tset", _NO_CHANGE, None)
  with pytest.raises(FileNotFoundError, match="no such folder or file"):
    evaluation_command.run(str(tmp_path / "absent"), "test", _NO_CHANGE, None)
  assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
  ("arguments", "status", "expected"),
  [
    (["--help"], 0, "evaluate"),
    (["evaluate", "--help"], 0, "Example: python -m covseg evaluate"),
    (["evaluate"], 2, "--model"),
    (["evalute", "--model=x"], 2, "evaluate"),
    (["evaluate", "--model=/absent"], 1, "no such folder or file"),
  ],
)
def test_command_line(arguments, status, expected):
  command = [sys.executable, "-m", "covseg", *arguments]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == status
  assert expected in done.stdout + done.stderr
  assert "Traceback" not in done.stderr
