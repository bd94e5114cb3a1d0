import csv
import io

import pytest

from input_pipeline.tables import read_csv, to_csv


@pytest.mark.parametrize(
  "name", ["=1+1.png", "@a.png", "+b.png", "-c.png", "\td.png", 'e,"f".png', " g.png ", "h\r\ni"]
)
def test_a_name_comes_back_as_it_was(tmp_path, name):
  (tmp_path / "table.csv").write_bytes(to_csv([["id", "n"], [name, 1]]).encode())
  assert read_csv(tmp_path / "table.csv") == [{"id": name, "n": "1"}]


def test_only_what_a_spreadsheet_takes_for_a_formula_has_an_apostrophe():
  cells = ["=A1", "-A1", "-3", "+0.5", "-2e-3", "a=b", -3, 0.25, None]
  (found,) = csv.reader(io.StringIO(to_csv([cells])))
  assert found == ["'=A1", "'-A1", "-3", "+0.5", "-2e-3", "a=b", "-3", "0.25", ""]


def test_a_table_by_hand_is_read(tmp_path):
  content = "\ufeffFile, Severity ,\r\na.png,3\r\n\r\n , ,\r\nb.png,,x\r\n"
  (tmp_path / "table.csv").write_bytes(content.encode())
  assert read_csv(tmp_path / "table.csv", ("file",)) == [
    {"file": "a.png", "severity": "3"},
    {"file": "b.png", "severity": ""},
  ]


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "no column id, split; it has none"),
    (b"id,label\na,b\n", "no column split; it has id, label"),
    (b"id,split,ID\n", "several columns id"),
    (b"id,split\n\xff,train\n", "no CSV file in UTF-8"),
    (b"\x89PNG\r\n\x1a\n", "no CSV file in UTF-8"),
  ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, message):
  (tmp_path / "table.csv").write_bytes(content)
  with pytest.raises(ValueError, match=message):
    read_csv(tmp_path / "table.csv", ("id", "split"))
