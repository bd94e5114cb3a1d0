"""How long a run takes to start: first without compiled programs, then with those that it has kept.

  python -m benchmarks.startup --config=configs/unet.py --config.dataset.manual_dir=FOLDER

Takes the arguments of main.py, but for --workdir. Of each start it prints the seconds of the imports, and
from there to the end of the second step, or of the first dispatch of an accelerator. Where records are not
built yet, the first run builds them.
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
from covseg import run_log, train
imported = time.perf_counter()
def end(self, losses):
  print(f"imports {imported - began:.1f} s, then {time.perf_counter() - imported:.1f} s", flush=True)
  os._exit(0)
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
