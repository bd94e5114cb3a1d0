import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from configs import default
from input_pipeline import datasets
from input_pipeline.covid_qu_ex import archive
from input_pipeline.covid_qu_ex.covid_qu_ex_dataset_builder import Builder
from input_pipeline.cxr_phantom import cxr_phantom_dataset_builder
from input_pipeline.films import FilmReader, load_films
from tests.conftest import archive_members, write_tree, write_zip


@pytest.fixture
def config(tmp_path):
  config = default.get_config().dataset
  config.data_dir = str(tmp_path / "tfds")
  config.manual_dir = str(tmp_path / "manual")
  return config


def _load(builder, split):
  return load_films(FilmReader(builder, split, default.get_config().dataset, 256))


def _num_films(builder):
  return {split: info.num_examples for split, info in builder.info.splits.items()}


def test_builds_the_splits_that_the_archive_holds(config, tmp_path, caplog):
  members = archive_members({"Train": 3, "Val": 2}, archive.LABELS)
  write_zip(tmp_path / "manual" / "a.zip", members)
  with caplog.at_level("INFO", logger="input_pipeline"):
    builder = datasets.prepare(config)
  assert _num_films(builder) == {"train": 3, "validation": 2}
  assert "train 3 (official: 1,864)" in caplog.text
  assert "no test split (official: 583)" in caplog.text
  config.cohort = "all"
  films = _load(datasets.prepare(config), "validation")
  assert sorted(films.labels) == sorted(2 * list(archive.LABELS))
  for film_id, label, mask in zip(films.ids, films.labels, films.masks, strict=True):
    (name,) = [m for m in members if f"Val/{label}/infection masks/{film_id}.png" in m]
    with Image.open(io.BytesIO(members[name])) as image:
      assert (mask == (np.asarray(image) > 0)).all()


def test_records_are_reused_until_the_archive_changes(config, tmp_path, caplog):
  members = archive_members({"Train": 2, "Val": 1})
  write_zip(tmp_path / "manual" / "a.zip", members)
  first = datasets.prepare(config)
  built_at = (pathlib.Path(first.data_path) / "features.json").stat().st_mtime_ns
  again = datasets.prepare(config)
  assert (pathlib.Path(again.data_path) / "features.json").stat().st_mtime_ns == built_at
  (tmp_path / "manual" / "a.zip").unlink()
  write_zip(tmp_path / "manual" / "b.zip", archive_members({"Train": 3, "Val": 1, "Test": 1}))
  rebuilt = datasets.prepare(config)
  assert _num_films(rebuilt) == {"train": 3, "validation": 1, "test": 1}
  assert "is not what it was made from" in caplog.text


def test_a_partial_build_is_noticed(config, tmp_path, caplog):
  write_tree(tmp_path / "manual", archive_members({"Train": 3, "Val": 2}))
  builder = Builder(data_dir=config.data_dir, config="covid")
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=config.manual_dir, max_examples_per_split=1),
    file_format="array_record",
  )
  assert _num_films(builder) == {"train": 1, "validation": 1}
  manual_dir, config.manual_dir = config.manual_dir, str(tmp_path / "absent")
  with pytest.raises(FileNotFoundError, match="absent"):
    datasets.prepare(config)
  assert builder.data_path.exists()  # Nothing is deleted that cannot be built again.
  config.manual_dir = manual_dir
  assert _num_films(datasets.prepare(config)) == {"train": 3, "validation": 2}
  assert "it is partial, 1 of 3 train films" in caplog.text


def test_records_outlive_their_archive_unless_one_is_asked_for(config, tmp_path):
  default_folder = tmp_path / "tfds" / "downloads" / "manual"
  config.manual_dir = ""
  path = write_zip(default_folder / "a.zip", archive_members({"Train": 2, "Val": 1}))
  datasets.prepare(config)
  for remove in (path.unlink, default_folder.rmdir):  # The archive, then its empty folder.
    remove()
    assert _num_films(datasets.prepare(config)) == {"train": 2, "validation": 1}
  config.manual_dir = str(tmp_path / "elsewhere")
  with pytest.raises(FileNotFoundError, match="elsewhere"):
    datasets.prepare(config)


