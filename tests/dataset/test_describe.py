import csv
import types

import numpy as np
import pytest

from configs import default
from covseg.dataset import dataset_figures, describe
from covseg.dataset.duplicates import Pair
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films
from tests.conftest import archive_members, write_zip

_FOLDER = "Infection Segmentation Data/Infection Segmentation Data"


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  """Fields of an archive in which the second validation film repeats the third training film."""
  folder = tmp_path_factory.mktemp("archive")
  members = archive_members({"Train": 6, "Val": 3})
  source, copy = f"{_FOLDER}/Train/COVID-19", f"{_FOLDER}/Val/COVID-19"
  for kind in ("images", "infection masks", "lung masks"):
    members[f"{copy}/{kind}/covid_19 (11).png"] = members[f"{source}/{kind}/covid_19 (02).png"]
  # The lungs of another film, in which the infection of the first does not lie.
  members[f"{source}/lung masks/covid_19 (00).png"] = members[f"{source}/lung masks/covid_19 (03).png"]
  write_zip(folder / "archive.zip", members)
  return {"manual_dir": str(folder), "data_dir": str(folder / "tfds"), "cohort": "all"}


@pytest.fixture(scope="module")
def report(dataset, tmp_path_factory):
  folder = tmp_path_factory.mktemp("report")
  describe.run(dataset, str(folder))
  return folder


def test_it_writes_statistics_findings_duplicates_and_figures(report):
  rows = [(row["split"], row["label"], row["films"]) for row in _rows(report / "statistics.csv")]
  assert rows == [("train", "COVID-19", "6"), ("validation", "COVID-19", "3")]
  (finding,) = _rows(report / "findings.csv")
  assert (finding["id"], finding["finding"]) == ("covid_19 (00)", "infected pixels outside the lungs")
  (pair,) = _rows(report / "duplicates.csv")
  assert pair == {
    "id": "covid_19 (11)",
    "split": "validation",
    "duplicate_id": "covid_19 (02)",
    "duplicate_split": "train",
    "correlation": "1.0000",
    "shift_x": "0",
    "shift_y": "0",
    "scale": "1.000",
    "mirrored": "0",
    "mask_iou": "1.0000",
    "kind": "exact",
  }
  for name in ("figure_1", "figure_2"):
    assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (report / f"{name}.svg").read_bytes()
  assert (report / "duplicates.png").exists()


def test_its_list_of_duplicates_leaves_films_out_of_training(report, dataset, caplog):
  config = default.get_config().dataset
  config.update(dataset)
  builder = datasets.prepare(config)
  everything = load_films(FilmReader(builder, "train", config, 64))
  config.exclude = str(report / "duplicates.csv")
  with caplog.at_level("INFO"):
    left = load_films(FilmReader(builder, "train", config, 64))
  assert "1 of 6 training films are left out" in caplog.text
  assert left.ids == [film_id for film_id in everything.ids if film_id != "covid_19 (02)"]
  kept = [everything.ids.index(film_id) for film_id in left.ids]
  assert (left.images == everything.images[kept]).all()
  assert len(FilmReader(builder, "validation", config, 64)) == 3


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("id,split\nabsent,train\n", "leaves 6 of 6"),
    ("film\nx\n", "dataset.exclude: .*list.csv has no column id, split; it has film"),
    ("", "has no column id, split; it has none"),
  ],
)
def test_a_list_that_cannot_be_meant_is_refused(dataset, tmp_path, text, expected):
  config = default.get_config().dataset
  config.update({**dataset, "exclude": str(tmp_path / "list.csv")})
  (tmp_path / "list.csv").write_text(text)
  builder = datasets.prepare(config)
  with pytest.raises(ValueError, match=expected):
    FilmReader(builder, "train", config, 64)
  (tmp_path / "list.csv").unlink()
  with pytest.raises(FileNotFoundError, match="dataset.exclude=.*list.csv does not exist"):
    FilmReader(builder, "train", config, 64)


def test_of_copies_within_training_the_first_stays(dataset, tmp_path):
  config = default.get_config().dataset
  config.update({**dataset, "exclude": str(tmp_path / "list.csv")})
  (tmp_path / "list.csv").write_text(
    "id,split,duplicate_id,duplicate_split\n"
    "covid_19 (05),train,covid_19 (01),train\n"
    "covid_19 (12),validation,covid_19 (03),train\n"
    "covid_19 (12),validation,covid_19 (10),validation\n"
  )
  ids = load_films(FilmReader(datasets.prepare(config), "train", config, 64)).ids
  assert sorted(ids) == [f"covid_19 (0{i})" for i in (0, 1, 2, 4)]


def test_statistics_and_mask_levels_by_hand():
  images = np.stack([np.full((4, 4), level, np.uint8) for level in (10, 30)])
  masks, lungs = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
  # 3 of 16 pixels, 2 of them half of the lungs.
  masks[0, 0, :2], masks[0, 3, 3], lungs[0, 0] = True, True, True
  films = Films(images, masks, lungs, ["a", "b"], ["x", "x"])
  (row,) = describe.describe("train", films)
  assert (row["films"], row["films_with_infection"]) == (2, 1)
  assert row["mean_infected_percent"] == row["infected_percent_quantile_50"] == 18.75
  assert row["mean_infected_percent_of_lung"] == 50
  assert (row["grey_mean"], row["grey_standard_deviation"]) == (20, 10)
  (healthy,) = describe.describe("train", Films(images, lungs & False, lungs, ["a", "b"], ["x", "x"]))
  assert (healthy["films_with_infection"], healthy["mean_infected_percent"]) == (0, None)
  assert (row["grey_quantile_25"], row["grey_quantile_75"]) == (10, 30)

  levels = {0: [0, 255], 1: [0, 7, 255]}
  reader = types.SimpleNamespace(mask_levels=levels.__getitem__)
  outside, levels = describe.audit(reader, films)
  assert (outside["id"], outside["value"]) == ("a", 1)
  assert (levels["id"], levels["value"]) == ("b", "0 7 255")


def test_a_dataset_without_classes_ids_and_lungs(tmp_path):
  fields = {"name": "tests.tiny_films", "data_dir": str(tmp_path / "tfds")}
  describe.run(fields, str(tmp_path / "report"))
  splits = [row["split"] for row in _rows(tmp_path / "report" / "statistics.csv")]
  assert splits == ["train", "validation", "test"]
  assert _rows(tmp_path / "report" / "duplicates.csv") == []


def test_the_sheet_of_very_many_pairs_stays_small():
  films = Films(np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), bool), None, ["a", "b"], ["", ""])
  pair = Pair(first=1, second=0, correlation=1.0, shift_x=0, shift_y=0, scale=1, mirrored=False, is_exact=True)
  sheets = [dataset_figures.contact_sheet(films, ["train", "train"], [pair] * n) for n in (600, 50_000)]
  assert sheets[0] == sheets[1]
