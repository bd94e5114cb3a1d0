"""A folder of a user's own films and masks as a dataset."""

import os

import numpy as np
import pytest
from PIL import Image

from configs import default
from covseg.prediction.reading import film_files
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films
from input_pipeline.scaling import resize_mask
from tests.film_makers import dicom, film, picture


@pytest.fixture
def config(tmp_path):
  config = default.get_config().dataset
  config.name, config.data_dir = "folder", str(tmp_path / "records")
  return config


def _mask(i):
  mask = np.zeros((40, 40), np.uint8)
  mask[i : i + 9, 5:20] = 255
  return mask


def _write(folder, splits=("train", "validation"), count=3):
  for split in splits:
    for kind in ("images", "masks"):
      (folder / split / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
      (folder / split / "images" / f"{folder.name}{i}.jpg").write_bytes(picture(film(40), "JPEG", quality=95))
      (folder / split / "masks" / f"{folder.name}{i}.png").write_bytes(picture(_mask(i)))
  return folder


def _load(config, folder, split="train"):
  """The films of a split, in the order of their names."""
  config.manual_dir = str(folder)
  films = load_films(FilmReader(datasets.prepare(config), split, config, 40))
  order = np.argsort(films.ids)
  lung_masks = None if films.lung_masks is None else films.lung_masks[order]
  return Films(films.images[order], films.masks[order], lung_masks, sorted(films.ids), films.labels)


def test_films_and_masks_match_by_stem(config, tmp_path):
  films = _load(config, _write(tmp_path / "a"))
  assert films.ids == ["a0", "a1", "a2"] and films.lung_masks is None
  assert all((mask == (_mask(i) > 0)).all() for i, mask in enumerate(films.masks))
  assert np.abs(films.images[0].astype(int) - film(40)).mean() < 3
  assert set(datasets.prepare(config).info.splits) == {"train", "validation"}  # A split that is not there is not there.


def test_films_without_infection_need_no_mask(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "negatives").mkdir()
  (folder / "train" / "negatives" / "healthy.png").write_bytes(picture(film(40)))
  assert len(_load(config, folder)) == 3
  config.cohort = "all"
  films = _load(config, folder)
  assert films.ids[-1] == "healthy" and not films.masks[-1].any() and len(films) == 4


def test_lung_masks_are_read_where_there_are_some(config, tmp_path):
  folder = _write(tmp_path / "a")
  for split in ("train", "validation"):
    (folder / split / "lung_masks").mkdir()
    for i in range(3):
      (folder / split / "lung_masks" / f"a{i}.png").write_bytes(picture(255 - _mask(i)))
  assert (_load(config, folder).lung_masks[1] == (_mask(1) == 0)).all()


def test_lung_masks_of_one_split_alone_are_an_error(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "lung_masks").mkdir()
  assert _load(config, folder).lung_masks is None
  for i in range(3):
    (folder / "train" / "lung_masks" / f"a{i}.png").write_bytes(picture(255 - _mask(i)))
  with pytest.raises(ValueError, match=r"3 films of validation have no lung mask"):
    _load(config, folder)


def test_another_folder_has_its_own_records(config, tmp_path):
  first, second = _write(tmp_path / "a"), _write(tmp_path / "b")
  assert _load(config, first).ids[0] == "a0"
  assert _load(config, second).ids[0] == "b0"
  (first / "train" / "masks" / "a0.png").write_bytes(picture(_mask(20)))
  assert (_load(config, first).masks[0] == (_mask(20) > 0)).all()  # Changed files are read again.


def test_one_error_counts_and_names_what_does_not_match(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "masks" / "a1.png").unlink()
  (folder / "validation" / "images" / "a2.jpg").unlink()
  (folder / "test" / "images").mkdir(parents=True)
  with pytest.raises(ValueError) as error:
    _load(config, folder)
  for part in (
    "1 films of train/images have no mask (a1)",
    "1 masks of validation/masks have no film (a2)",
    "test has no film",
  ):
    assert part in str(error.value)


def test_a_folder_without_splits_says_what_is_expected(config, tmp_path):
  (tmp_path / "a").mkdir()
  with pytest.raises(FileNotFoundError, match=r"has no split; expected .*images,masks"):
    _load(config, tmp_path / "a")


def test_a_mask_of_another_size_is_scaled_and_it_is_said(config, tmp_path, caplog):
  folder = _write(tmp_path / "a")
  (folder / "train" / "masks" / "a1.png").write_bytes(picture(_mask(1).repeat(2, axis=0).repeat(2, axis=1)))
  with caplog.at_level("WARNING"):
    films = _load(config, folder)
  assert (films.masks[1] == (_mask(1) > 0)).all()
  assert "1 of 3 films (a1)" in caplog.text


def test_records_hold_the_film_that_predict_sees_however_it_is_stored(config, tmp_path):
  pytest.importorskip("pydicom")
  grey = film(40)
  twelve = (grey.astype(np.uint32) * 4095 // 255).astype(np.uint16)
  window = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
  files = {
    "plain.png": picture(grey),
    "twelve.png": picture(twelve),
    "sixteen.png": picture(grey.astype(np.uint16) * 257),
    "film.tiff": picture(twelve, "TIFF"),
    "film100.jpg": picture(grey, "JPEG", quality=100),
    "explicit.dcm": dicom(twelve, **window),
    **{
      f"{syntax}.dcm": dicom(twelve, syntax, **window)
      for syntax in ("RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "ImplicitVRLittleEndian")
    },
  }
  for name, content in files.items():
    for kind, written in (("images", content), ("masks", picture(_mask(1)))):
      path = tmp_path / "a" / "train" / kind / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(written)
  films = _load(config, tmp_path / "a")
  for name, image in zip(films.ids, films.images, strict=True):
    (content,) = [c for file, c in files.items() if file.rpartition(".")[0] == name]
    assert np.array_equal(film_files.decode(content).pixels, image)
    assert np.abs(image.astype(int) - grey).max() <= (3 if name == "film100" else 1)


def test_a_film_that_cannot_be_used_is_named(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "images" / "a1.jpg").write_bytes(picture(np.full((40, 40), np.nan, np.float32), "TIFF"))
  with pytest.raises(ValueError, match=r"a1\.jpg has pixels that are not finite"):
    _load(config, folder)


def test_outlines_that_scaling_nearly_deletes_are_told_of(config, tmp_path, caplog):
  folder = _write(tmp_path / "a")
  mask, outline = np.zeros((2, 400, 400), np.uint8)
  mask[10:100, 50:200] = outline[10:100, 50:200] = 255
  outline[12:98, 52:198] = 0
  for i, drawn in enumerate((mask, outline)):
    (folder / "train" / "images" / f"a{i}.jpg").write_bytes(picture(film(400), "JPEG"))
    (folder / "train" / "masks" / f"a{i}.png").write_bytes(picture(drawn))
  with caplog.at_level("WARNING"):
    films = _load(config, folder)
  assert films.masks[0].sum() == 9 * 15 and films.masks[1].sum() < 20
  assert "1 of 3 films (a1): each has a mask that loses most of its area at 40 x 40 pixels" in caplog.text


def test_links_that_lead_nowhere_are_an_error(config, tmp_path):
  folder = _write(tmp_path / "a")
  for kind in ("images", "masks"):
    (folder / "train" / kind / "a9.png").symlink_to(tmp_path / "unmounted" / "a9.png")
  with pytest.raises(ValueError, match=r"1 links in .*/train/images lead nowhere \(a9.png\)"):
    _load(config, folder)


def test_folders_and_names_that_cannot_be_used_are_told_of(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "images" / "patient1").mkdir()
  (folder / "train" / "images" / "patient1" / "x.png").write_bytes(picture(film(40)))
  (folder / "train" / "masks" / "__MACOSX").mkdir()
  (folder / "train" / "masks" / "__MACOSX" / "._x.png").write_bytes(b"no picture")
  for kind in ("images", "masks"):
    path = os.fsencode(folder / "validation" / kind) + b"/\xff.png"
    with open(path, "wb") as file:
      file.write(picture(film(40) if kind == "images" else _mask(1)))
  with pytest.raises(ValueError) as error:
    _load(config, folder)
  assert "1 folders of pictures in" in str(error.value)
  assert "validation/images are not UTF-8 (\\udcff)" in str(error.value)


def test_a_dicom_file_may_be_named_by_its_number(config, tmp_path):
  pytest.importorskip("pydicom")
  folder = _write(tmp_path / "a", splits=("validation",))
  for name in ("1.2.840.1", "1.2.840.22"):
    for kind, written, suffix in (("images", dicom(film(40)), ""), ("masks", picture(_mask(1)), ".png")):
      path = folder / "train" / kind / f"{name}{suffix}"
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(written)
  assert _load(config, folder).ids == ["1.2.840.1", "1.2.840.22"]


@pytest.mark.parametrize("kind_of_file", ["JPEG", "TIFF"])
@pytest.mark.parametrize(("quarters", "orientation"), [(2, 3), (1, 6), (3, 8)])  # By np.rot90, and in EXIF.
def test_a_mask_without_orientation_is_turned_with_its_film(
  config, tmp_path, caplog, quarters, orientation, kind_of_file
):
  upright, mask = film(40)[:, :30], _mask(3)[:, :30] > 0
  exif = Image.Exif()
  exif[274] = orientation
  stored, drawn = np.rot90(upright, quarters), np.rot90(mask, quarters)
  folder = _write(tmp_path / "a", splits=("validation",))
  for kind, name, content in (
    ("images", "stored.jpg", picture(stored, kind_of_file, quality=100, exif=exif)),
    ("masks", "stored.png", picture(drawn.astype(np.uint8) * 255)),
    ("images", "upright.jpg", picture(stored, kind_of_file, quality=100, exif=exif)),
    ("masks", "upright.png", picture(mask.astype(np.uint8) * 255)),
  ):
    path = folder / "train" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  with caplog.at_level("WARNING"):
    films = _load(config, folder)
  assert "2 of 2 films: each is turned upright as its file says" in caplog.text
  assert np.array_equal(films.masks[0], resize_mask(mask, 40))
  if quarters != 2:  # Else both have one shape, and the mask is taken for that of the film as stored.
    assert np.array_equal(films.masks[1], resize_mask(mask, 40))


def test_hidden_files_are_no_lung_masks(config, tmp_path):
  folder = _write(tmp_path / "a")
  for split in ("train", "old"):
    (folder / split / "lung_masks").mkdir(parents=True)
    (folder / split / "lung_masks" / ".DS_Store").write_bytes(b"")
  for kind in ("images", "masks", "lung_masks"):
    (folder / "train" / kind / "Thumbs.db").write_bytes(b"x")
  (folder / "old" / "lung_masks" / "a0.png").write_bytes(picture(_mask(0)))
  assert _load(config, folder).lung_masks is None


def test_names_match_however_an_umlaut_is_written(config, tmp_path):
  folder = _write(tmp_path / "a")
  (folder / "train" / "images" / "Mu\u0308ller.png").write_bytes(picture(film(40)))
  (folder / "train" / "masks" / "M\u00fcller.png").write_bytes(picture(_mask(1)))
  assert "M\u00fcller" in _load(config, folder).ids


def test_a_file_beside_the_splits_may_have_any_name(config, tmp_path):
  folder = _write(tmp_path / "a")
  with open(os.path.join(os.fsencode(folder), b"notes \xff.txt"), "wb"):
    pass
  assert len(_load(config, folder)) == 3
