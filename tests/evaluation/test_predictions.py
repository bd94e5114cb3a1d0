import dataclasses

import numpy as np
import pytest
from PIL import Image

from covseg.evaluation.predictions import read_folder
from input_pipeline.films import Films

_IDS = ["covid_1", "Normal (2)", "covid_3"]


@pytest.fixture
def films():
  masks = np.zeros((3, 8, 8), bool)
  masks[0, 2:5, 2:5] = masks[2, :, 4:] = True
  return Films(np.zeros((3, 8, 8), np.uint8), masks, None, _IDS, ["COVID-19", "Normal", "COVID-19"])


def _write(folder, images):
  folder.mkdir(exist_ok=True)
  for name, image in images.items():
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(folder / f"{name}.png")
  return folder


@pytest.mark.parametrize(
  "as_image",
  [
    lambda mask: mask,  # 1 bit.
    lambda mask: mask.astype(np.uint8),
    lambda mask: 255 * mask.astype(np.uint8),
    lambda mask: 65535 * mask.astype(np.uint16),
    lambda mask: Image.fromarray(255 * mask.astype(np.uint8)).convert("RGB"),
    lambda mask: Image.fromarray(255 * mask.astype(np.uint8)).convert("LA"),
  ],
)
def test_a_mask_may_be_written_in_any_common_way(films, tmp_path, as_image):
  _write(tmp_path / "p", dict(zip(_IDS, map(as_image, films.masks), strict=True)))
  found = read_folder(tmp_path / "p", films, None)
  assert (found.masks == films.masks).all()
  assert found.probabilities is None


def test_masks_of_another_size_are_scaled_with_a_count(films, tmp_path, caplog):
  large = {name: mask.repeat(3, axis=0).repeat(2, axis=1) for name, mask in zip(_IDS, films.masks, strict=True)}
  found = read_folder(_write(tmp_path / "p", large), films, None)
  assert (found.masks == films.masks).all()
  assert "3 of 3 files (covid_1.png, Normal (2).png, covid_3.png)" in caplog.text
  assert "not of 8x8 pixels" in caplog.text


def test_names_match_however_their_umlauts_are_written(films, tmp_path):
  films = dataclasses.replace(films, ids=["größe", *_IDS[1:]])
  folder = _write(tmp_path / "p", dict(zip(["gro\u0308ße", *_IDS[1:]], films.masks, strict=True)))
  assert (read_folder(folder, films, None).masks == films.masks).all()


def test_missing_predictions_are_counted_and_named(films, tmp_path):
  folder = _write(tmp_path / "p", {"covid_1": films.masks[0]})
  with pytest.raises(ValueError, match=r"2 of 3 films \(Normal \(2\).png, covid_3.png\) have no prediction"):
    read_folder(folder, films, None)


def test_other_names_are_answered_with_what_was_found_and_expected(films, tmp_path):
  folder = _write(tmp_path / "p", {f"case_{i}": mask for i, mask in enumerate(films.masks)})
  with pytest.raises(ValueError, match=r"3 of 3 films \(covid_1.png.* has 3 pictures such as case_0.png"):
    read_folder(folder, films, None)
  with pytest.raises(ValueError, match="no picture; each film needs one, named like covid_1.png"):
    read_folder(_write(tmp_path / "empty", {}), films, None)
  with pytest.raises(ValueError, match="is no folder"):
    read_folder(tmp_path / "absent", films, None)


def test_files_of_no_film_are_left_alone_with_a_count(films, tmp_path, caplog):
  folder = _write(tmp_path / "p", dict(zip([*_IDS, "mean"], films.masks[[0, 1, 2, 2]], strict=True)))
  assert (read_folder(folder, films, None).masks == films.masks).all()
  assert "1 of 4 files (mean.png)" in caplog.text


@pytest.mark.parametrize("scale", [255, 65535])
def test_probabilities_are_refused_until_a_threshold_is_named(films, tmp_path, scale, caplog):
  grey = np.linspace(0, scale, 64).reshape(8, 8).astype(np.uint8 if scale == 255 else np.uint16)
  images = dict(zip(_IDS, [grey, 0 * grey, grey], strict=True))
  folder = _write(tmp_path / "p", images)
  with pytest.raises(ValueError, match=r"2 of 3 files \(covid_1.png, covid_3.png\).*--threshold=0.5"):
    read_folder(folder, films, None)
  found = read_folder(folder, films, 0.5)
  assert (found.masks[0] == (grey > scale / 2)).all()
  assert found.probabilities[0] == pytest.approx(grey / scale, abs=1e-3)
  assert "hold probabilities" in caplog.text


def test_labels_are_no_masks(films, tmp_path):
  classes = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
  folder = _write(tmp_path / "p", dict(zip(_IDS, [classes] * 3, strict=True)))
  with pytest.raises(ValueError, match="hold other values than the two of a mask"):
    read_folder(folder, films, None)


def test_damaged_files_and_coloured_ones_are_counted(films, tmp_path):
  folder = _write(tmp_path / "p", dict(zip(_IDS, films.masks, strict=True)))
  content = (folder / "covid_1.png").read_bytes()
  (folder / "covid_1.png").write_bytes(content[: len(content) // 2])
  with pytest.raises(ValueError, match=r"1 of 3 files \(covid_1.png\) .* cannot be read"):
    read_folder(folder, films, None)
  (folder / "covid_1.png").write_bytes(content)
  Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(folder / "covid_3.png")
  with pytest.raises(ValueError, match=r"1 of 3 files \(covid_3.png\) .* is no mask: it is in colours"):
    read_folder(folder, films, None)
  with pytest.raises(ValueError, match=r"1 of 3 files \(covid_3.png\) .* are in colours; expected probabilities"):
    read_folder(folder, films, 0.5)


def test_masks_in_one_colour_are_masks_however_much_they_cover(films, tmp_path):
  masks = films.masks.copy()
  masks[2] = True
  masks[2, 0, 0] = False
  red = [np.uint8([255, 0, 0]) * mask[..., None] for mask in masks]
  found = read_folder(_write(tmp_path / "p", dict(zip(_IDS, red, strict=True))), films, None)
  assert (found.masks == masks).all()


def test_probabilities_of_two_levels_are_compared_with_the_threshold(films, tmp_path):
  levels = [
    np.where(mask, np.uint8(high), np.uint8(90)) for mask, high in zip(films.masks, (100, 200, 90), strict=True)
  ]
  found = read_folder(_write(tmp_path / "p", dict(zip(_IDS, levels, strict=True))), films, 0.5)
  assert not found.masks[[0, 2]].any() and (found.masks[1] == films.masks[1]).all()


def test_a_film_with_two_files_is_an_error(films, tmp_path):
  folder = _write(tmp_path / "p", dict(zip(_IDS, films.masks, strict=True)))
  Image.fromarray(films.masks[0]).save(folder / "covid_1.tif")
  with pytest.raises(ValueError, match=r"1 of 4 files \(covid_1.png\).*another file there, too"):
    read_folder(folder, films, None)


@pytest.mark.parametrize("value", [255.0, -3.0, np.nan])
def test_floats_that_are_no_probabilities_are_refused(films, tmp_path, value):
  folder = _write(tmp_path / "p", dict(zip(_IDS, films.masks, strict=True)))
  values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
  values[3, 3] = value
  (folder / "covid_1.png").unlink()
  Image.fromarray(values).save(folder / "covid_1.tif")
  with pytest.raises(ValueError, match=r"1 of 3 files \(covid_1.tif\).*other values than from 0 to 1"):
    read_folder(folder, films, 0.5)
