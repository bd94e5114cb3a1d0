"""Classifiers that see no anatomy: against scikit-learn, and on films that differ in nothing else."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import sklearn.linear_model
import sklearn.metrics

from covseg.dataset import shortcuts
from input_pipeline.films import Films


def test_logistic_regression_is_scikit_learns():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(200, 5))
  positive = features @ [1, -2, 0.5, 0, 3] + rng.normal(size=200) > 0.5
  found = shortcuts.logistic_regression(features, positive)
  expected = sklearn.linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(features, positive)
  np.testing.assert_allclose(found, [*expected.coef_[0], expected.intercept_[0]], rtol=1e-3, atol=1e-4)


def _films(n, seed, change):
  """Films of noise, every second one with an infection and changed."""
  rng = np.random.default_rng(seed)
  images = rng.integers(60, 190, (n, 64, 64)).astype(np.uint8)
  masks = np.zeros(images.shape, bool)
  masks[::2, 20:30, 20:30] = True
  images[::2] = [change(image) for image in images[::2]]
  return Films(images, masks, None, [str(i) for i in range(n)], [""] * n)


def _blurred(image):
  return scipy.ndimage.gaussian_filter(image.astype(float), 0.5).astype(np.uint8)


def _framed(image):
  return np.pad(image[6:-6, 6:-6], 6)


def _darker(image):
  return (image * 0.8).astype(np.uint8)


@pytest.mark.parametrize(
  ("classifier", "change"), [("spectrum", _blurred), ("border", _framed), ("grey_levels", _darker)]
)
def test_each_finds_the_shortcut_that_it_is_for(classifier, change):
  rows = shortcuts.floor({"train": _films(40, 0, change), "validation": _films(30, 1, change)})
  (row,) = [row for row in rows if row["classifier"] == classifier]
  assert (row["split"], row["films"], row["auc"], row["specificity_at_95_sensitivity"]) == ("validation", 30, 1, 1)


def test_of_more_than_two_classes_each_two_are_told_apart():
  splits = {}
  for split, seed in (("train", 0), ("validation", 1)):
    films = _films(60, seed, _darker)  # Every second one.
    splits[split] = dataclasses.replace(films, labels=["sick", "well", "sick", "other"] * 15)
  rows = shortcuts.floor(splits)
  pair = lambda row: (row["positive"], row["negative"])  # noqa: E731
  aucs = {pair(row): row["auc"] for row in rows if row["classifier"] == "grey_levels"}
  assert aucs.pop(("other", "well")) < 0.8  # Both as they were.
  assert aucs == {shortcuts.ANY_INFECTION: 1, ("other", "sick"): 1, ("sick", "well"): 1}
  films = {pair(row): row["films"] for row in rows}
  assert films == {
    shortcuts.ANY_INFECTION: 60,
    ("other", "well"): 30,
    ("other", "sick"): 45,
    ("sick", "well"): 45,
  }


def test_none_is_found_where_there_is_none():
  rows = shortcuts.floor({"train": _films(400, 0, lambda x: x), "validation": _films(400, 1, lambda x: x)})
  assert all(0.4 < row["auc"] < 0.6 for row in rows)
  assert all(row["specificity_at_95_sensitivity"] < 0.2 for row in rows)


def test_power_of_a_wave_lies_in_its_ring():
  x = np.arange(64)
  wave = (128 + 100 * np.cos(2 * np.pi * 0.375 * x)).astype(np.uint8)
  found = shortcuts.spectrum(np.tile(wave, (1, 64, 1)))[0]
  edges = np.linspace(0.25, np.sqrt(0.5), 17)
  assert np.argmax(found) == np.searchsorted(edges, 0.375) - 1


def test_it_is_not_measured_without_films_of_both_kinds():
  films = _films(8, 0, _blurred)
  assert shortcuts.floor({"train": films}) == []
  assert shortcuts.floor({"train": films, "validation": films.of(films.infected())}) == []
