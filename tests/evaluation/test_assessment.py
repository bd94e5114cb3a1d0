import csv
import json
import logging

import numpy as np
import pytest
import sklearn.metrics

from configs import default
from covseg.evaluation import results
from covseg.evaluation.assessment import ChosenThreshold, assess
from covseg.evaluation.predictions import Predictions
from covseg.severity import severity
from input_pipeline.films import Films


@pytest.fixture
def films():
  """Six films of 32 pixels: four with an infection in one lung, two without."""
  masks, lungs = np.zeros((2, 6, 32, 32), bool)
  lungs[:, 4:28, 3:13] = lungs[:, 4:28, 18:29] = True
  for i in range(4):
    masks[i, 20 - 4 * i : 28, 3:13] = True
  images = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
  return Films(images, masks, lungs, [f"film_{i}" for i in range(6)], ["COVID-19"] * 4 + ["Normal"] * 2)


def _probabilities(films):
  noise = np.random.default_rng(1).random(films.masks.shape)
  return (0.6 * films.masks + 0.4 * noise**2).astype(np.float16)


def test_every_film_has_its_figures(films):
  probabilities = _probabilities(films)
  masks = probabilities > 0.5
  found = assess(films, Predictions(masks, probabilities), ChosenThreshold(0.3, "validation"))
  table, summary = found.table, found.summary
  assert {len(column) for column in table.values()} == {6}
  for i, mask in enumerate(films.masks):
    truth, p = mask.ravel(), probabilities[i].astype(np.float32).ravel()
    assert table["dice"][i] == pytest.approx(sklearn.metrics.f1_score(truth, p > 0.5, zero_division=1))
    at_chosen = sklearn.metrics.f1_score(truth, p > np.float32(0.3), zero_division=1)
    assert table["dice_at_chosen_threshold"][i] == pytest.approx(at_chosen)
    assert table["brier_score"][i] == pytest.approx(np.mean((p - truth) ** 2))
    expected = severity(masks[i], films.lung_masks[i])
    assert table["predicted_percent_of_left_lower"][i] == expected.left_lower
  assert summary["at_chosen_threshold"]["threshold"] == 0.3
  assert summary["at_chosen_threshold"]["per_image"]["dice"] == pytest.approx(
    np.mean(table["dice_at_chosen_threshold"][:4])
  )
  assert summary["per_image"]["dice"] == pytest.approx(np.mean(table["dice"][:4]))


def test_severity_is_that_of_the_predicted_lung_where_there_is_one(films):
  stored = assess(films, Predictions(films.masks)).summary["severity"]
  assert stored["lungs"] == {"truth": "stored", "prediction": "stored"}
  assert stored["parts"]["percent"]["mean_absolute_error"] == 0
  assert stored["parts"]["percent"]["num_images"] == 4
  half = films.lung_masks.copy()
  half[:, :, 16:] = False  # The network sees the right lung alone.
  found = assess(films, Predictions(films.masks, lung_masks=half))
  assert found.summary["severity"]["lungs"] == {"truth": "stored", "prediction": "predicted"}
  assert found.table["predicted_percent_of_lungs"][0] == pytest.approx(100 / 3)
  assert found.table["predicted_percent_of_left"] == [None] * 6
  assert found.summary["severity"]["parts"]["left"]["num_images"] == 0
  assert found.summary["severity"]["parts"]["left"]["icc"] is None

  without = Films(films.images, films.masks, None, films.ids, films.labels)
  assert assess(without, Predictions(films.masks)).summary["severity"] is None
  lungs = assess(without, Predictions(films.masks, lung_masks=half)).summary["severity"]["lungs"]
  assert lungs == {"truth": "predicted", "prediction": "predicted"}


@pytest.mark.parametrize("value", [False, True])
def test_masks_all_empty_or_all_full_have_every_figure_and_are_counted(films, tmp_path, value, caplog):
  caplog.set_level(logging.WARNING)
  predictions = Predictions(np.full(films.masks.shape, value))
  origin = results.Origin("validation", None, "masks", default.get_config())
  results.write(tmp_path, films, predictions, assess(films, predictions), origin)
  summary = json.loads((tmp_path / "metrics.json").read_text())
  assert "NaN" not in (tmp_path / "metrics.json").read_text()
  assert summary["num_predictions_full" if value else "num_predictions_empty"] == 6
  assert f"6 of 6 predicted masks are {'full' if value else 'empty'}" in caplog.text
  assert summary["per_image"]["num_one_mask_empty"] == (0 if value else 4)
  assert summary["with_negatives"]["num_one_mask_empty"] == (2 if value else 4)
  assert summary["with_negatives"]["sensitivity"] == value
  assert summary["with_negatives"]["specificity"] == (not value)
  assert summary["with_negatives"]["auc"] == 0.5
  assert summary["per_image"]["hd95_px"] > 0
  assert "predicted masks are" in (tmp_path / "report.html").read_text()


def test_an_evaluation_that_ends_early_leaves_the_earlier_one(films, tmp_path, monkeypatch):
  predictions, origin = Predictions(films.masks), results.Origin("test", None, "masks", default.get_config())
  results.write(tmp_path, films, predictions, assess(films, predictions), origin)
  before = (tmp_path / "metrics.json").read_text()
  for module, function in ((results.figures, "draw"), (results.report, "html")):
    with monkeypatch.context() as patch:
      patch.setattr(module, function, lambda *_: _interrupt())
      with pytest.raises(KeyboardInterrupt):
        results.write(tmp_path, films, predictions, assess(films, predictions), origin)
    assert (tmp_path / "metrics.json").read_text() == before


def _interrupt():
  raise KeyboardInterrupt


def test_a_split_without_any_infection_is_written_too(films, tmp_path):
  clean = Films(*(array[4:] for array in (films.images, films.masks, films.lung_masks)), films.ids[4:], ["", ""])
  predictions = Predictions(clean.masks, clean.masks.astype(np.float16))
  origin = results.Origin("test", 0.5, "network", default.get_config(), 3)
  results.write(tmp_path, clean, predictions, assess(clean, predictions, ChosenThreshold(0.4, "validation")), origin)
  summary = json.loads((tmp_path / "metrics.json").read_text())
  assert summary["per_image"]["dice"] is None
  assert summary["with_negatives"]["dice"] == 1
  with (tmp_path / "per_image.csv").open() as file:
    assert [row["id"] for row in csv.DictReader(file)] == ["film_4", "film_5"]