def test_a_failed_build_leaves_nothing_to_trust(config, tmp_path):
  members = archive_members({"Train": 3, "Val": 2})
  name = sorted(n for n in members if "Val/COVID-19/lung masks" in n)[-1]
  write_zip(tmp_path / "manual" / "a.zip", {**members, name: b""})
  for _ in range(2):
    with pytest.raises(ValueError, match="is empty"):
      datasets.prepare(config)
  (tmp_path / "manual" / "a.zip").unlink()
  write_zip(tmp_path / "manual" / "a.zip", members)
  assert _num_films(datasets.prepare(config)) == {"train": 3, "validation": 2}


def test_what_a_killed_build_left_is_deleted_by_the_next(config, tmp_path):
  write_tree(tmp_path / "manual", archive_members({"Train": 3, "Val": 2}))
  killed = tfds.core.utils.incomplete_dir(Builder(data_dir=config.data_dir, config="covid").data_path)
  left = pathlib.Path(killed.__enter__())
  assert left.is_dir()
  assert _num_films(datasets.prepare(config)) == {"train": 3, "validation": 2}
  assert not left.exists()


def test_damaged_records_are_named(config, tmp_path):
  write_zip(tmp_path / "manual" / "a.zip", archive_members({"Train": 2, "Val": 1}))
  builder = datasets.prepare(config)
  (records,) = builder.data_path.glob("*train*")
  records.write_bytes(records.read_bytes()[:-1000])
  with pytest.raises(ValueError, match=r"records .* are damaged.*[Dd]elete"):
    _load(datasets.prepare(config), "train")


def test_phantom_has_infected_and_healthy_films(config, monkeypatch):
  counts = {"train": 6, "validation": 3, "test": 3}
  monkeypatch.setattr(cxr_phantom_dataset_builder, "_NUM_INFECTED", counts)
  config.name, config.cohort = "cxr_phantom", "all"
  builder = datasets.prepare(config)
  assert _num_films(builder) == {"train": 8, "validation": 4, "test": 4}
  films = _load(builder, "train")
  assert [bool(mask.any()) for mask in films.masks] == [x == "COVID-19" for x in films.labels]
  assert films.labels.count("Normal") == 2


def test_a_film_whose_class_is_not_known_has_none(config, monkeypatch):
  config.name = "tests.tiny_films"
  reader = FilmReader(datasets.prepare(config), "train", config, 32)
  example = reader._example
  monkeypatch.setattr(reader, "_example", lambda i: {**example(i), "label": -1})  # As TFDS stores it.
  assert reader[0].label == ""


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("name", "covid_quex", "covid_qu_ex, cxr_phantom, folder, or the name of a Python module"),
    ("cohort", "covid19", "covid_qu_ex has covid, covid_normal, all"),
  ],
)
def test_unknown_names_list_the_choices(config, field, value, message):
  config[field] = value
  with pytest.raises(ValueError, match=message):
    datasets.prepare(config)


def test_a_module_that_lacks_a_package_is_not_called_unknown(config, tmp_path, monkeypatch):
  (tmp_path / "absent_films.py").write_text("import absent")
  monkeypatch.syspath_prepend(tmp_path)
  config.name = "absent_films"
  with pytest.raises(ModuleNotFoundError, match="No module named 'absent'"):
    datasets.prepare(config)


def test_unknown_features_list_the_choices(config):
  config.name = "tests.tiny_films"
  config.mask_key = "mask"
  builder = datasets.prepare(config)
  with pytest.raises(ValueError, match=r"dataset.mask_key='mask'.*image, infection_mask"):
    FilmReader(builder, "train", config, 64)


def test_real_records_hold_the_files_of_the_archive(config, real_data):
  config.cohort, config.manual_dir = "all", str(real_data)
  builder = datasets.prepare(config)
  opened = archive.Archive(real_data)
  listed = opened.films(archive.LABELS)
  assert {"train": 3728, "validation": 932}.items() <= _num_films(builder).items()
  keys = ("image", "infection_mask", "lung_mask")
  for split, films in listed.items():
    film_of = {film.id: film for film in films}
    decoded = builder.as_data_source(split)
    encoded = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding() for key in keys})
    for i, example in enumerate(encoded):
      film = film_of.pop(example["id"].decode())
      assert builder.info.features["label"].int2str(example["label"]) == film.label
      for key in keys:
        assert example[key] == opened._zip.read(getattr(film, key))
        if i % 50 == 0:
          assert (decoded[i][key][..., 0] == _pixels(opened, getattr(film, key))).all()
    assert not film_of
  assert all(
    film.label == "COVID-19" or not _pixels(opened, film.infection_mask).any() for film in listed["validation"]
  )


