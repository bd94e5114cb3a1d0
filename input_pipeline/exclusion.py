"""Training films that are left out, by a list as `python -m covseg dataset` writes it."""

import csv
import pathlib


def excluded_training_ids(path: str) -> set[str]:
  """Ids of the training films that a list of duplicates leaves out.

  These are all that have a copy in another split, and of copies within training all but the first.

  Args:
    path: a CSV file with the columns id and split, and of a pair duplicate_id and duplicate_split, too.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it lacks a column.
  """
  ids, list_of_duplicates = set(), pathlib.Path(path).expanduser()
  if not list_of_duplicates.exists():
    raise FileNotFoundError(
      f"dataset.exclude={path} does not exist. `python -m covseg dataset` writes such a list, duplicates.csv."
    )
  with list_of_duplicates.open(newline="", encoding="utf-8-sig") as file:
    rows = csv.DictReader(file)
    missing = {"id", "split"} - set(rows.fieldnames or ())
    if missing:
      raise ValueError(
        f"dataset.exclude={path} has the columns {', '.join(rows.fieldnames or ['(none)'])}; expected id and "
        "split, and for pairs duplicate_id and duplicate_split, as in the duplicates.csv of "
        "`python -m covseg dataset`."
      )
    for row in rows:
      if row["split"] == "train":
        ids.add(row["id"])
      elif row.get("duplicate_split") == "train":
        ids.add(row["duplicate_id"])
  return ids
