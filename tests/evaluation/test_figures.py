import io
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from covseg.drawing import figure_style
from covseg.evaluation import figures
from covseg.evaluation.assessment import assess
from covseg.evaluation.predictions import Predictions
from input_pipeline.films import Films

_HISTORY = [
  {"epoch": 1, "train_loss": 0.5, "val_dice": 0.3},
  {"epoch": 2, "train_loss": 0.4, "val_dice": 0.6},
]


@pytest.fixture(scope="module")
def found():
  """Figures by name, of eight films, each other one infected; film i is predicted i rows too small."""
  masks = np.zeros((8, 32, 32), bool)
  masks[::2, 10:30, 4:28] = True
  films = Films(np.full((8, 32, 32), 100, np.uint8), masks, None, [f"film {i}" for i in range(8)], [""] * 8)
  predicted = masks.copy()
  for i in range(8):
    predicted[i, 10 : 10 + i] = False
  assessment = assess(films, Predictions(predicted, predicted.astype(np.float16)))
  pictures = figures.draw(assessment, films, predicted, _HISTORY, chosen_films=["film 3", "film 6"])
  return {picture.name: picture for picture in pictures}


def test_best_worst_and_chosen_cases_are_those_films(found):
  told = {name: picture.alternative for name, picture in found.items()}
  assert told["cases_best"].startswith("The films with the highest Dice: film 0 (Dice 1.000), film 2")
  assert told["cases_worst"].startswith("The films with an infection and the lowest Dice: film 6 (Dice 0.824)")
  assert told["cases_chosen"] == "Films chosen by name: film 3 (Dice 1.000), film 6 (Dice 0.824)."


def test_each_figure_is_a_png_and_an_svg_with_words(found):
  cases = ["cases_random", "cases_best", "cases_worst", "cases_chosen"]
  assert list(found) == [*cases, "dice", "roc", "calibration", "training"]  # No lungs, no severity.
  for picture in found.values():
    with Image.open(io.BytesIO(picture.png)) as image:
      assert image.width > 6 * figure_style.DPI  # Inches.
    assert xml.etree.ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert picture.caption
    assert picture.alternative


def test_a_case_shows_image_truth_prediction_and_both_outlines(found):
  with Image.open(io.BytesIO(found["cases_chosen"].png)) as image:
    pixels = np.asarray(image.convert("RGB")).astype(int)
  seen = set(map(tuple, pixels.reshape(-1, 3)))
  assert {(100, 100, 100), (93, 140, 166), (165, 129, 50), (86, 180, 233), (230, 159, 0)} <= seen
