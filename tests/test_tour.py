"""The notebook runs as it stands, and holds outputs."""

import json
import os
import subprocess
import sys

from tests.conftest import ROOT

_CELLS = json.loads((ROOT / "docs" / "tour.ipynb").read_text())["cells"]
_CODE = [cell for cell in _CELLS if cell["cell_type"] == "code"]


def test_the_notebook_runs_and_ends_with_its_figures(tmp_path):
  script = tmp_path / "tour.py"
  script.write_text("\n".join("".join(cell["source"]) for cell in _CODE))
  cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
  environment = {
    **os.environ,
    "HOME": str(tmp_path),
    "XDG_CACHE_HOME": cache,
    "MPLBACKEND": "Agg",
    "PYTHONPATH": str(ROOT),
  }
  done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  (shown,) = [line for line in "".join(_CODE[-1]["outputs"][-1]["text"]).splitlines() if line.startswith("tour  ")]
  (found,) = [line for line in done.stdout.splitlines() if line.startswith("tour  ")]
  number = lambda line: float(line.split("Dice ")[1].split(",")[0])  # noqa: E731
  assert abs(number(found) - number(shown)) < 0.1  # Processors round differently, and training grows it.


def test_every_cell_of_the_notebook_has_been_run():
  assert [cell["execution_count"] for cell in _CODE] == list(range(1, len(_CODE) + 1))
  assert all(cell["outputs"] for cell in _CODE)
