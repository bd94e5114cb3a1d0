"""The folders of the code, and what they import."""

import ast
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# From top to bottom, as the table of docs/how_it_works.md; folders of one row may import each other.
_TABLE = re.findall(r"^\| (`.+`) \|", (ROOT / "docs" / "how_it_works.md").read_text(), re.MULTILINE)
_ROWS = [re.findall(r"`([\w/.*]+)`", row) for row in _TABLE]


def _row(module: str) -> int | None:
  """The row of a module's folder; None of other packages, and of `covseg` itself, which any may ask for its parts."""
  path = module.replace(".", "/")
  for i, names in enumerate(_ROWS):
    if any(path.startswith(name) for name in names if name.endswith("/")) or f"{path}.py" in names:
      return i
  is_shared = (ROOT / f"{path}.py").exists() and path.startswith("covseg/") and "__" not in path
  return next(i for i, names in enumerate(_ROWS) if "covseg/*.py" in names) if is_shared else None


def _imported(source: str) -> list[str]:
  """Modules that a module imports anywhere; of `from a import b` both a and a.b."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
  return found


def test_imports_go_down_the_table_or_stay_in_their_row():
  assert len(_ROWS) == 12
  upwards, seen = [], set()
  for folder in ("covseg", "input_pipeline", "configs"):
    for file in (ROOT / folder).rglob("*.py"):
      module = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
      row = _row(module)
      for name in _imported(file.read_text()) if row is not None else ():
        imported = _row(name)
        seen.add((row, imported))
        if imported is not None and imported < row:
          upwards.append(f"{module} imports {name}")
  assert not upwards
  assert len(seen) > 30  # The table has been understood.


@pytest.mark.parametrize(
  ("module", "without"),
  [
    ("covseg", ("jax", "numpy", "PIL")),
    ("covseg.prediction.predict", ("tensorflow_datasets", "matplotlib")),
    ("covseg.training.train", ("tensorflow", "torch")),
  ],
)
def test_what_takes_long_to_import_is_left_to_those_who_need_it(module, without):
  code = f"import sys, {module}; print(*{set(without)!r} & set(sys.modules))"
  done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
  assert not done.stdout.strip()
