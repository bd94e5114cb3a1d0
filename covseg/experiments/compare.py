"""The measured table of several runs: `python -m covseg compare`."""

import pathlib
from collections.abc import Sequence

from covseg.experiments import comparison_figure, comparison_tables
from covseg.experiments.comparison import check_comparable, find_runs, read, table
from covseg.workdir import Workdir, write_whole


def run(folders: Sequence[str], split: str | None, output: str) -> None:
  """Compares runs, prints the table, and writes it and a plot into a folder.

  Args:
    folders: workdirs, or folders that hold some.
    split: where the runs were evaluated; None for test, or validation where one lacks that.
    output: folder of the results.

  Raises:
    ValueError: there is no such run or evaluation, or the runs cannot stand in one table.
  """
  paths = find_runs(folders)
  if split is None:
    have = {
      name: [(Workdir(path).evaluation(name) / "metrics.json").exists() for path in paths]
      for name in ("test", "validation")
    }
    complete = [name for name, of_runs in have.items() if all(of_runs)]
    split = (complete or [name for name, of_runs in have.items() if any(of_runs)] or ["test"])[0]
  runs = [read(path, split) for path in paths]
  check_comparable(runs)
  rows = table(runs)
  about = (
    f"Split {split}: mean per image over {len(runs[0].true_pixels)} films with infection, at threshold "
    f"{runs[0].protocol['threshold']} and {runs[0].protocol['eval.image_size']} px."
  )
  markdown = comparison_tables.markdown(rows, about)
  folder = pathlib.Path(output).expanduser()
  contents = {
    "table.md": markdown,
    "table.csv": comparison_tables.comma_separated(rows),
    "table.tex": comparison_tables.latex(rows, about),
    **comparison_figure.draw(rows, about),
  }
  for name, content in contents.items():
    write_whole(folder / name, content)
  print(f"{markdown}\nAs Markdown, CSV, LaTeX and a plot in {folder}")
