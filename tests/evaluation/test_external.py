"""Predictions for films without masks, compared with what is known of the films."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from covseg.evaluation import external
from covseg.prediction.writing.predictions_table import COLUMNS

# file, infected pixels, infected percent, probability, infected, severity; the first folder is one hospital.
FILMS = (
  ("films/a/1.png", 90, 30.0, 0.9, "1", "12"),
  ("films/a/2.png", 0, 0.0, 0.1, "0", "0"),
  ("films/a/3.png", 20, 5.0, 0.4, "0", ""),
  ("films/a/4.png", 20, 5.0, 0.8, "1", "7.5"),
  ("films/a/5.png", 0, 0.0, 0.2, "1", "3"),
  ("films/b/1.png", 70, 25.0, 0.7, "", "3"),
)


def _predictions(folder, **changed):
  folder.mkdir(exist_ok=True)
  with (folder / "predictions.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for name, pixels, percent, probability, *_ in FILMS:
      line = {
        "file": name,
        "status": "done",
        "infected_pixels": pixels,
        "infected_percent_of_lungs": percent,
        "probability_of_infection": probability,
      }
      writer.writerow(line | changed.get(name, {}) if changed else line)
  return folder


def _labels(path, lines):
  path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")  # As a spreadsheet may write it.
  return path


ALL_LABELS = ["file,infected,severity", *(f"{name},{infected},{severity}" for name, *_, infected, severity in FILMS)]


def test_figures_are_those_of_other_libraries(tmp_path, capsys):
  external.run(str(_predictions(tmp_path / "out")), str(_labels(tmp_path / "labels.csv", ALL_LABELS)))
  found = json.loads((tmp_path / "out" / "external.json").read_text())
  assert list(found["sets"]) == ["films/a", "films/b"] and found["failed"] == 0
  a = found["sets"]["films/a"]
  truth, percent, probability = [1, 0, 0, 1, 1], [30, 0, 5, 5, 0], [0.9, 0.1, 0.4, 0.8, 0.2]
  assert a["percent_auc"] == pytest.approx(roc_auc_score(truth, percent))
  assert a["probability_auc"] == pytest.approx(roc_auc_score(truth, probability))
  assert a["severity_correlation"] == pytest.approx(spearmanr([30, 0, 5, 0], [12, 0, 7.5, 3])[0])
  assert (a["films"], a["marked"], a["over_a_tenth"]) == (5, 0.6, 0.2)
  assert (a["sensitivity"], a["specificity"]) == (pytest.approx(2 / 3), 0.5)
  b = found["sets"]["films/b"]
  assert b["sensitivity"] is b["percent_auc"] is b["severity_correlation"] is None
  of_all = found["all"]
  assert of_all["severity_correlation"] == pytest.approx(spearmanr([30, 0, 5, 0, 25], [12, 0, 7.5, 3, 3])[0])
  low, high = of_all["intervals"]["marked"]
  assert low < of_all["marked"] < high
  printed = capsys.readouterr().out
  assert "0.67 (" in printed and "also measure how the sets differ" in printed


def test_one_set_is_compared_without_a_remark(tmp_path, capsys):
  labels = ["file,set,infected", "a/1.png,here,1", "a/4.png,here,1", "b/1.png,here,0"]
  external.run(str(_predictions(tmp_path / "out") / "predictions.csv"), str(_labels(tmp_path / "l.csv", labels)))
  assert "how the sets differ" not in capsys.readouterr().out


def test_films_that_failed_are_counted_apart(tmp_path):
  failed = {"status": "failed", "infected_pixels": "", "infected_percent_of_lungs": "", "probability_of_infection": ""}
  table = _predictions(tmp_path / "out", **{"films/a/2.png": failed}) / "predictions.csv"
  films, num_failed = external.read(table, _labels(tmp_path / "labels.csv", ALL_LABELS))
  assert (len(films.sets), num_failed) == (5, 1)
  table = _predictions(tmp_path / "out", **{name: failed for name, *_ in FILMS}) / "predictions.csv"
  with pytest.raises(ValueError, match="failed for all"):
    external.read(table, tmp_path / "labels.csv")


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    (["name,infected", "1.png,1"], r"labels.csv has no column file; it has name, infected"),
    (["file;infected", "a/1.png;1"], r"has no column file; it has file;infected"),
    (["file,infected"], "has no films"),
    (["file,infected", "a/9.png,1", "a/1.png,1"], r"1 of 2 files .* have no prediction, in .*: a/9.png"),
    (["file,infected", "1.png,1"], r"match several predictions, in .*: 1.png"),
    (["file,infected", "a/1.png,1", "films/a/1.png,0"], "have several labels"),
    (["file,infected", "a/1.png,2"], "infected of a/1.png must be 1, 0 or empty"),
    (["file,class", "a/1.png,1"], "none of the columns set, infected, severity; it has file, class"),
    (["file,infected,Infected", "a/1.png,1,0"], "several columns infected"),
    (["file,infected", ",1"], r"1 of 1 files .* have no prediction, in .*: \(empty\)"),
    ([""], "has no column file; it has none"),
    (["file,infected", "a/1.png,yes"], r"infected of a/1.png is 'yes', which is not a number"),
    (["file,severity", "a/1.png,inf"], "severity of a/1.png is infinite"),
  ],
)
def test_what_is_wrong_with_labels_is_said(tmp_path, lines, message):
  table = _predictions(tmp_path / "out") / "predictions.csv"
  with pytest.raises(ValueError, match=message):
    external.read(table, _labels(tmp_path / "labels.csv", lines))


def test_files_that_are_no_tables_are_named(tmp_path):
  table = _predictions(tmp_path / "out") / "predictions.csv"
  (tmp_path / "labels.csv").write_bytes(b"file\n\xff\xfe\n")
  with pytest.raises(ValueError, match=r"labels.csv is no CSV file in UTF-8"):
    external.read(table, tmp_path / "labels.csv")
  with pytest.raises(ValueError, match=r"labels.csv has no column infected_pixels"):
    external.read(_labels(tmp_path / "labels.csv", ALL_LABELS), table)


def test_a_table_of_another_system_needs_three_columns(tmp_path):
  table = tmp_path / "theirs.csv"
  table.write_text("file,infected_pixels,infected_percent_of_lungs\na/1.png,3,1.5\n")
  films, _ = external.read(table, _labels(tmp_path / "labels.csv", ["file,infected", "1.png,1"]))
  found = external.figures(films)
  assert found["sensitivity"] == 1 and found["probability_auc"] is found["warned"] is None
  assert np.array_equal(films.sets, ["a"])


def test_what_a_system_does_not_predict_is_undefined(tmp_path):
  lines = ["file,infected,severity", "1.png,1,2", "2.png,0,1", "3.png,0,3"]
  labels, table = _labels(tmp_path / "labels.csv", lines), tmp_path / "theirs.csv"
  table.write_text("file,infected_pixels,infected_percent_of_lungs,warnings\n1.png,3,\n2.png,0,,\n3.png,5,,dark\n")
  found = external.figures(external.read(table, labels)[0])
  assert found["percent_auc"] is found["over_a_tenth"] is found["severity_correlation"] is None
  assert (found["specificity"], found["warned"]) == (0.5, pytest.approx(1 / 3))
  table.write_text(table.read_text().replace("1.png,3,", "1.png,3,4"))  # Of a system that finds lungs, on one film.
  assert external.read(table, labels)[0].percent.tolist() == [4, 0, 0]
  table.write_text(table.read_text().replace("2.png,0", "2.png,"))
  with pytest.raises(ValueError, match="infected_pixels of 2.png is empty"):
    external.read(table, labels)


@pytest.mark.parametrize(
  ("name", "label"),
  [("a/1.png", "a/1.png"), ("films/a/1.png", "a/1.png"), ("1.png", "/data/a/1.png"), ("'-1.png", "-1.png")],
)
def test_a_label_may_begin_at_another_folder(tmp_path, name, label):
  table = tmp_path / "predictions.csv"
  table.write_text(f"file,infected_pixels,infected_percent_of_lungs\nanother.png,1,1\n{name},2,2\n")
  films, _ = external.read(table, _labels(tmp_path / "labels.csv", [" File ,INFECTED", f"{label},1", ",", ""]))
  assert films.percent.tolist() == [2]


def test_the_same_path_comes_before_others_with_that_end(tmp_path):
  table = tmp_path / "predictions.csv"
  table.write_text("file,infected_pixels,infected_percent_of_lungs\na/1.png,1,1\n1.png,2,2\n")
  films, _ = external.read(table, _labels(tmp_path / "labels.csv", ["file,infected", "1.png,1"]))
  assert (films.percent.tolist(), films.sets.tolist()) == ([2], ["."])


def test_a_missing_table_of_predictions_says_how_shards_are_joined(tmp_path):
  labels = _labels(tmp_path / "labels.csv", ["file,infected", "1.png,1"])
  with pytest.raises(ValueError, match=r"predictions.csv does not exist. After predict --shard, .* --resume"):
    external.read(tmp_path / "predictions.csv", labels)
