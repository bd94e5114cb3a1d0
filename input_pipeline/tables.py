"""CSV files: how they are written, and read again."""

import csv
import io
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_csv(lines: Iterable[Iterable[Any]]) -> str:
  """Lines of cells as CSV; a text that a spreadsheet would take for a formula comes after an apostrophe."""
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerows(map(_without_formula, line) for line in lines)
  return text.getvalue()


def read_csv(path: pathlib.Path, needed: Sequence[str] = ()) -> list[dict[str, str]]:
  """The lines of a CSV file in UTF-8 by the names of its columns, in lower case, without empty lines.

  Args:
    path: the file; its first line names the columns.
    needed: columns that it must have.

  Raises:
    OSError: it cannot be read.
    ValueError: it is no CSV file, or lacks a column, or has two of one name.
  """
  try:
    header, *lines = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))) or [[]]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
  names = [name.strip().lower() for name in header]
  if twice := sorted({name for name in names if name and names.count(name) > 1}):
    raise ValueError(f"{path} has several columns {', '.join(twice)}.")
  if missing := [name for name in needed if name not in names]:
    raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}.")
  return [
    {name: _as_it_was(cell) for name, cell in itertools.zip_longest(names, line, fillvalue="") if name}
    for line in lines
    if any(map(str.strip, line))
  ]


def _without_formula(cell: Any) -> Any:
  return f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell


def _as_it_was(cell: str) -> str:
  return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(cell: str) -> bool:
  if not cell.startswith(_FORMULA_STARTS):
    return False
  try:
    float(cell)
  except ValueError:
    return True
  return False  # A number, as "-3".
