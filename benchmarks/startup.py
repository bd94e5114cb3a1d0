"""How long a run takes to start: first without compiled programs, then with those that it has kept.

  python -m benchmarks.startup --config=configs/unet.py --config.dataset.manual_dir=FOLDER

Takes the arguments of main.py, but for --workdir. Of each start it prints the seconds of the imports, and
from there until the device has begun with the first step, and until it has done two (on an accelerator, all
of a dispatch). Where records are not built yet, the first run builds them.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

_ROOT = pathlib.Path(__file__).parent.parent
_REPEATS = 3

# main.py, which ends where it would log its first steps.
_UNTIL_FIRST_STEPS = """
import os, runpy, sys, time
began = time.perf_counter()
from covseg.training import run_log, train
imported, seconds = time.perf_counter(), []
create_take_steps = train.create_take_steps
def create_timed(*arguments):
  take_steps = create_take_steps(*arguments)
  def take_timed(*arguments):
    taken = take_steps(*arguments)
    seconds.append(time.perf_counter() - imported)
    return taken
  return take_timed
def end(self, losses):
  seconds.append(time.perf_counter() - imported)
  print(
    f"imports {imported - began:.1f} s, from there to the first step {seconds[0]:.1f} s, to the end of the "
    f"second {seconds[-1]:.1f} s", flush=True)
  os._exit(0)
train.create_take_steps = create_timed
run_log.RunLog.steps = end
runpy.run_path("main.py", run_name="__main__")
"""


def main() -> None:
  seconds = []
  for _ in range(_REPEATS):
    began = time.perf_counter()
    _run(["main.py", "--help"])
    seconds.append(time.perf_counter() - began)
  print(f"main.py --help: {min(seconds):.2f} s")
  with tempfile.TemporaryDirectory() as folder:
    for i, title in enumerate(("first run", "second run", "third run")):
      command = ["-c", _UNTIL_FIRST_STEPS, *sys.argv[1:], f"--workdir={folder}/{i}"]
      print(f"{title}: {_run(command, XDG_CACHE_HOME=folder)}")


def _run(arguments: list[str], **environment: str) -> str:
  environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **environment}
  command = [sys.executable, *arguments]
  done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
  if not done.stdout:
    raise SystemExit(done.stderr)
  return done.stdout.strip()


if __name__ == "__main__":
  main()
