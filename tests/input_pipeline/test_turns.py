import numpy as np
import pytest
from PIL import Image, ImageOps

from input_pipeline.turns import EXIF_TURNS, Turn, from_patient_orientation

_FILM = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("value", sorted(EXIF_TURNS))
def test_exif_orientations_are_those_of_pillow(value):
  image = Image.fromarray(_FILM)
  image.getexif()[274] = value
  assert np.array_equal(EXIF_TURNS[value].apply(_FILM), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_undo_brings_a_film_back(quarters, mirrored):
  turn = Turn(quarters, mirrored)
  assert np.array_equal(turn.undo(turn.apply(_FILM)), _FILM)


@pytest.mark.parametrize(
  ("directions", "stored"),
  [
    ("LF", ["rl", "RL"]),  # As it should be: the patient's right on the left, capitals at the feet.
    ("RF", ["lr", "LR"]),
    ("RH", ["LR", "lr"]),
    ("LH", ["RL", "rl"]),
    ("FL", ["rR", "lL"]),
    ("FR", ["lL", "rR"]),
    ("HL", ["Rr", "Ll"]),
    ("HR", ["Ll", "Rr"]),
  ],
)
def test_patient_orientation_brings_a_film_upright(directions, stored):
  stored = np.array([list(row) for row in stored])
  assert from_patient_orientation(*directions).apply(stored).tolist() == [["r", "l"], ["R", "L"]]


@pytest.mark.parametrize("directions", ["AF", "LL", "LR", "PH", "XY"])
def test_an_orientation_that_is_not_frontal_is_refused(directions):
  with pytest.raises(ValueError, match="not of a frontal film"):
    from_patient_orientation(*directions)
