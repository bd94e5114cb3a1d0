import numpy as np
import pytest

from input_pipeline.covid_qu_ex import archive
from tests.conftest import archive_members, png, write_tree, write_zip

ROOT = "Infection Segmentation Data/Infection Segmentation Data"


@pytest.fixture(scope="module")
def members():
  return archive_members({"Train": 3, "Val": 2}, archive.LABELS)


def _member(members, text):
  return next(name for name in members if text in name)


def _read_all(folder):
  opened = archive.Archive(folder)
  for films in opened.films(archive.LABELS).values():
    for film in films:
      opened.read(film)


def test_zip_of_any_name_and_tree_hold_the_same_films(tmp_path, members):
  zipped = archive.Archive(write_zip(tmp_path / "zip" / "any name.ZIP", members).parent)
  tree = archive.Archive(write_tree(tmp_path / "tree", members))
  inner = archive.Archive(tmp_path / "tree" / ROOT)
  for labels in (archive.LABELS, ("COVID-19",)):
    films = zipped.films(labels)
    assert {split: len(f) for split, f in films.items()} == {
      "train": 3 * len(labels),
      "validation": 2 * len(labels),
    }
    assert films == tree.films(labels)
  film, inner_film = tree.films(labels)["train"][0], inner.films(labels)["train"][0]
  assert zipped.read(film) == tree.read(film) == inner.read(inner_film)
  assert zipped.read(film)["image"] == members[film.image]


def test_other_parts_of_the_download_are_passed_over(tmp_path, members):
  film = _member(members, "Val/COVID-19/images")
  others = {
    film.replace("Infection Segmentation Data", "Lung Segmentation Data"): b"lung part",
    f"__MACOSX/{film}".replace("/covid", "/._covid"): b"resource fork",
    f"{ROOT}/Val/COVID-19/images/Thumbs.db": b"",
  }
  opened = archive.Archive(write_zip(tmp_path / "a.zip", {**members, **others}).parent)
  assert {split: len(f) for split, f in opened.films(("COVID-19",)).items()} == {
    "train": 3,
    "validation": 2,
  }


def test_fingerprint_changes_with_the_content_of_its_labels_only(tmp_path, members):
  changed = {**members, _member(members, "Train/Normal/images"): b"other"}
  one = archive.Archive(write_zip(tmp_path / "1" / "a.zip", members).parent)
  two = archive.Archive(write_zip(tmp_path / "2" / "b.zip", changed).parent)
  assert one.fingerprint(("COVID-19",)) == two.fingerprint(("COVID-19",))
  assert one.fingerprint(archive.LABELS) != two.fingerprint(archive.LABELS)


def test_nothing_found_tells_how_to_get_it(tmp_path):
  for folder in (tmp_path, tmp_path / "absent"):
    with pytest.raises(FileNotFoundError, match=r"kaggle.*manual_dir.*quickstart"):
      archive.Archive(folder)


def test_several_zips_are_named(tmp_path, members):
  for name in ("a.zip", "b.zip"):
    write_zip(tmp_path / name, members)
  with pytest.raises(ValueError, match=r"2 zip files \(a.zip, b.zip\)"):
    archive.Archive(tmp_path)


def test_truncated_zip(tmp_path, members):
  path = write_zip(tmp_path / "a.zip", members)
  path.write_bytes(path.read_bytes()[:-500])
  with pytest.raises(ValueError, match=r"a.zip .* is not a complete zip"):
    archive.Archive(tmp_path)


def test_damage_inside_the_zip_names_the_file(tmp_path, members):
  path = write_zip(tmp_path / "a.zip", members)
  content = bytearray(path.read_bytes())
  name = _member(members, "Train/COVID-19/images")
  at = content.index(members[name]) + 100
  content[at] ^= 0xFF
  path.write_bytes(content)
  with pytest.raises(ValueError, match=r"Train/COVID-19/images/.* is damaged"):
    _read_all(tmp_path)


def test_another_zip(tmp_path):
  write_zip(tmp_path / "a.zip", {"cats/1.png": b"", "dogs/1.png": b""})
  with pytest.raises(ValueError, match="is not COVID-QU-Ex: none of its 2 files"):
    archive.Archive(tmp_path)


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\e.png"])
def test_entries_that_point_outside(tmp_path, members, name):
  write_zip(tmp_path / "a.zip", {**members, name: b""})
  with pytest.raises(ValueError, match="points outside"):
    archive.Archive(tmp_path)


@pytest.mark.parametrize("role", ["images", "infection masks", "lung masks"])
def test_film_without_one_of_its_files(tmp_path, members, role):
  gone = _member(members, f"Val/Normal/{role}")
  write_zip(tmp_path / "a.zip", {name: c for name, c in members.items() if name != gone})
  with pytest.raises(ValueError, match=f"Val/Normal/.* but no {role}"):
    archive.Archive(tmp_path).films(archive.LABELS)


GREY = np.zeros((256, 256), np.uint8)


@pytest.mark.parametrize(
  ("role", "content", "message"),
  [
    ("images", b"", r"is empty \(0 bytes\)"),
    ("images", b"\x89PNG\r\n\x1a\n garbage", "cannot be decoded"),
    ("images", png(GREY)[:-30], "cannot be decoded"),
    ("images", png(GREY[:128]), "PNG of 256x128, mode L; expected a 256x256 8-bit grey PNG"),
    ("images", png(np.zeros((256, 256, 3), np.uint8)), "mode RGB; expected"),
    ("lung masks", png(GREY.astype(bool)), "mode 1; expected"),
    ("infection masks", png(np.indices((256, 256))[0].astype(np.uint8)), "has 256 grey levels"),
    ("infection masks", png(GREY + np.eye(256, dtype=np.uint8) + 9), "two, 0 outside and 255"),
  ],
)
def test_bad_files_are_named(tmp_path, members, role, content, message):
  name = _member(members, f"Train/COVID-19/{role}")
  write_zip(tmp_path / "a.zip", {**members, name: content})
  with pytest.raises(ValueError, match=message) as error:
    _read_all(tmp_path)
  assert name in str(error.value)


def test_count_report():
  official = {
    split: dict(zip(archive.LABELS, counts, strict=True)) for split, counts in archive.OFFICIAL_COUNTS.items()
  }
  assert archive.count_report(official, archive.LABELS).endswith("as published")
  without_test = {split: official[split] for split in ("train", "validation")}
  report = archive.count_report(without_test, ("COVID-19",))
  assert "train 1,864" in report
  assert "no test split (official: 583)" in report
  official["train"]["Normal"] = 900
  assert "train 1,864/932/900 (official: 1,864/932/932)" in archive.count_report(official, archive.LABELS)
