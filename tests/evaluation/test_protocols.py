import numpy as np
import pytest
import sklearn.metrics

from covseg.evaluation.protocols import summarize
from covseg.evaluation.surface import border_distances

# tp, fp, fn, tn: a half-found infection, a missed one, a clean film, a false alarm.
_COUNTS = np.array([[2, 0, 2, 12], [0, 0, 4, 12], [0, 0, 0, 16], [0, 8, 0, 8]])


def test_protocols_by_hand():
  summary = summarize(_COUNTS)
  assert summary["per_image"]["num_images"] == 2
  assert summary["per_image"]["dice"] == pytest.approx((2 / 3 + 0) / 2)
  assert summary["per_image"]["iou"] == pytest.approx((1 / 2 + 0) / 2)
  assert summary["per_image"]["pixel_accuracy_all_background"] == pytest.approx(12 / 16)
  assert summary["pooled"]["dice"] == pytest.approx(2 * 2 / (2 * 2 + 6))
  assert summary["with_negatives"]["dice"] == pytest.approx((2 / 3 + 0 + 1 + 0) / 4)
  assert summary["with_negatives"]["sensitivity"] == 1 / 2
  assert summary["with_negatives"]["specificity"] == 1 / 2
  # Areas 2 and 0 against 0 and 8: of four pairs one is right, one wrong, one equal, one wrong.
  assert summary["with_negatives"]["auc"] == pytest.approx(1.5 / 4)
  assert summarize(_COUNTS[:2])["with_negatives"] is None


def test_marked_films_are_counted_by_class():
  assert summarize(_COUNTS)["marked_by_class"] == {}
  found = summarize(_COUNTS, resamples=20, labels=["COVID-19", "COVID-19", "", "Normal"])["marked_by_class"]
  assert {name: (row["num_images"], row["share"]) for name, row in found.items()} == {
    "COVID-19": (2, 0.5),
    "Normal": (1, 1.0),
  }
  assert found["Normal"]["intervals"]["share"] == [1, 1]


def test_near_duplicates_of_training_films_are_left_out_and_counted():
  assert summarize(_COUNTS)["deduplicated"] is None
  found = summarize(_COUNTS, near_duplicates=np.array([False, True, True, False]))["deduplicated"]
  assert (found["num_left_out"], found["num_images"]) == (1, 1)
  assert found["dice"] == pytest.approx(2 / 3)


def test_quartiles_of_the_infected_area():
  areas = np.array([50, 10, 30, 70, 20, 60, 40, 0])
  counts = np.stack([areas // 10 * 5, 0 * areas, areas - areas // 10 * 5, 100 - areas], axis=1)
  quarters = summarize(counts)["by_infected_area"]
  assert [quarter["num_images"] for quarter in quarters] == [2, 2, 2, 1]
  assert [(q["least_percent"], q["largest_percent"]) for q in quarters] == [
    (10, 20),
    (30, 40),
    (50, 60),
    (70, 70),
  ]
  assert len(summarize(_COUNTS)["by_infected_area"]) == 2  # Fewer films than quartiles.


def test_empty_masks_are_counted_and_no_measure_is_missing():
  masks = np.zeros((4, 8, 8), bool)
  masks[1:, 2:5, 2:5] = True
  pairs = [(masks[0], masks[1]), (masks[1], masks[2]), (masks[0], masks[0]), (masks[1], masks[0])]
  borders = [border_distances(*pair) for pair in pairs]
  counts = np.array([[0, 0, 9, 55], [9, 0, 0, 55], [0, 0, 0, 64], [0, 9, 0, 55]])
  summary = summarize(counts, borders, resamples=20)
  found = summary["with_negatives"]
  assert (found["num_one_mask_empty"], found["num_both_masks_empty"]) == (2, 1)
  assert summary["per_image"]["hd95_px"] == pytest.approx(128**0.5 / 2)
  assert summary["per_image"]["nsd"] == 1 / 2
  assert summary["pooled"]["nsd"] == pytest.approx(16 / 24)  # Borders of 8 pixels: 16 near, 8 missed.
  for protocol in (found, summary["per_image"], summary["pooled"]):
    assert all(protocol["intervals"].values())
    assert None not in protocol.values()


def test_nothing_infected_has_no_figures_but_the_negatives():
  summary = summarize(np.array([[0, 0, 0, 16], [0, 8, 0, 8]]), resamples=20)
  assert summary["per_image"]["num_images"] == 0
  assert summary["per_image"]["dice"] is None
  assert summary["pooled"] is None
  assert summary["with_negatives"]["specificity"] == 1 / 2
  assert summary["with_negatives"]["sensitivity"] is summary["with_negatives"]["auc"] is None


def test_pooled_agrees_with_scikit_learn_on_all_pixels():
  rng = np.random.default_rng(0)
  p, t = rng.random((2, 5, 100)) < 0.4
  counts = np.stack([(p & t).sum(1), (p & ~t).sum(1), (~p & t).sum(1), (~p & ~t).sum(1)], axis=1)
  pooled = summarize(counts)["pooled"]
  p, t = p.ravel(), t.ravel()
  assert pooled["dice"] == pytest.approx(sklearn.metrics.f1_score(t, p))
  assert pooled["iou"] == pytest.approx(sklearn.metrics.jaccard_score(t, p))
  assert pooled["precision"] == pytest.approx(sklearn.metrics.precision_score(t, p))
