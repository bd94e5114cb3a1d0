"""A system in a process of its own, asked a line at a time, so that several can take turns."""

import contextlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any


class Process:
  """Runs `python -m module arguments`, which calls `answer` once at its start and once for each line it is told.

  Its first answer is `start`. Raises RuntimeError where it ends early.
  """

  def __init__(self, module: str, arguments: Sequence[str], **environment: str):
    self._module = module
    self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
    self._process = subprocess.Popen(
      [sys.executable, "-m", module, *arguments],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      env={**os.environ, **environment},
    )
    self.start = self._answer()

  def ask(self, what: str) -> dict[str, Any]:
    """What it answers to a line."""
    with contextlib.suppress(BrokenPipeError):  # Then it has ended, and answers nothing.
      print(what, file=self._process.stdin, flush=True)
    return self._answer()

  def close(self) -> None:
    """Lets it end, and waits for it."""
    with contextlib.suppress(BrokenPipeError):
      self._process.communicate()

  def _answer(self) -> dict[str, Any]:
    for line in self._process.stdout:
      if line.startswith("{"):
        return json.loads(line)
    self._process.wait()
    self._errors.seek(0)
    raise RuntimeError(f"{self._module} ended early:\n{self._errors.read()[-2000:]}")


def answer(**values: Any) -> None:
  """Sends values to the process that asked."""
  print(json.dumps(values), file=sys.__stdout__, flush=True)


def processor() -> str:
  """Name of this machine's processor."""
  cpuinfo = pathlib.Path("/proc/cpuinfo")
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
  return models[0] if models else platform.machine()
