"""Locks between processes."""

import subprocess
import sys

import pytest

from input_pipeline.locking import only_process
from tests.conftest import ROOT

_HOLD = """
import pathlib, sys
from input_pipeline.locking import only_process
with only_process(pathlib.Path(sys.argv[1]), "it"):
  print("held", flush=True)
  sys.stdin.read()
"""


def test_the_error_names_the_other_process_and_a_killed_one_does_not_bind(tmp_path):
  lock = tmp_path / "folder" / ".lock"
  command = [sys.executable, "-c", _HOLD, str(lock)]
  other = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
  try:
    assert other.stdout.readline() == "held\n"
    with (
      pytest.raises(ValueError, match=f"The workdir is in use by process {other.pid} on"),
      only_process(lock, "The workdir"),
    ):
      pass
  finally:
    other.kill()
    other.wait()
  with only_process(lock, "The workdir"):
    pass