def _pixels(opened, member):
  with opened._zip.open(member) as file, Image.open(file) as image:
    return np.asarray(image)


@pytest.mark.parametrize("place", ["named", "manual", "kagglehub"])
def test_the_archive_is_found_in_each_of_its_places(config, tmp_path, monkeypatch, place):
  members = archive_members({"Train": 2, "Val": 1})
  cache = tmp_path / "cache"
  monkeypatch.setenv("KAGGLEHUB_CACHE", str(cache))
  versions = cache / "datasets" / "anasmohammedtahir" / "covidqu" / "versions"
  for version, count in (("9", 4), ("10", 2)):  # The newest is not the last by name.
    if place == "kagglehub":
      write_tree(versions / version, archive_members({"Train": count, "Val": 1}))
  folders = {"named": tmp_path / "manual", "manual": tmp_path / "tfds" / "downloads" / "manual"}
  if place != "kagglehub":
    write_zip(folders[place] / "archive.zip", members)
    (folders[place] / "._archive.zip").write_bytes(b"what macOS leaves beside it")
  if place != "named":
    config.manual_dir = ""
  assert _num_films(datasets.prepare(config)) == {"train": 2, "validation": 1}


def test_records_of_a_users_own_builder_are_those_of_the_folder_at_hand(config, tmp_path, monkeypatch, caplog):
  (tmp_path / "own_films.py").write_text("""
import tensorflow_datasets as tfds

class OwnFilms(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = "none"
  def _info(self):
    features = {"image": tfds.features.Image(shape=(None, None, 1)), "id": tfds.features.Text()}
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))
  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples(dl_manager.manual_dir)}
  def _generate_examples(self, folder):
    for file in folder.glob("*.png"):
      yield file.stem, {"image": file, "id": file.stem}
""")
  monkeypatch.syspath_prepend(tmp_path)
  config.name, config.image_key, config.mask_key = "own_films", "image", "image"
  for name in ("a", "b"):
    (tmp_path / name).mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / name / f"{name}1.png")

  def ids(name):
    config.manual_dir = str(tmp_path / name)
    return load_films(FilmReader(datasets.prepare(config), "train", config, 8)).ids

  assert (ids("a"), ids("b"), ids("a")) == (["a1"], ["b1"], ["a1"])
  with pytest.raises(FileNotFoundError, match="dataset.manual_dir=.*absent is no folder"):
    ids("absent")
  write_tree(tmp_path / "empty", {"notes.txt": b"no film"})
  with pytest.raises(Exception, match="examples"):
    ids("empty")
  (made_from,) = (tmp_path / "tfds").rglob("made_from.json")
  built_at = made_from.stat().st_mtime_ns
  assert ids("a") == ["a1"] and made_from.stat().st_mtime_ns == built_at  # Neither mistake has lost the records.
  Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a" / "a2.png")
  assert sorted(ids("a")) == ["a1", "a2"]
  assert "it was made from" in caplog.text and "have changed" in caplog.text
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "a" / "linked").symlink_to(tmp_path / "elsewhere")
  for name in ("a", "elsewhere"):  # Links that lead round and round.
    for i in range(3):
      (tmp_path / name / f"round{i}").symlink_to(tmp_path / "a")
  (tmp_path / "elsewhere" / "new.txt").write_text("as a mask that was changed")
  caplog.clear()
  assert sorted(ids("a")) == ["a1", "a2"] and "have changed" in caplog.text
  config.manual_dir = ""
  (made_from,) = (tmp_path / "tfds").rglob("made_from.json")
  made_from.unlink()  # As of records that TFDS's own command wrote.
  assert sorted(load_films(FilmReader(datasets.prepare(config), "train", config, 8)).ids) == ["a1", "a2"]
