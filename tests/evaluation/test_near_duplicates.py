import types

import pytest

from configs import default
from covseg.evaluation import near_duplicates
from input_pipeline import datasets
from input_pipeline.films import FilmReader


def test_a_pair_with_a_training_film_counts_in_either_order_and_others_do_not(tmp_path):
  file = tmp_path / "duplicates.csv"
  file.write_text(
    "id,split,duplicate_id,duplicate_split,correlation\n"
    "a,validation,x,train,0.97\n"
    "y,train,b,validation,0.98\n"
    "c,validation,d,validation,0.99\n"  # Within the split.
    "e,test,x,train,0.97\n"  # Of another split; a film of validation has the same name.
    "x,train,y,train,0.97\n"
  )
  found = near_duplicates.read(file, list("abcdex"), "validation")
  assert found.tolist() == [True, True, False, False, False, False]


def test_a_list_without_pairs_names_nothing(tmp_path):
  file = tmp_path / "duplicates.csv"
  file.write_text("id,split,duplicate_id,duplicate_split\n")
  assert not near_duplicates.read(file, ["a"], "validation").any()


def test_a_file_of_other_columns_is_refused(tmp_path):
  (tmp_path / "empty.csv").write_text("")
  with pytest.raises(ValueError, match="no column id, split"):
    near_duplicates.read(tmp_path / "empty.csv", ["a"], "validation")


def test_the_list_of_covid_qu_ex_ships(real_data, tmp_path):
  config = default.get_config().dataset
  config.update({"manual_dir": str(real_data), "data_dir": str(tmp_path), "exclude": "covid_qu_ex"})
  builder = datasets.prepare(config)
  validation = FilmReader(builder, "validation", config, 256)
  ids = [validation[i].id for i in range(len(validation))]
  assert near_duplicates.read(builder, ids, "validation").sum() == 41
  assert near_duplicates.read(builder, ids, "train") is None
  # 92 training films have a copy in another split, and some a later one in their own.
  assert 1864 - 92 - 123 <= len(FilmReader(builder, "train", config, 256)) < 1864 - 92


def test_other_datasets_have_no_list():
  assert near_duplicates.read(types.SimpleNamespace(name="folder"), ["a"], "test") is None
