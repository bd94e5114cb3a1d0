import pytest

from covseg.evaluation import near_duplicates


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
